"""Weights as `.weights.h5` files, and back: Keras names the layers in them by the names of Keras' own classes."""

import tempfile
import warnings
from pathlib import Path

import h5py
import keras

from digit_vae.base.errors import UserError
from digit_vae.base.files import damaged, existing

# What h5py raises for bytes that it cannot read.
UNREADABLE = (OSError, KeyError, RuntimeError, ValueError, TypeError, MemoryError, OverflowError)


def weights_bytes(model: keras.Model) -> bytes:
    """The content of the model's `.weights.h5` file. Raises: UserError when there is no room for a temporary one."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.weights.h5"
            model.save_weights(path)
            return path.read_bytes()
    except (OSError, RuntimeError) as error:  # h5py has the latter for a disk that is full when it closes a file
        raise UserError(f"the weights could not be written to a temporary file: {_one_line(error)}") from error


def load_weights(model: keras.Model, weights: Path, *, made_by: str) -> None:
    """Gives `model` the weights of a `.weights.h5` file.

    Raises: UserError naming `made_by`, the stage that makes the file, when it is missing, damaged or another model's.
    """
    try:
        if (found := _arrays(existing(weights, made_by=made_by))) != len(model.weights):
            raise ValueError(f"expected {len(model.weights)} arrays for {model.name}; received {found}")
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # Keras would go on without the layers that it does not find
            model.load_weights(weights)
    except (*UNREADABLE, UserWarning) as error:
        raise damaged(weights, made_by, _one_line(error)) from error


def _arrays(weights: Path) -> int:
    """How many arrays the file has: Keras would leave out those of layers that the model lacks."""
    found: list[h5py.Dataset] = []
    with h5py.File(weights) as file:
        file.visititems(lambda _, each: found.append(each) if isinstance(each, h5py.Dataset) else None)
    return len(found)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
