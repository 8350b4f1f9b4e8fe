"""Which training images a run learns from, and which images it is validated on."""

from typing import NamedTuple

import numpy as np


class Images(NamedTuple):
    """What a run may learn from and be validated on: images (N, 28, 28, 1) uint8, and indices into `train`."""

    train: np.ndarray
    held_out: np.ndarray
    test: np.ndarray


def learnt_and_validated(
    images: np.ndarray, held_out: np.ndarray, test_images: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The indices of the training images that a run learns from, and the images that it is validated on.

    images: (N, 28, 28, 1) training images; held_out: (M,) indices of those that are held out and validated on; where
    there are none, the run learns from all and is validated on `test_images` (K, 28, 28, 1).
    """
    if not held_out.size:
        return np.arange(len(images)), test_images
    return np.setdiff1d(np.arange(len(images)), held_out), images[held_out]
