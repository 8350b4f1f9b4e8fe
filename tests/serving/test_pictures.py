import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageDraw

from digit_vae.base.errors import UserError
from digit_vae.serving.pictures import over, png, read_digit, sheet

RNG = np.random.default_rng(0)


def decoded(content):
    return np.asarray(Image.open(io.BytesIO(content)))


def drawn_seven(size=(280, 280), ground=(250, 240, 220), ink=(30, 20, 120)):
    picture = Image.new("RGB", size, ground)
    points = [(0.3, 0.25), (0.7, 0.25), (0.45, 0.8)]
    ImageDraw.Draw(picture).line([(x * size[0], y * size[1]) for x, y in points], fill=ink, width=size[0] // 12)
    return picture


@pytest.fixture
def saved(tmp_path):
    def save(picture, name="picture.png"):
        picture.save(tmp_path / name)
        return tmp_path / name

    return save


def test_a_picture_like_mnists_stays_as_it_is(saved, digits):
    pixels, done = read_digit(saved(Image.fromarray(digits[3, ..., 0])))
    np.testing.assert_array_equal(pixels, digits[3])
    assert done.endswith("picture.png: read 28x28 pixels")


def test_sixteen_bit_grey_is_scaled(saved, digits):
    pixels, _ = read_digit(saved(Image.fromarray(digits[3, ..., 0].astype(np.uint16) * 257)))
    np.testing.assert_array_equal(pixels, digits[3])


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_a_light_background_is_inverted_in_every_mode(saved, digits, mode):
    black_and_white = Image.fromarray(255 * (digits[3, ..., 0] < 128).astype(np.uint8)).convert("RGB").convert(mode)
    pixels, done = read_digit(saved(black_and_white))
    np.testing.assert_array_equal(pixels, 255 * (digits[3] >= 128))
    assert "inverted because its background is light" in done


def test_a_large_colour_picture_is_made_grey_and_fitted(saved):
    pixels, done = read_digit(saved(drawn_seven(), "seven.jpg"))
    assert pixels.shape == (28, 28, 1)
    assert pixels.dtype == np.uint8
    assert done.endswith(
        "read 280x280 pixels, converted to grey, inverted because its background is light, fitted into 28x28"
    )
    assert pixels[0].max() < 40
    assert pixels[7, 10:18].min() > 150  # the bar of the seven


def test_proportions_are_kept(saved):
    tall = Image.new("L", (140, 280))
    ImageDraw.Draw(tall).rectangle([0, 70, 139, 209], fill=255)  # a square of half the height
    pixels, _ = read_digit(saved(tall))
    np.testing.assert_array_equal(np.argwhere(pixels[..., 0] > 128).min(axis=0), [7, 7])
    np.testing.assert_array_equal(np.argwhere(pixels[..., 0] > 128).max(axis=0), [20, 20])


def test_transparent_parts_are_white_paper(saved):
    picture = Image.new("RGBA", (28, 28), (0, 0, 0, 0))
    picture.putpixel((14, 14), (0, 0, 0, 255))
    pixels, _ = read_digit(saved(picture))
    assert pixels[14, 14] == 255
    assert pixels.sum() == 255


def huge_png(width, height):
    """A small file that says that it is a large picture."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read as an image: No such file or directory"),
        (b"", r"expected an image file \(PNG, JPEG, GIF, BMP, WEBP\)"),
        (b"7 7 7", r"expected an image file \(PNG, JPEG, GIF, BMP, WEBP\)"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "expected an image file"),
        (png(RNG.integers(0, 256, (99, 99)).astype(np.uint8))[:2000], "cannot be read as an image: .*truncated"),
        (huge_png(10_000, 10_000), r"expected at most \d+ pixels; received more"),
        (huge_png(60_000, 60_000), r"expected at most \d+ pixels; received more"),
    ],
)
def test_what_is_no_usable_picture_is_refused(tmp_path, content, message):
    path = tmp_path / "picture.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=f"picture.png.*{message}"):
        read_digit(path)


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match="cannot be read as an image: Is a directory"):
        read_digit(tmp_path)


def test_sheet_has_every_tile_in_its_place():
    tiles = RNG.integers(0, 255, (7, 5, 3)).astype(np.uint8)
    pixels = decoded(sheet(tiles, columns=4, gap=2, scale=3))
    assert pixels.shape == (3 * (2 + 2 * (5 + 2)), 3 * (2 + 4 * (3 + 2)))
    np.testing.assert_array_equal(pixels, pixels[::3, ::3].repeat(3, axis=0).repeat(3, axis=1))
    small = pixels[::3, ::3].copy()
    for number, tile in enumerate(tiles):
        row, column = divmod(number, 4)
        place = np.s_[2 + 7 * row : 7 + 7 * row, 2 + 5 * column : 5 + 5 * column]
        np.testing.assert_array_equal(small[place], tile)
        small[place] = 255
    assert (small == 255).all()


def test_a_sheet_of_few_tiles_is_narrow():
    assert decoded(sheet(np.zeros((3, 28, 28), np.uint8))).shape == (4 * 32, 4 * (2 + 3 * 30))


def test_over_puts_one_above_the_other():
    upper, lower = RNG.integers(0, 256, (2, 4, 28, 28)).astype(np.uint8)
    pairs = over(upper, lower)
    np.testing.assert_array_equal(pairs[:, :28], upper)
    np.testing.assert_array_equal(pairs[:, 28], 255)
    np.testing.assert_array_equal(pairs[:, 29:], lower)


def test_png_keeps_the_pixels_and_repeats_its_bytes():
    pixels = RNG.integers(0, 256, (28, 28)).astype(np.uint8)
    np.testing.assert_array_equal(decoded(png(pixels)), pixels)
    assert png(pixels) == png(pixels.copy())
