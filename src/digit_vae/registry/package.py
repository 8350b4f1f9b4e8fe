"""A trained run as a model of MLflow: its code, its two ONNX files, its signature, an example and its requirements."""

import contextlib
import os
import tempfile
import textwrap
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema, TensorSpec

from digit_vae.base.errors import UserError
from digit_vae.base.files import write_bytes
from digit_vae.config.schema import FULL
from digit_vae.exports.graphs import onnx_files
from digit_vae.serving.trained import TrainedRun

CODE = Path(__file__).with_name("served_model.py")
NEEDED = ("mlflow", "numpy", "onnxruntime")  # with the versions that are installed here


def signature(latent_dim: int) -> ModelSignature:
    """What goes in and, of the task `reconstruct`, comes out; `served_model` says the rest.

    The input has no fixed sides: images have 28x28, points of the latent space 1xd.
    """
    from digit_vae.registry.served_model import DEFAULTS, SIDE

    kind = np.dtype(np.float32)
    shapes = {"z_mean": (-1, latent_dim), "z_log_var": (-1, latent_dim), "reconstruction": (-1, SIDE, SIDE)}
    outputs: list[ColSpec | TensorSpec] = [
        TensorSpec(kind, shape, name) for name, shape in (shapes | {"elbo": (-1,)}).items()
    ]
    kinds = {name: "string" if isinstance(value, str) else "long" for name, value in DEFAULTS.items()}
    params = ParamSchema([ParamSpec(name, kinds[name], value) for name, value in DEFAULTS.items()])
    return ModelSignature(Schema([TensorSpec(kind, (-1, -1, -1))]), Schema(outputs), params)


def input_example() -> np.ndarray:
    """A one, drawn by hand: (1, 28, 28) float32 in [0, 1]."""
    image = np.zeros((1, 28, 28), np.float32)
    image[0, 5:23, 13:15] = 1
    return image


@contextlib.contextmanager
def parts(run: TrainedRun) -> Iterator[dict[str, Any]]:
    """What `mlflow.pyfunc` takes to save or log the run's model; its files are there within the block.

    Raises: UserError for a run that did not learn from all training images, or whose weights cannot be read.
    """
    if run.name.split("-")[1:2] != [FULL]:
        raise UserError(f"expected a run on all training images, <variant>-{FULL}-<seed>; received {run.name}")
    with tempfile.TemporaryDirectory() as folder:
        for name, content in onnx_files(run).items():
            write_bytes(Path(folder) / name, content)
        yield {
            "python_model": str(CODE),
            "artifacts": {part: str(Path(folder) / f"{part}.onnx") for part in ("encoder", "decoder")},
            "signature": signature(run.params.latent_dim),
            "input_example": input_example(),
            "pip_requirements": [f"{name}=={version(name)}" for name in NEEDED],
        }


def save(run: TrainedRun, folder: Path) -> None:
    """Writes the model into a new or empty `folder`, or where that leads as a link: whole or not at all.

    Raises: UserError as `parts` does, when something is in the folder, or when it cannot be written.
    """
    place = Path(os.path.realpath(folder))
    try:
        if place.exists() and (not place.is_dir() or any(place.iterdir())):
            received = "a folder with something in it" if place.is_dir() else "a file"
            raise UserError(f"{folder}: expected a new or an empty folder for the model; received {received}")
        place.parent.mkdir(parents=True, exist_ok=True)
        with parts(run) as given, tempfile.TemporaryDirectory(dir=place.parent, prefix=f".{place.name}.tmp.") as beside:
            made = Path(beside) / "model"
            mlflow.pyfunc.save_model(made, mlflow_model=Model(), **given)
            made.rename(place)
    except (MlflowException, OSError) as error:
        reason = textwrap.shorten(getattr(error, "strerror", None) or str(error), 300, placeholder=" ...")
        raise UserError(f"{folder} could not be written: {reason}") from error
