"""How far generated images cover real ones, and how far they stay among them: improved precision and recall.

Kynkaanniemi et al. 2019, "Improved Precision and Recall Metric for Assessing Generative Models", section 3: a set of
features X stands for the region of all balls around its members that reach to their k-th nearest neighbour in X.
Precision is the share of generated images whose features are in the region of the real ones, recall the share of real
images that are in the region of the generated ones (their equations 1 and 2, with their k = 3).
"""

from typing import NamedTuple

import numpy as np
from sklearn.neighbors import NearestNeighbors

NEIGHBOURS = 3
IMAGES = 5000  # of a set, at most: the distances of all pairs are computed
BLOCK = 500  # points at a time: their products with all others stay small


class Region(NamedTuple):
    """The balls around N features: features (N, F), radii (N,), float64."""

    features: np.ndarray
    radii: np.ndarray


class Covered(NamedTuple):
    """Shares from 0 to 1."""

    precision: float
    recall: float


def region(features: np.ndarray, count: int) -> Region:
    """Of `count` of the features, at even distances: images may be in order. features: (N, F), N >= count >= 2.

    Where there are fewer than 4, the radii reach to the farthest of the others.
    """
    features = features[np.linspace(0, len(features) - 1, count).astype(int)]
    neighbours = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(features) - 1), algorithm="brute").fit(features)
    distances, _ = neighbours.kneighbors()  # of each to all others
    return Region(features, distances[:, -1])


def covered(real: Region, generated: Region) -> Covered:
    """Compare sets of one size: a region grows with the distances between its members."""
    return Covered(_share_inside(generated.features, real), _share_inside(real.features, generated))


def _share_inside(points: np.ndarray, balls: Region) -> float:
    """|p - x|^2 <= r^2 for any x, as 2 p.x + r^2 - |x|^2 >= |p|^2: one product of matrices, and a maximum."""
    levels = balls.radii**2 - (balls.features**2).sum(axis=1)
    squares = (points**2).sum(axis=1)
    blocks = (slice(start, start + BLOCK) for start in range(0, len(points), BLOCK))
    inside = [(2 * points[each] @ balls.features.T + levels).max(axis=1) >= squares[each] for each in blocks]
    return float(np.concatenate(inside).mean())
