import numpy as np

from digit_vae.base.tiles import tiled


def test_images_are_set_row_by_row_with_gaps_and_fills_the_rest():
    images = np.stack([np.full((2, 3), value, np.uint8) for value in (1, 2, 3)])
    expected = [
        [1, 1, 1, 255, 2, 2, 2],
        [1, 1, 1, 255, 2, 2, 2],
        [255, 255, 255, 255, 255, 255, 255],
        [3, 3, 3, 255, 255, 255, 255],
        [3, 3, 3, 255, 255, 255, 255],
    ]
    np.testing.assert_array_equal(tiled(images, columns=2, gap=1), expected)


def test_without_gaps_they_stand_side_by_side():
    images = np.random.default_rng(0).integers(0, 256, (6, 4, 5), np.uint8)
    np.testing.assert_array_equal(
        tiled(images, columns=3, gap=0), np.block([[*images[:3]], [*images[3:]]])
    )  # fmt: skip
