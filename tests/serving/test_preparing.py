import itertools

import numpy as np
import pytest
from matplotlib import get_data_path
from PIL import Image, ImageDraw, ImageFont

from digit_vae.base.errors import UserError
from digit_vae.serving.preparing import fitted, light, prepare

RNG = np.random.default_rng(0)


def fitted_by_loops(ink):
    """The written-down algorithm once more, number by number in plain Python."""
    ink = [[int(value) for value in row] for row in ink]
    rows = [y for y, row in enumerate(ink) if max(row) >= 128]
    columns = [x for x in range(len(ink[0])) if max(row[x] for row in ink) >= 128]
    ink = [row[columns[0] : columns[-1] + 1] for row in ink[rows[0] : rows[-1] + 1]]
    h, w = len(ink), len(ink[0])
    longer = max(h, w)
    size_h, size_w = (max(1, (40 * side + longer) // (2 * longer)) for side in (h, w))

    def overlap(i, of, y, to):
        return max(0, min((i + 1) * of, (y + 1) * to) - max(i * of, y * to))

    sums = [
        [
            sum(overlap(i, h, y, size_h) * ink[y][x] * overlap(j, w, x, size_w) for y in range(h) for x in range(w))
            for j in range(size_w)
        ]
        for i in range(size_h)
    ]
    most = max(map(max, sums))
    values = [[(510 * value + most) // (2 * most) for value in row] for row in sums]
    mass = sum(map(sum, values))
    row_moment = sum(value * (2 * i + 1) for i, row in enumerate(values) for value in row)
    column_moment = sum(value * (2 * j + 1) for row in values for j, value in enumerate(row))
    top = min(max((29 * mass - row_moment) // (2 * mass), 0), 28 - size_h)
    left = min(max((29 * mass - column_moment) // (2 * mass), 0), 28 - size_w)
    image = np.zeros((28, 28), np.uint8)
    image[top : top + size_h, left : left + size_w] = values
    return image


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 3), (20, 20), (28, 28), (33, 21), (13, 40)])
def test_the_last_steps_are_those_that_are_written_down(shape):
    for sharpness in (0.3, 3.0):
        ink = np.rint(255 * RNG.random(shape) ** sharpness).astype(np.uint8)
        ink[RNG.integers(shape[0]), RNG.integers(shape[1])] = 200
        np.testing.assert_array_equal(fitted(ink), fitted_by_loops(ink))


def test_areas_are_averaged_and_proportions_kept():
    """A square of 40 with a bar of a quarter of its width: 20x5 pixels, each the mean of 2x2."""
    ink = np.zeros((100, 100), np.uint8)
    ink[30:70, 10:20] = 255
    ink[30:70:2, 10:20] = 128
    image = fitted(ink)
    rows, columns = np.nonzero(image)
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (20, 5)
    assert set(image[image > 0].tolist()) == {255}  # the brightest pixel, as all are alike


def test_the_centre_of_mass_is_in_the_middle(digits):
    for digit in digits[:50, ..., 0]:
        image = fitted(digit).astype(float)
        centre = [(image.sum(axis=axis) @ (np.arange(28) + 0.5)) / image.sum() for axis in (1, 0)]
        assert np.abs(np.array(centre) - 14).max() <= 0.5


def test_an_empty_drawing_is_refused():
    with pytest.raises(UserError, match="empty"):
        fitted(np.full((30, 30), 127, np.uint8))


def drawn(digit, size=(300, 400), side=150, place=(40, 200)):
    """Ink, 0 or 1: the digit in black and white, as MNIST's once were, enlarged pixel by pixel."""
    digit, times = 255 * (digit >= 100), side // 28
    ink = np.zeros(size)
    large = digit.repeat(times, axis=0).repeat(times, axis=1) / 255
    ink[place[0] : place[0] + len(large), place[1] : place[1] + len(large)] = large
    return ink


def alike(first, second):
    return np.corrcoef(first.ravel().astype(float), second.ravel().astype(float))[0, 1]


@pytest.mark.parametrize("paper", [30.0, 4000.0, 200.0])
@pytest.mark.parametrize("shade", [-1, 1])
@pytest.mark.parametrize("slope", [0.0, 0.7])
def test_polarity_range_and_light_do_not_matter(digits, paper, shade, slope):
    ink = drawn(digits[2, ..., 0])
    y, x = np.meshgrid(np.linspace(0, 1, 300), np.linspace(0, 1, 400), indexing="ij")
    contrast = 0.4 * paper
    brightness = paper + contrast * (shade * ink + slope * (x - y) / 2) + RNG.normal(0, 0.05 * contrast, ink.shape)
    image, done = prepare(brightness, np.ones(ink.shape, bool))
    assert alike(image, fitted((255 * ink).astype(np.uint8))) > 0.9
    assert any("not inverted" in words for words in done) == (shade > 0)


def test_the_light_is_a_quadratic_surface_through_the_paper(digits):
    ink = drawn(digits[0, ..., 0], size=(256, 256), place=(40, 60))
    y, x = np.meshgrid(np.linspace(-1, 1, 256), np.linspace(-1, 1, 256), indexing="ij")
    surface = 100 + 20 * x - 10 * y + 5 * x * y - 15 * x * x
    found = light(surface - 50 * ink, np.ones(ink.shape, bool))
    assert np.abs(found - surface).max() < 1


@pytest.mark.parametrize("margin", [0.0, 0.01, 0.02, 0.03, 0.05])
@pytest.mark.parametrize("font", ["DejaVuSans", "DejaVuSans-Bold"])
def test_a_digit_that_fills_the_picture_is_found(font, margin):
    """Its border is ink: cropped to its box, and with little paper around it. Two in twenty may be mistaken."""
    face = ImageFont.truetype(f"{get_data_path()}/fonts/ttf/{font}.ttf", 120)
    likeness = []
    for number, shade in itertools.product(range(10), (-1, 1)):
        picture = Image.new("L", (300, 300))
        ImageDraw.Draw(picture).text((60, 60), str(number), font=face, fill=255)
        cut = np.asarray(picture.crop(picture.getbbox()))
        ink = np.pad(cut, round(margin * max(cut.shape)))
        image, _ = prepare(128 + 0.2 * shade * ink, np.ones(ink.shape, bool))
        likeness.append(alike(image, fitted(ink)))
    assert np.mean(np.array(likeness) > 0.85) >= 0.9, likeness


def test_a_disc_that_nearly_fills_the_picture_is_found():
    y, x = np.mgrid[:200, :200] - 100
    ink = (y * y + x * x < 80 * 80).astype(float)
    image, done = prepare(255 - 255 * ink, np.ones(ink.shape, bool))
    assert alike(image, fitted((255 * ink).astype(np.uint8))) > 0.95
    assert "added a margin" in done


def test_a_table_beside_the_paper_is_no_digit(digits):
    ink = drawn(digits[1, ..., 0])
    brightness = 200 - 100 * ink
    brightness[:, :25] = 60
    image, _ = prepare(brightness, np.ones(ink.shape, bool))
    assert alike(image, fitted((255 * ink).astype(np.uint8))) > 0.9


def test_a_stroke_apart_belongs_to_the_digit_and_a_speck_does_not():
    ink = np.zeros((200, 200), np.uint8)
    ink[60:140, 80:92] = ink[60:72, 104:130] = 255  # as the bar of a 5
    specked = ink.copy()
    specked[180:182, 20:22] = 255
    both = [prepare(image.astype(float), np.ones(image.shape, bool))[0] for image in (ink, specked)]
    np.testing.assert_array_equal(both[0], both[1])
    assert alike(both[0], fitted(ink)) > 0.95


@pytest.mark.parametrize(
    "brightness",
    [
        np.full((300, 300), 200.0),
        np.zeros((28, 28)),
        np.zeros((1, 1)),
        np.zeros((1, 500)),
        np.tile(np.linspace(0, 255, 300), (200, 1)),
        RNG.normal(128, 10, (300, 300)),
    ],
)
def test_a_picture_in_which_nothing_is_drawn_is_refused(brightness):
    with pytest.raises(UserError, match="expected a digit"):
        prepare(brightness, np.ones(brightness.shape, bool))


def test_what_is_transparent_everywhere_is_refused():
    with pytest.raises(UserError, match="transparent"):
        prepare(np.zeros((20, 20)), np.zeros((20, 20), bool))


@pytest.mark.parametrize("shape", [(1, 60_000), (60_000, 40)])
def test_a_narrow_strip_is_refused_before_a_margin_is_made(shape):
    with pytest.raises(UserError, match="strip"):
        prepare(np.zeros(shape), np.ones(shape, bool))


def test_a_long_one_with_its_paper_is_no_strip():
    picture = np.full((40, 700), 255.0)
    picture[4:36, 340:346] = 0
    assert prepare(picture, np.ones(picture.shape, bool)).image.max() == 255
