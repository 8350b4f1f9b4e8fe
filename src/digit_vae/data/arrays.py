"""The arrays of data/processed, each read only if its SHA-256 is the one in the manifest."""

from typing import NamedTuple

import numpy as np

from digit_vae.base.files import damaged, existing, read_json, read_npy, sha256
from digit_vae.base.paths import MANIFEST, PROCESSED, split_file
from digit_vae.config.runs import Run
from digit_vae.config.schema import FULL

STAGE = "preprocess"  # makes them all


class Arrays(NamedTuple):
    """All images and labels, memory-mapped and read-only: images uint8 (N, 28, 28, 1), labels uint8 (N,), or (0,) where
    there are none.
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


def read_arrays() -> Arrays:
    """Raises: UserError when a file is missing or not the one that the manifest lists."""
    return Arrays(*(read_listed(f"{name}.npy")[0] for name in Arrays._fields))


def read_held_out(run: Run) -> tuple[np.ndarray, str]:
    """Which training images `run` holds out, as sorted int64 indices (none for "full"), and the file's SHA-256.

    Raises: UserError when the file is missing or not the one that the manifest lists.
    """
    return read_listed(split_file(run.split_name))


def read_listed(name: str) -> tuple[np.ndarray, str]:
    """The array in the file `name` of data/processed, memory-mapped and read-only, and the file's SHA-256.

    Raises: UserError when it is missing or not the one that the manifest lists.
    """
    path = existing(PROCESSED / name, made_by=STAGE)
    digest = sha256(path)
    if listed_hashes().get(name) != digest:
        raise damaged(path, STAGE, f"its SHA-256 is not the one in {MANIFEST.name}")
    return read_npy(path, made_by=STAGE), digest


def data_hashes(run: Run) -> dict[str, str]:
    """The SHA-256 of a run's training images and of its validation images or split, as in its history.json.

    Raises: UserError when the manifest is missing or does not list them.
    """
    names = {
        "train_images": "train_images.npy",
        "validation": "test_images.npy" if run.split == FULL else split_file(run.split_name),
    }
    listed = listed_hashes()
    if missing := [name for name in names.values() if name not in listed]:
        raise damaged(MANIFEST, STAGE, f"it does not list {', '.join(missing)}")
    return {key: listed[name] for key, name in names.items()}


def listed_hashes() -> dict[str, str]:
    """The SHA-256 of each array by its file's name below data/processed. Raises: UserError."""
    listed = read_json(MANIFEST, made_by=STAGE, keys=("sha256",))["sha256"]
    if not isinstance(listed, dict):
        raise damaged(MANIFEST, STAGE, "its hashes are no mapping")
    return listed
