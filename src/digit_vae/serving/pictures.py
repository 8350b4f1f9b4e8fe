"""Pictures for people: any image file as one digit of 28x28 pixels, and digits as one PNG sheet."""

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from digit_vae.base.errors import UserError

SIZE = (28, 28)
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP")
WHITE = 255


def read_digit(path: Path) -> tuple[np.ndarray, str]:
    """An image file as the model sees digits, light on dark. Returns: (28, 28, 1) uint8, and what was done.

    Transparent parts are white paper; colours become grey; when most of the outermost pixels are light, the picture
    is inverted; then it is fitted into 28x28, keeping its proportions. A file like MNIST's own stays as it is.
    Raises: UserError when the file is missing, no image, damaged, or has so many pixels that it may be an attack.
    """
    picture = _open(path)
    done = [f"read {picture.width}x{picture.height} pixels"]
    grey = _grey(picture)
    if picture.mode != "L":
        done.append("converted to grey")
    background = _background(grey)
    if background > WHITE / 2:
        grey, background = ImageOps.invert(grey), WHITE - background
        done.append("inverted because its background is light")
    if grey.size != SIZE:
        grey = ImageOps.pad(grey, SIZE, Image.Resampling.BILINEAR, color=background)
        done.append("fitted into 28x28")
    return np.asarray(grey)[..., np.newaxis], f"{path}: {', '.join(done)}"


def sheet(tiles: np.ndarray, *, columns: int = 10, gap: int = 2, scale: int = 4) -> bytes:
    """Grey tiles (N, height, width) uint8 in rows of `columns`, as a PNG with white gaps, `scale` times as large."""
    count, height, width = tiles.shape
    columns = min(columns, count)
    rows = -(-count // columns)
    cells = np.full((rows * columns, height + gap, width + gap), WHITE, np.uint8)
    cells[:count, gap:, gap:] = tiles
    lines = cells.reshape(rows, columns, height + gap, width + gap).swapaxes(1, 2)
    joined = lines.reshape(rows * (height + gap), columns * (width + gap))
    joined = np.pad(joined, ((0, gap), (0, gap)), constant_values=WHITE)
    return png(joined.repeat(scale, axis=0).repeat(scale, axis=1))


def over(upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """Pairs of tiles (N, height, width), one above the other with a thin white line between, as tiles for a sheet."""
    line = np.full((len(upper), 1, upper.shape[2]), WHITE, np.uint8)
    return np.concatenate([upper, line, lower], axis=1)


def png(pixels: np.ndarray) -> bytes:
    """Grey pixels (height, width) uint8 as a PNG, without a date: the same pixels give the same bytes."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _open(path: Path) -> Image.Image:
    """The decoded picture, turned as its EXIF orientation says. Only plain pixel formats: no decoder runs a program."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as picture:
                return ImageOps.exif_transpose(picture)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UserError(f"{path}: expected at most {Image.MAX_IMAGE_PIXELS} pixels; received more ({error})") from error
    except Image.UnidentifiedImageError as error:
        raise UserError(f"{path}: expected an image file ({', '.join(FORMATS)}); received something else") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"{path} cannot be read as an image: {getattr(error, 'strerror', None) or error}") from error


def _grey(picture: Image.Image) -> Image.Image:
    """8-bit grey, over white paper where the picture is transparent."""
    if picture.mode.startswith("I"):  # 16-bit grey, which Pillow would clip at 255 instead of scaling
        return Image.fromarray((np.asarray(picture) // 256).astype(np.uint8))
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture.convert("L")


def _background(grey: Image.Image) -> int:
    """The median of the outermost pixels."""
    pixels = np.asarray(grey)
    return int(np.median(np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])))
