"""Many images of one size as one picture."""

import numpy as np

WHITE = 255


def tiled(images: np.ndarray, columns: int, gap: int = 2) -> np.ndarray:
    """uint8 images (N, height, width) as one picture, row by row, `gap` white pixels apart. What is left is white."""
    count, height, width = images.shape
    rows = -(-count // columns)
    tiles = np.full((rows * columns, height + gap, width + gap), WHITE, np.uint8)
    tiles[:count, :height, :width] = images
    picture = tiles.reshape(rows, columns, height + gap, width + gap).swapaxes(1, 2)
    return picture.reshape(rows * (height + gap), columns * (width + gap))[: -gap or None, : -gap or None]
