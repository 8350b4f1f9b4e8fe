"""Which training images a run holds out of learning."""

from collections.abc import Iterable, Sequence

import numpy as np

from digit_vae.base.errors import UserError
from digit_vae.config.schema import FULL

FOLD = "fold"
FEWEST_IN, FEWEST_OUTSIDE = (
    2,
    3,
)  # images of a fold, whose spread is their error; others, to half of which a density is fitted


def held_out(labels: np.ndarray, split: str, *, folds: int, seed: int) -> np.ndarray:
    """The training images that `split` holds out of learning: sorted int64 indices into `labels` (N,).

    "full" holds out none; "fold2" holds out the third of the stratified folds that `seed` draws.
    Raises: UserError when a class has fewer images than there are folds.
    """
    if split == FULL:
        return np.empty(0, np.int64)
    return stratified_folds(labels, folds=folds, seed=seed)[int(split.removeprefix(FOLD))]


def draw_splits(labels: np.ndarray, wanted: Iterable[tuple[str, int]], *, folds: int) -> dict[str, np.ndarray]:
    """What each (split, seed) of `wanted` holds out, by the split's name ("fold2-0"). Raises: UserError."""
    if any(split != FULL for split, _ in wanted):
        check_sizes(len(labels), folds)
    drawn = {f"{split}-{seed}": held_out(labels, split, folds=folds, seed=seed) for split, seed in wanted}
    for seed in {seed for split, seed in wanted if split != FULL}:
        check_folds(stratified_folds(labels, folds=folds, seed=seed), labels)
    return drawn


def stratified_folds(labels: np.ndarray, *, folds: int, seed: int) -> list[np.ndarray]:
    """The images of each fold: sorted int64 indices into `labels` (N,).

    Raises: UserError when a class has fewer images than there are folds.
    """
    # Imported here: it takes seconds, and reading splits does not need it.
    from sklearn.model_selection import StratifiedKFold

    classes, counts = np.unique(labels, return_counts=True)
    rarest = counts.argmin()
    if counts[rarest] < folds:
        raise UserError(
            f"preprocess.folds: expected at most as many folds as the rarest class has images "
            f"(class {classes[rarest]} has {counts[rarest]}); received {folds}"
        )
    splitter = StratifiedKFold(n_splits=folds, shuffle=True, random_state=seed)
    return [np.sort(validated).astype(np.int64) for _, validated in splitter.split(labels, labels)]


def check_sizes(images: int, folds: int) -> None:
    """Raises: UserError where so many images are too few for so many folds."""
    least, most = images // folds, -(-images // folds)
    if least < FEWEST_IN or images - most < FEWEST_OUTSIDE:
        expected = f"at least {FEWEST_IN} training images in each fold and {FEWEST_OUTSIDE} outside of it"
        raise UserError(f"preprocess.folds: expected {expected}; received {folds} folds of {images} images")


def check_folds(folds: Sequence[np.ndarray], labels: np.ndarray) -> None:
    """Checks that every training image is in exactly one fold and that each class is spread evenly over them.

    Raises: UserError that names the fold, the image or the class.
    """
    for number, fold in enumerate(folds):
        outside = fold[(fold < 0) | (fold >= len(labels))]
        if outside.size:
            raise UserError(f"fold {number}: expected indices below {len(labels)}; received {outside[0]}")
    uses = np.bincount(np.concatenate(folds), minlength=len(labels))
    if (uses != 1).any():
        image = int((uses != 1).argmax())
        raise UserError(f"folds: expected every training image in exactly one; received image {image} in {uses[image]}")
    histograms = np.array([np.bincount(labels[fold], minlength=labels.max() + 1) for fold in folds])
    spread = np.ptp(histograms, axis=0)
    if (spread > 1).any():
        label = int(spread.argmax())
        counts = histograms[:, label].tolist()
        raise UserError(f"folds: expected equally many images of class {label} in each, up to one; received {counts}")
