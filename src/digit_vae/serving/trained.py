"""What a training left in its folder, held against the hash and the parameters that it wrote down."""

from pathlib import Path
from typing import NamedTuple

from digit_vae.base.errors import UserError
from digit_vae.base.files import damaged, existing, read_json, sha256
from digit_vae.config.params import RunParams, read_run_params


class TrainedRun(NamedTuple):
    """What there is of a run on disk: the parameters it was trained with, and its weights."""

    name: str
    params: RunParams
    weights: Path


def read_trained(folder: Path, expected: RunParams | None = None) -> TrainedRun:
    """The run in `folder`, which bears its name.

    Raises: UserError when a file of it is missing or damaged, when the weights are not those that history.json was
    written with, or when it was trained with other parameters than `expected` (None: with any).
    """
    stage = f"train@{folder.name}"
    history, weights = folder / "history.json", folder / "model.weights.h5"
    content = read_json(history, made_by=stage, keys=("params", "weights_sha256"))
    if sha256(existing(weights, made_by=stage)) != content["weights_sha256"]:
        raise damaged(weights, stage, "its SHA-256 is not the one in history.json")
    try:
        params = read_run_params(content["params"], "params")
    except UserError as error:
        raise damaged(history, stage, error) from error
    if expected not in (None, params):
        raise UserError(f"{folder} was trained with other params than params.yaml has: run `dvc repro {stage}`")
    return TrainedRun(folder.name, params, weights)
