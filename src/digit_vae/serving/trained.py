"""Finds a trained run by its name: the parameters that it was trained with, and its weights."""

import sys
from pathlib import Path
from typing import NamedTuple

from digit_vae.base.errors import UserError
from digit_vae.base.files import NO_STAGE, damaged, read_json, sha256
from digit_vae.base.paths import RunFiles
from digit_vae.base.shapes import WEIGHTS_SHA256
from digit_vae.config.loading import load_params, read_run_params
from digit_vae.config.runs import GRAPHS, find_run, runs
from digit_vae.config.schema import Params, RunParams

PARTS = ("encoder", "decoder")


class TrainedRun(NamedTuple):
    """encoder, decoder: the two files with its weights. made_by: the argument of `dvc repro` that trains it, or
    NO_STAGE where params.yaml no longer declares it.
    """

    name: str
    params: RunParams
    encoder: Path
    decoder: Path
    made_by: str


def find_trained(name: str) -> TrainedRun:
    """The run called `name`, from the project's root folder, whether or not params.yaml still declares it.

    Its weights are those of its training here, or else the committed ones. Of an undeclared run standard error says so.
    Raises: UserError when there is no such run, it has no weights here, or a file is damaged.
    """
    params = load_params() if Path("params.yaml").is_file() else None  # a trained run outlives it
    if name == Path(name).name:  # not the way to another folder
        for files in (RunFiles(graph, name) for graph in GRAPHS):
            if files.history.is_file():
                found = _read(files, _training(params, name), params)
                if found.made_by == NO_STAGE:
                    print(f"{name}: params.yaml no longer declares this run", file=sys.stderr)
                return found
    declaring = params or load_params()
    run = find_run(declaring, name)
    return _read(run.files, _training(declaring, name), declaring)


def with_committed_weights(params: Params) -> list[str]:
    """The runs of section publish whose weights are here: they can be used in a fresh clone."""
    files = [RunFiles(graph, name) for graph in GRAPHS for name in getattr(params.publish, graph)]
    return [each.run for each in files if (each.published / "encoder.weights.h5").is_file() and each.history.is_file()]


def _training(params: Params | None, name: str) -> str:
    """The argument of `dvc repro` that trains a run; NO_STAGE for one that no params declare."""
    return {run.name: run.stages[0] for run in runs(params)}.get(name, NO_STAGE) if params else NO_STAGE


def _read(files: RunFiles, made_by: str, declared: Params | None) -> TrainedRun:
    """The run with these files. Its weights have to be those that its history names."""
    weights = {part: _weights(files, part, made_by, declared) for part in PARTS}
    history = read_json(files.history, made_by=made_by, keys={"params": dict, "weights_sha256": WEIGHTS_SHA256})
    try:
        params = read_run_params(history["params"], "params")
    except UserError as error:
        raise damaged(files.history, made_by, error) from error
    for part, path in weights.items():
        if history["weights_sha256"][part] != sha256(path):
            raise damaged(path, made_by, "its SHA-256 is not the one in history.json")
    return TrainedRun(files.run, params, weights["encoder"], weights["decoder"], made_by)


def _weights(files: RunFiles, part: str, made_by: str, params: Params | None) -> Path:
    """The file with the weights of the encoder or the decoder. Raises: UserError that says how to come by it."""
    trained, committed = (folder / f"{part}.weights.h5" for folder in (files.models, files.published))
    for path in (trained, committed):
        if path.is_file():
            return path
    others = ", ".join(with_committed_weights(params) if params else ()) or "no run"
    missing = f"there are no weights of {files.run} here, {trained} is missing"
    how = f"`dvc repro {made_by}` trains it" if made_by != NO_STAGE else "params.yaml no longer declares this run"
    raise UserError(f"{missing}: {how} (git has those of {others})")
