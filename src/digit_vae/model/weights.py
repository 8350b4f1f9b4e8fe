"""Weights as `.weights.h5` files, and back: Keras names the layers in them by the names of Keras' own classes."""

import tempfile
import warnings
from pathlib import Path

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
        raise UserError(f"the weights could not be written to a temporary file: {error}") from error


def load_weights(model: keras.Model, weights: Path, *, made_by: str) -> None:
    """Gives `model` the weights of a `.weights.h5` file.

    Raises: UserError naming `made_by`, the stage that makes the file, when it is missing, damaged or another model's.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # Keras would go on without the layers that it does not find
            model.load_weights(existing(weights, made_by=made_by))
    except (*UNREADABLE, UserWarning) as error:
        raise damaged(weights, made_by, " ".join(str(error).split())) from error
