"""Stratified folds of the training images, and what has to hold for them."""

from collections.abc import Sequence

import numpy as np

from digit_vae.base.errors import UserError


def stratified_folds(labels: np.ndarray, *, folds: int, seed: int) -> list[np.ndarray]:
    """For each fold the images it is validated on: sorted int64 indices into `labels` (N,).

    Raises: UserError when a class has fewer images than there are folds.
    """
    # Here, since training needs this module and not scikit-learn, which takes seconds to import.
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


def check_folds(folds: Sequence[np.ndarray], labels: np.ndarray) -> None:
    """Every training image is in exactly one fold, nothing else is, and each class is spread evenly.

    Raises: UserError that names the fold.
    """
    for number, fold in enumerate(folds):
        outside = fold[(fold < 0) | (fold >= len(labels))]
        if outside.size:
            raise UserError(
                f"fold {number}: expected indices of the {len(labels)} training images; received {outside[0]}"
            )
    uses = np.bincount(np.concatenate(folds), minlength=len(labels))
    if (uses != 1).any():
        image = int((uses != 1).argmax())
        raise UserError(f"folds: expected every training image in exactly one; received image {image} in {uses[image]}")
    histograms = np.array([np.bincount(labels[fold], minlength=labels.max() + 1) for fold in folds])
    spread = np.ptp(histograms, axis=0)
    if (spread > 1).any():
        label = int(spread.argmax())
        raise UserError(
            f"folds: expected equally many images of class {label} in each, give or take one; "
            f"received {histograms[:, label].tolist()}"
        )


def learnt_and_validated(images: np.ndarray, validation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The indices that a run learns from, and the images that it is validated on.

    images: (N, 28, 28, 1) training images; validation: other images (M, 28, 28, 1), validated on after learning from
    all of `images`; or (M,) indices of the training images that are held out of learning to be validated on.
    """
    if validation.ndim > 1:
        return np.arange(len(images)), validation
    return np.setdiff1d(np.arange(len(images)), validation), images[validation]
