"""Turns the raw files into the arrays of all later stages, and checks them."""

from pathlib import Path
from typing import Any

import numpy as np

from digit_vae.base.errors import UserError
from digit_vae.base.files import damaged, existing
from digit_vae.config.schema import PreprocessParams
from digit_vae.data.arrays import Arrays
from digit_vae.data.idx import read_images, read_labels
from digit_vae.data.mnist import CLASSES, SIDE, DataSet, RawFile


def read_raw(folder: Path, files: DataSet, params: PreprocessParams) -> Arrays:
    """The first images and labels of each set, as many as `params` keep. Raises: UserError for what is unsound."""
    train = _read_set("train", folder, files.train_images, files.train_labels, params.train_images)
    test = _read_set("test", folder, files.test_images, files.test_labels, params.test_images)
    check_apart(train[0], test[0])
    return Arrays(*train, *test)


def label_counts(labels: np.ndarray) -> dict[str, Any]:
    """How many images there are, and how many of each digit."""
    counts = np.bincount(labels, minlength=CLASSES)
    return {"images": len(labels), "labels": {str(label): int(count) for label, count in enumerate(counts)}}


def check_images(images: np.ndarray, labels: np.ndarray, name: str) -> None:
    """Refuses a set, called `name`, that the later stages do not expect. Raises: UserError."""
    _expect(images.shape[1:] == (SIDE, SIDE, 1), name, f"images shaped (N, {SIDE}, {SIDE}, 1)", images.shape)
    _expect(labels.shape == images.shape[:1], name, "one label for each image", f"{labels.shape} for {images.shape}")
    types = (str(images.dtype), str(labels.dtype))
    _expect(types == ("uint8", "uint8"), name, "images and labels of type uint8", types)
    classes = np.unique(labels).tolist()
    _expect(classes == list(range(CLASSES)), name, f"every label from 0 to {CLASSES - 1} and no other", classes)
    pixels = (int(images.min()), int(images.max()))
    _expect(pixels == (0, 255), name, "pixels from 0 to 255", pixels)
    blank = np.flatnonzero(~images.any(axis=(1, 2, 3))).tolist()
    _expect(not blank, name, "a stroke in every image", f"{len(blank)} blank ones, the first at {blank[:1]}")


def check_apart(train_images: np.ndarray, test_images: np.ndarray) -> None:
    """No test image may be learnt from; in MNIST no image, byte for byte, is in both sets. Raises: UserError."""
    known = {image.tobytes() for image in train_images}
    shared = [index for index, image in enumerate(test_images) if image.tobytes() in known]
    received = f"{len(shared)} that are training images, the first at {shared[:1]}"
    _expect(not shared, "test set", "images that are not in the training set", received)


def _read_set(
    name: str, folder: Path, images_file: RawFile, labels_file: RawFile, kept: int | None
) -> tuple[np.ndarray, np.ndarray]:
    for file in (images_file, labels_file):
        if not file.is_at(existing(folder / file.name, made_by="fetch")):
            raise damaged(folder / file.name, "fetch", f"its SHA-256 is not {file.sha256}")
    images, labels = read_images(folder / images_file.name), read_labels(folder / labels_file.name)
    check_images(images, labels, f"{name} set")
    if kept is None:
        return images, labels
    if kept > len(images):
        raise UserError(f"preprocess.{name}_images: expected at most the {len(images)} there are; received {kept}")
    check_images(images[:kept], labels[:kept], f"first {kept} images of the {name} set")
    return images[:kept], labels[:kept]


def _expect(holds: bool, name: str, expected: str, received: object) -> None:
    if not holds:
        raise UserError(f"{name}: expected {expected}; received {received}")
