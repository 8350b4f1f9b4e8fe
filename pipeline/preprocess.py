"""Stage `preprocess`: the raw files as checked arrays, and the folds of the training images.

    python -m pipeline.preprocess

data/processed/{train,test}_images.npy   uint8 (N, 28, 28, 1), scaled to [0, 1] only on the way into the model
data/processed/{train,test}_labels.npy   uint8 (N,)
data/processed/folds/<k>.npy             int64, sorted: the training images that fold k is validated on
data/processed/manifest.json             counts, label histograms, SHA-256 of every array
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from digit_vae.data import sources as mnist
from digit_vae.data import splits
from digit_vae.base.errors import UserError, exit_status
from digit_vae.base.files import npy_bytes, sha256, write_folder, write_json, write_npy
from digit_vae.config.params import load_params

RAW = Path("data/raw")
PROCESSED = Path("data/processed")


def load_set(
    name: str, images_file: mnist.IdxFile, labels_file: mnist.IdxFile, kept: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """The first `kept` images and labels (None: all) of a set, checked."""
    for file in (images_file, labels_file):
        mnist.check_intact(RAW / file.name, file)
    images, labels = mnist.read_images(RAW / images_file.name), mnist.read_labels(RAW / labels_file.name)
    mnist.check_images(images, labels, f"{name} set")
    if kept is None:
        return images, labels
    if kept > len(images):
        raise UserError(f"preprocess.{name}_images: expected at most the {len(images)} there are; received {kept}")
    mnist.check_images(images[:kept], labels[:kept], f"first {kept} images of the {name} set")
    return images[:kept], labels[:kept]


def summary(labels: np.ndarray) -> dict:
    """How many images, and how many of each digit."""
    counts = np.bincount(labels, minlength=mnist.CLASSES)
    return {"images": len(labels), "labels": {str(label): int(count) for label, count in enumerate(counts)}}


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    params = load_params().preprocess
    train_images, train_labels = load_set("train", mnist.TRAIN_IMAGES, mnist.TRAIN_LABELS, params.train_images)
    test_images, test_labels = load_set("test", mnist.TEST_IMAGES, mnist.TEST_LABELS, params.test_images)
    mnist.check_apart(train_images, test_images)
    folds = splits.stratified_folds(train_labels, folds=params.folds, seed=params.seed)
    splits.check_folds(folds, train_labels)

    arrays = {
        "train_images.npy": train_images,
        "train_labels.npy": train_labels,
        "test_images.npy": test_images,
        "test_labels.npy": test_labels,
    }
    for name, array in arrays.items():
        write_npy(PROCESSED / name, array)
    fold_files = {f"{number}.npy": npy_bytes(fold) for number, fold in enumerate(folds)}
    write_folder(PROCESSED / "folds", fold_files)
    write_json(
        PROCESSED / "manifest.json",
        {
            "train": summary(train_labels),
            "test": summary(test_labels),
            "folds": {str(number): summary(train_labels[fold]) for number, fold in enumerate(folds)},
            "sha256": {name: sha256(PROCESSED / name) for name in (*arrays, *(f"folds/{name}" for name in fold_files))},
        },
    )


if __name__ == "__main__":
    sys.exit(exit_status(main))
