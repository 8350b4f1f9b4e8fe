"""A project with somebody's own images: scikit-learn's digits, enlarged to 28x28 pixels, in a folder of theirs."""

import struct
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits
from synthetic import write_params

from digit_vae.config.schema import Params
from digit_vae.data.mnist import NAMES

TRAIN, TEST = 240, 60
NOUNS = ("null", "one", "two", "three")  # names of the classes in folders
STUDIES = {
    "paper": {"question": "?", "variants": ["baseline"], "splits": ["full"], "seeds": [0]},
    "ablation": {
        "question": "Do they differ?",
        "variants": ["baseline", "dropout"],
        "splits": ["fold0", "fold1"],
        "seeds": [0],
        "against": "baseline",
    },
}
ONE_RUN = {"paper": STUDIES["paper"]}


def own_images() -> tuple[np.ndarray, np.ndarray]:
    """The first digits below four, (N, 28, 28) uint8, and their labels (N,)."""
    data = load_digits()
    chosen = np.flatnonzero(data.target < len(NOUNS))[: TRAIN + TEST]
    large = (data.images[chosen] * 255 / 16).round().astype(np.uint8).repeat(3, axis=1).repeat(3, axis=2)
    return np.pad(large, ((0, 0), (2, 2), (2, 2))), data.target[chosen].astype(np.uint8)


def write_pictures(folder: Path, *, labelled: bool, train: int = TRAIN, test: int = TEST) -> None:
    """The first images as PNG files in train/ and test/, in a folder for each class or, without labels, as they are."""
    images, labels = (part[: train + test] for part in own_images())
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        place = folder / ("train" if number < train else "test") / (NOUNS[label] if labelled else "")
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{number:03}.png")


def write_idx(folder: Path) -> None:
    """Four IDX files. The test images have no zero."""
    images, labels = own_images()
    test = np.flatnonzero(labels[TRAIN:] != 0) + TRAIN
    folder.mkdir()
    for name, values in zip(NAMES, (images[:TRAIN], labels[:TRAIN], images[test], labels[test]), strict=True):
        header = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
        (folder / name).write_bytes(header + values.tobytes())


def write_own_params(root: Path, **sections: dict) -> Params:
    """A graph of five runs, or of those of `studies`, on the images in `mine`."""
    small = {
        "fetch": {"dataset": "folder", "folder": "mine", "mirrors": [], "npm_package": None},
        "preprocess": {"folds": 2},
        "train": {"epochs": 2},
        "classifier": {"epochs": 2, "minimum_accuracy": 0.2},
        "studies": STUDIES,
        "report": {"second_run": "baseline-full-0"},
        "publish": {"beyond": []},
    }
    for name, section in sections.items():
        small[name] = section if name == "studies" else small[name] | section
    return write_params(root, **small)
