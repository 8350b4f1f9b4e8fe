"""Turns the raw files into the arrays of all later stages, and checks them."""

from pathlib import Path
from typing import Any

import numpy as np

from digit_vae.base.errors import UserError
from digit_vae.base.files import damaged, existing
from digit_vae.config.schema import PreprocessParams
from digit_vae.data.arrays import Arrays
from digit_vae.data.datasets import KNOWN, Description
from digit_vae.data.idx import read_images, read_labels
from digit_vae.data.mnist import SIDE, RawFile


def read_raw(folder: Path, described: Description, params: PreprocessParams) -> Arrays:
    """The first images and labels of each set, as many as `params` keep; no labels (0,) where there are none.

    Raises: UserError for what is unsound.
    """
    files = described.files
    train = _read_set("train", folder, files.train_images, files.train_labels, described, params.train_images)
    test = _read_set("test", folder, files.test_images, files.test_labels, described, params.test_images)
    if described.dataset == "mnist":
        check_apart(train[0], test[0])
    alone = np.setdiff1d(test[1], train[1]).tolist()
    _expect(not alone, "train set", "images of each class in the test set", f"none of class {alone[:1]}")
    return Arrays(*train, *test)


def label_counts(labels: np.ndarray, images: int, classes: int) -> dict[str, Any]:
    """How many images there are, and how many of each class; of none without labels (0,)."""
    counts = np.bincount(labels, minlength=classes)
    return {"images": images, "labels": {str(label): int(count) for label, count in enumerate(counts)}}


def strata(arrays: Arrays) -> np.ndarray:
    """What the folds are to have equally many of: (N,), the labels; the same for all images without labels."""
    return arrays.train_labels if arrays.train_labels.size else np.zeros(len(arrays.train_images), np.uint8)


def check_images(images: np.ndarray, labels: np.ndarray, name: str, described: Description) -> None:
    """Refuses a set, called `name`, that the later stages do not expect. Raises: UserError.

    Of known data sets every class is there; of MNIST also pixels of each brightness, and no image is blank.
    """
    _expect(images.shape[1:] == (SIDE, SIDE, 1), name, f"images shaped (N, {SIDE}, {SIDE}, 1)", images.shape)
    types = (str(images.dtype), str(labels.dtype))
    _expect(types == ("uint8", "uint8"), name, "images and labels of type uint8", types)
    if not described.labelled:
        return
    _expect(labels.shape == images.shape[:1], name, "one label for each image", f"{labels.shape} for {images.shape}")
    if described.dataset in KNOWN:
        classes, last = np.unique(labels).tolist(), len(described.classes) - 1
        _expect(classes == list(range(last + 1)), name, f"every label from 0 to {last} and no other", classes)
    if described.dataset == "mnist":
        pixels = (int(images.min()), int(images.max()))
        _expect(pixels == (0, 255), name, "pixels from 0 to 255", pixels)
        blank = np.flatnonzero(~images.any(axis=(1, 2, 3))).tolist()
        _expect(not blank, name, "a stroke in every image", f"{len(blank)} blank ones, the first at {blank[:1]}")


def check_apart(train_images: np.ndarray, test_images: np.ndarray) -> None:
    """No test image may be learnt from; in MNIST no image, byte for byte, is in both sets. Raises: UserError."""
    shared = in_both(train_images, test_images)
    received = f"{len(shared)} that are training images, the first at {shared[:1]}"
    _expect(not shared, "test set", "images that are not in the training set", received)


def in_both(train_images: np.ndarray, test_images: np.ndarray) -> list[int]:
    """The indices of the test images that are training images as well, byte for byte."""
    known = {image.tobytes() for image in train_images}
    return [index for index, image in enumerate(test_images) if image.tobytes() in known]


def _read_set(
    name: str, folder: Path, images_file: RawFile, labels_file: RawFile, described: Description, kept: int | None
) -> tuple[np.ndarray, np.ndarray]:
    for file in (images_file, labels_file):
        if not file.is_at(existing(folder / file.name, made_by="fetch")):
            raise damaged(folder / file.name, "fetch", f"its SHA-256 is not {file.sha256}")
    images, labels = read_images(folder / images_file.name), read_labels(folder / labels_file.name)
    check_images(images, labels, f"{name} set", described)
    if kept is None:
        return images, labels
    if kept > len(images):
        raise UserError(f"preprocess.{name}_images: expected at most the {len(images)} there are; received {kept}")
    check_images(images[:kept], labels[:kept], f"first {kept} images of the {name} set", described)
    return images[:kept], labels[:kept]


def _expect(holds: bool, name: str, expected: str, received: object) -> None:
    if not holds:
        raise UserError(f"{name}: expected {expected}; received {received}")
