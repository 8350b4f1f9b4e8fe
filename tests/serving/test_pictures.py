import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageDraw

from digit_vae.base.errors import UserError
from digit_vae.serving.pictures import THUMBNAIL, over, picture_sheet, png, prepared_picture, read_digit, sheet

RNG = np.random.default_rng(0)


def decoded(content):
    return np.asarray(Image.open(io.BytesIO(content)))


def drawn_seven(size=(280, 280), ground=(250, 240, 220), ink=(30, 20, 120), mode="RGB"):
    picture = Image.new(mode, size, ground)
    points = [(0.3, 0.25), (0.7, 0.25), (0.45, 0.8)]
    ImageDraw.Draw(picture).line([(x * size[0], y * size[1]) for x, y in points], fill=ink, width=size[0] // 12)
    return picture


def alike(image, other):
    return np.corrcoef(image.ravel().astype(float), other.ravel().astype(float))[0, 1]


@pytest.fixture(scope="module")
def seven():
    """What the model sees of the drawn seven in black and white."""
    return prepared_picture(drawn_seven(ground=0, ink=255, mode="L")).image


@pytest.fixture
def saved(tmp_path):
    def save(picture, name="picture.png"):
        picture.save(tmp_path / name)
        return tmp_path / name

    return save


def test_a_seven_is_20_pixels_high_and_in_the_middle(seven):
    rows, columns = np.nonzero(seven[..., 0])
    assert np.ptp(rows) + 1 == 20
    assert 12 <= columns.mean() <= 15
    assert (seven.shape, seven.dtype, seven.max()) == ((28, 28, 1), np.uint8, 255)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_every_mode_and_colour_is_the_same_digit(saved, seven, mode):
    name = "seven.jpg" if mode == "CMYK" else "seven.png"
    image = read_digit(saved(drawn_seven().convert(mode), name)).image
    assert alike(image, seven) > 0.97


@pytest.mark.parametrize("ink", [0, 255])
def test_ink_on_transparency_is_taken_as_it_is_drawn(saved, seven, ink):
    strokes = drawn_seven(ground=(ink, ink, ink, 0), ink=(ink, ink, ink, 255), mode="RGBA")
    picture = read_digit(saved(strokes))
    assert alike(picture.image, seven) > 0.97
    assert any("not transparent" in words for words in picture.done)


def test_a_thick_stroke_on_transparency_fills_its_box_and_is_ink_still(saved):
    bar = Image.new("RGBA", (100, 100), (255, 255, 255, 0))
    ImageDraw.Draw(bar).rectangle([40, 10, 55, 89], fill=(255, 255, 255, 255))
    image = read_digit(saved(bar)).image[..., 0]
    rows, columns = np.nonzero(image)
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (20, 4)


def test_paper_cut_out_is_paper(saved, seven):
    paper = drawn_seven().convert("RGBA")
    alpha = Image.new("L", paper.size)
    ImageDraw.Draw(alpha).ellipse([0, 0, 279, 279], fill=255)
    paper.putalpha(alpha)
    assert alike(read_digit(saved(paper)).image, seven) > 0.95


@pytest.mark.parametrize("largest", [65535, 4095, 300])
def test_any_bits_of_a_sixteen_bit_file_are_stretched(saved, seven, largest):
    """12 bits in 16 are usual, and nearly black where they are not stretched."""
    grey = np.asarray(drawn_seven(ground=255, ink=0, mode="L")).astype(np.uint16)
    image = read_digit(saved(Image.fromarray((grey * (largest / 255)).astype(np.uint16)))).image
    np.testing.assert_array_equal(image, seven)


def test_a_dim_photograph_in_uneven_light_is_the_same_digit(saved, seven):
    ink = np.asarray(drawn_seven((600, 600), ground=0, ink=255, mode="L")) / 255
    light = np.linspace(60, 110, 600)
    photograph = (light - 40 * ink + RNG.normal(0, 2, ink.shape)).clip(0, 255).astype(np.uint8)
    assert alike(read_digit(saved(Image.fromarray(photograph), "dim.jpg")).image, seven) > 0.9


def test_a_small_digit_in_a_large_photograph_is_found(saved, seven):
    large = Image.new("L", (1500, 1000), 230)
    large.paste(drawn_seven((180, 180), ground=230, ink=40, mode="L"), (1200, 700))
    assert alike(read_digit(saved(large)).image, seven) > 0.9


def test_a_turned_photograph_is_turned_as_its_file_says(saved, seven):
    lying = drawn_seven().transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise
    path = saved(lying, "plain.jpg").with_name("turned.jpg")
    lying.save(path, exif=exif)
    assert alike(read_digit(path).image, seven) > 0.95


def test_what_is_ready_stays_as_it_is(saved, digits):
    picture = read_digit(saved(Image.fromarray(digits[3, ..., 0])), as_is=True)
    np.testing.assert_array_equal(picture.image, digits[3])


@pytest.mark.parametrize("picture", [Image.new("L", (27, 28)), Image.new("RGB", (28, 28))])
def test_what_is_not_ready_is_not_taken_as_it_is(saved, picture):
    with pytest.raises(UserError, match=r"picture\.png.*28x28"):
        read_digit(saved(picture), as_is=True)


@pytest.mark.parametrize("picture", [Image.new("L", (90, 90), 255), Image.new("RGBA", (90, 90), (255, 255, 255, 0))])
def test_an_empty_picture_is_refused_by_its_name(saved, picture):
    with pytest.raises(UserError, match=r"picture\.png: expected a digit"):
        read_digit(saved(picture))


def test_of_a_sheet_of_digits_it_is_said_that_no_single_one_stands_out(saved, digits):
    many = Image.open(io.BytesIO(sheet(digits[:10, ..., 0])))
    with pytest.raises(UserError, match=r"picture\.png: expected a digit; .* no single one stands out"):
        read_digit(saved(many))


def huge_png(width, height):
    """A small file that says that it is a large picture."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        (b"", "PNG, JPEG, GIF, BMP, WEBP"),
        (b"7 7 7", "PNG, JPEG, GIF, BMP, WEBP"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "PNG, JPEG, GIF, BMP, WEBP"),
        (png(RNG.integers(0, 256, (99, 99)).astype(np.uint8))[:2000], "truncated"),
        (huge_png(10_000, 10_000), r"at most \d+ pixels"),
        (huge_png(60_000, 60_000), r"at most \d+ pixels"),
    ],
)
def test_what_is_no_usable_picture_is_refused(tmp_path, content, message):
    path = tmp_path / "picture.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=f"picture.png.*{message}"):
        read_digit(path)


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match="Is a directory"):
        read_digit(tmp_path)


def test_a_name_that_is_not_utf_8_is_read_and_shown(tmp_path, seven):
    path = tmp_path / os.fsdecode(b"sieben-\xfc.png")
    drawn_seven().save(path)
    assert alike(read_digit(path).image, seven) > 0.97
    path.write_bytes(b"no picture")
    with pytest.raises(UserError) as raised:
        read_digit(path)
    assert r"sieben-\xfc.png" in str(raised.value)
    assert str(raised.value).isascii()


def test_sheet_has_every_tile_in_its_place():
    tiles = RNG.integers(0, 255, (17, 5, 3)).astype(np.uint8)
    pixels = decoded(sheet(tiles, scale=3))
    assert pixels.shape == (3 * (2 + 2 * (5 + 2)), 3 * (2 + 10 * (3 + 2)))
    np.testing.assert_array_equal(pixels, pixels[::3, ::3].repeat(3, axis=0).repeat(3, axis=1))
    small = pixels[::3, ::3].copy()
    for number, tile in enumerate(tiles):
        row, column = divmod(number, 10)
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


def test_a_sheet_of_pictures_has_a_row_with_all_three_and_a_note(saved, digits):
    pictures = [read_digit(saved(drawn_seven())), read_digit(saved(drawn_seven(ground=0, ink=255, mode="L")))]
    pixels = decoded(picture_sheet(pictures, digits[:2, ..., 0], ["a note", "another\nnote"]))
    for row, picture in enumerate(pictures):
        top = 8 + row * (THUMBNAIL + 8)
        tiles = [pixels[top : top + THUMBNAIL, 8 + 120 * column : 120 + 120 * column] for column in range(3)]
        np.testing.assert_array_equal(tiles[0], picture.thumbnail)
        np.testing.assert_array_equal(tiles[1][::4, ::4], picture.image[..., 0])
        np.testing.assert_array_equal(tiles[2][::4, ::4], digits[row, ..., 0])
        assert (pixels[top : top + THUMBNAIL, 368:] < 128).any()


def test_a_thumbnail_shows_the_picture_as_it_was(saved):
    thumbnail = read_digit(saved(drawn_seven(ground=255, ink=0, mode="L"))).thumbnail
    assert thumbnail.shape == (THUMBNAIL, THUMBNAIL)
    assert (thumbnail[0, 0], thumbnail.min()) == (255, 0)


def test_png_keeps_the_pixels_and_repeats_its_bytes():
    pixels = RNG.integers(0, 256, (28, 28)).astype(np.uint8)
    np.testing.assert_array_equal(decoded(png(pixels)), pixels)
    assert png(pixels) == png(pixels.copy())
