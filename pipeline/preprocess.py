"""Stage `preprocess`: the raw files as checked arrays, and the splits that the runs of params.yaml need.

    python -m pipeline.preprocess

data/processed/{train,test}_images.npy      uint8 (N, 28, 28, 1), scaled to [0, 1] only on the way into the model
data/processed/{train,test}_labels.npy      uint8 (N,)
data/processed/splits/<split>-<seed>.npy    int64, sorted: the training images held out of learning, none for `full`
data/processed/manifest.json                counts, label histograms, SHA-256 of every array
"""

import argparse
import sys

import numpy as np

from digit_vae.base.errors import UserError, exit_status
from digit_vae.base.files import npy_bytes, sha256, write_folder, write_json, write_npy
from digit_vae.base.paths import MANIFEST, PROCESSED, RAW, split_file
from digit_vae.config.loading import load_params
from digit_vae.config.runs import splits
from digit_vae.data import sources as mnist
from digit_vae.data.splits import draw_splits


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
    params = load_params()
    kept = params.preprocess
    train_images, train_labels = load_set("train", mnist.TRAIN_IMAGES, mnist.TRAIN_LABELS, kept.train_images)
    test_images, test_labels = load_set("test", mnist.TEST_IMAGES, mnist.TEST_LABELS, kept.test_images)
    mnist.check_apart(train_images, test_images)
    drawn = draw_splits(train_labels, splits(params), folds=kept.folds)
    arrays = {
        "train_images.npy": train_images,
        "train_labels.npy": train_labels,
        "test_images.npy": test_images,
        "test_labels.npy": test_labels,
    }
    for name, array in arrays.items():
        write_npy(PROCESSED / name, array)
    write_folder(PROCESSED / "splits", {f"{name}.npy": npy_bytes(indices) for name, indices in drawn.items()})
    write_json(
        MANIFEST,
        {
            "train": summary(train_labels),
            "test": summary(test_labels),
            "splits": {name: summary(train_labels[indices]) for name, indices in drawn.items()},
            "sha256": {name: sha256(PROCESSED / name) for name in (*arrays, *map(split_file, drawn))},
        },
    )


if __name__ == "__main__":
    sys.exit(exit_status(main))
