"""The two ways in which an image becomes the x of log p(x). Their numbers are of different kinds and share no column.

grey       the pixels as they are, in [0, 1], put into the binary cross-entropy: the paper's loss. It is no likelihood,
           since grey pixels are no outcomes of a Bernoulli variable, and no model gets below the entropy floor.
binarised  pixels of at least 0.5 are 1, the others 0: a true likelihood of binary images, with an entropy floor of 0.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from scipy.special import entr

GREY = "grey"
BINARISED = "binarised"
PROTOCOLS = (GREY, BINARISED)


class Nats(NamedTuple):
    """A number of nats per image, with the protocol that it was measured by."""

    value: float
    protocol: str


def prepared(images: np.ndarray, protocol: str) -> np.ndarray:
    """The images as the protocol sees them. images: uint8 of any shape, 255 for 1. Returns: the same shape, uint8."""
    return {GREY: images, BINARISED: np.where(images >= 127.5, np.uint8(255), np.uint8(0))}[protocol]


def entropy_floor(images: np.ndarray) -> float:
    """The least binary cross-entropy that any model can have: the pixels' own entropy -x ln x - (1 - x) ln(1 - x).

    images: (N, ...) uint8. Returns: nats per image, their mean.
    """
    values = np.arange(256) / 255
    return float((np.bincount(images.ravel(), minlength=256) * (entr(values) + entr(1 - values))).sum() / len(images))


def column(title: str, cells: Iterable[Nats]) -> tuple[str, list[float]]:
    """A table's column of numbers that may stand under each other, with a title that states their protocol.

    Raises: ValueError when they are not all of one protocol.
    """
    cells = list(cells)
    found = sorted({cell.protocol for cell in cells})
    if len(found) != 1:
        raise ValueError(f"expected numbers of one protocol in the column {title!r}. Received: protocols={found}")
    return f"{title} ({found[0]})", [cell.value for cell in cells]
