"""Pictures for people: any image file as one digit of 28x28 pixels, and digits as one PNG sheet."""

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps, UnidentifiedImageError

from digit_vae.base.errors import UserError
from digit_vae.base.tiles import WHITE, tiled
from digit_vae.data.own import shown
from digit_vae.serving.preparing import Prepared, prepare

SIZE = (28, 28)
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP")
COLUMNS, GAP = 10, 2  # of a sheet of tiles; pixels of the gap before it is enlarged
GREY = 128
THUMBNAIL = 112  # pixels: four times a digit's
NOTE = 320  # pixels of a sheet's width for the note beside a picture
OPAQUE = 128  # of 255: from this alpha on, a pixel is visible
FILLED = 0.5  # ink covers less of the box around it than this; paper covers more

Bytes = NDArray[np.uint8]


class Picture(NamedTuple):
    """image: (28, 28, 1) uint8, as the model sees it. done: what was done to the picture, in words. thumbnail: what it
    looked like, (THUMBNAIL, THUMBNAIL) uint8.
    """

    image: Bytes
    done: tuple[str, ...]
    thumbnail: Bytes


def read_digit(path: Path, *, as_is: bool = False) -> Picture:
    """An image file as the model sees digits, light on black. as_is: whether it is one already, of 28x28 pixels.

    Raises: UserError when the file is missing, no image, damaged, empty, so large that it may be an attack or, with
    as_is, not of 28x28 grey pixels.
    """
    picture = _open(path)
    try:
        image, done = _as_is(picture) if as_is else prepared_picture(picture)
    except UserError as error:
        raise UserError(f"{shown(path)}: {error}") from error
    return Picture(image, done, _thumbnail(picture))


def prepared_picture(picture: Image.Image) -> Prepared:
    """The digit in a picture of any mode and size, as MNIST has digits. Raises: UserError when there is none."""
    done = [f"read {picture.width}x{picture.height} pixels"]
    if picture.has_transparency_data:
        grey, alpha = (np.asarray(each, np.float64) for each in picture.convert("LA").split())
    else:
        grey, alpha = _grey(picture), np.full(picture.size[::-1], 255.0)
    visible = alpha >= OPAQUE
    if _is_open(visible):
        return _of_strokes(alpha, done)
    try:
        left_out = [] if visible.all() else ["left out what is transparent"]
        image, further = prepare(grey, visible)
        return Prepared(image, (*done, *left_out, *further))
    except UserError:
        if not visible.any() or visible.all():
            raise
        return _of_strokes(alpha, done)  # nothing is drawn on what is visible, which is then a stroke itself


def sheet(tiles: Bytes, *, scale: int = 4) -> bytes:
    """Grey tiles (N, height, width) uint8 in rows of ten, as a PNG with white gaps, `scale` times as large."""
    picture = np.pad(tiled(tiles, min(COLUMNS, len(tiles)), GAP), GAP, constant_values=WHITE)
    return png(picture.repeat(scale, axis=0).repeat(scale, axis=1))


def picture_sheet(pictures: Sequence[Picture], reconstructions: Bytes, notes: Sequence[str]) -> bytes:
    """A PNG with a row for each picture: what it looked like, what the model sees, its reconstruction, and a note.

    reconstructions: (N, 28, 28) uint8. A note is one or more lines of text.
    """
    gap = 8
    sheet = Image.new("L", (3 * (THUMBNAIL + gap) + NOTE, len(pictures) * (THUMBNAIL + gap) + gap), WHITE)
    for row, (picture, reconstruction, note) in enumerate(zip(pictures, reconstructions, notes, strict=True)):
        top, times = gap + row * (THUMBNAIL + gap), THUMBNAIL // SIZE[0]
        for column, pixels in enumerate((picture.image[..., 0], reconstruction), start=1):
            large = Image.fromarray(pixels.repeat(times, axis=0).repeat(times, axis=1))
            sheet.paste(large, (gap + column * (THUMBNAIL + gap), top))
        sheet.paste(Image.fromarray(picture.thumbnail), (gap, top))
        ImageDraw.Draw(sheet).multiline_text((2 * gap + 3 * (THUMBNAIL + gap), top), note, fill=0)
    return png(np.asarray(sheet))


def over(upper: Bytes, lower: Bytes) -> Bytes:
    """Pairs of tiles (N, height, width), one above the other with a thin white line between, as tiles for a sheet."""
    line = np.full((len(upper), 1, upper.shape[2]), WHITE, np.uint8)
    return np.concatenate([upper, line, lower], axis=1)


def png(pixels: Bytes) -> bytes:
    """Grey pixels (height, width) uint8 as a PNG, without a date: the same pixels give the same bytes."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _open(path: Path) -> Image.Image:
    """The decoded picture, turned as its EXIF orientation says. Only plain pixel formats: no decoder runs a program."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Pillow notes of damaged remarks in a picture
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as picture:
                return ImageOps.exif_transpose(picture)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        most = f"expected at most {Image.MAX_IMAGE_PIXELS} pixels"
        raise UserError(f"{shown(path)}: {most}; received more ({error})") from error
    except UnidentifiedImageError as error:
        formats = ", ".join(FORMATS)
        raise UserError(f"{shown(path)}: expected an image file ({formats}); received something else") from error
    except (OSError, SyntaxError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{shown(path)} cannot be read as an image: {reason}") from error


def _as_is(picture: Image.Image) -> Prepared:
    if picture.size != SIZE or picture.mode != "L":
        received = f"{picture.width}x{picture.height} pixels of mode {picture.mode}"
        raise UserError(f"expected 28x28 pixels of 8-bit grey, to be taken as they are; received {received}")
    return Prepared(np.asarray(picture)[..., np.newaxis], ("read 28x28 pixels", "taken as they are"))


def _thumbnail(picture: Image.Image) -> Bytes:
    """What the picture looks like, on grey where it is transparent or does not fill the square."""
    if picture.has_transparency_data:
        rgba = picture.convert("RGBA")
        small = Image.alpha_composite(Image.new("RGBA", picture.size, (GREY, GREY, GREY, WHITE)), rgba).convert("L")
    else:
        grey = _grey(picture)
        most = max(float(grey.max()), 1.0) if grey.max() > WHITE else WHITE
        small = Image.fromarray(np.rint(WHITE * (grey / most).clip(0, 1)).astype(np.uint8))
    return np.asarray(ImageOps.pad(small, (THUMBNAIL, THUMBNAIL), Image.Resampling.BOX, color=GREY))


def _grey(picture: Image.Image) -> NDArray[np.float64]:
    """The brightness of each pixel; 16 bits of grey are kept, which Pillow would clip at 255."""
    wide = picture.mode.startswith(("I", "F"))
    return np.asarray(picture if wide else picture.convert("L"), np.float64)


def _is_open(visible: NDArray[np.bool_]) -> bool:
    """Whether the visible part covers little of the box around it, as strokes do and paper does not."""
    if not visible.any():
        return False
    rows, columns = (np.flatnonzero(visible.any(axis=axis)) for axis in (1, 0))
    return bool(visible[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].mean() < FILLED)


def _of_strokes(alpha: NDArray[np.float64], done: list[str]) -> Prepared:
    image, further = prepare(alpha, np.ones(alpha.shape, np.bool_))
    return Prepared(image, (*done, "took what is not transparent as ink", *further))
