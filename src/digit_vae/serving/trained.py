"""What there is of a trained run, by its name: the parameters that it was trained with, and its weights."""

from pathlib import Path
from typing import NamedTuple

from digit_vae.base.errors import UserError
from digit_vae.base.files import damaged, existing, read_json, sha256
from digit_vae.base.paths import RunFiles
from digit_vae.config.loading import load_params, read_run_params
from digit_vae.config.runs import GRAPHS, find_run
from digit_vae.config.schema import RunParams


class TrainedRun(NamedTuple):
    """encoder, decoder: the two files with its weights. made_by: the stage that trains it."""

    name: str
    params: RunParams
    encoder: Path
    decoder: Path
    made_by: str


def find_trained(name: str) -> TrainedRun:
    """The run called `name`, from the project's root folder, whether or not params.yaml still declares it.

    Its weights are those of its training here, or else the committed ones.
    Raises: UserError when there is no such run, it has no weights here, or a file is damaged.
    """
    if name == Path(name).name:  # not the way to another folder
        for files in (RunFiles(graph, name) for graph in GRAPHS):
            if files.history.is_file():
                return _read(files, _training(name))
    run = find_run(load_params(), name)
    return _read(RunFiles(run.graph, run.name), run.stages[0])


def _training(name: str) -> str:
    """The stage that trains the run; of one that params.yaml does not declare, what such stages are called."""
    try:
        return find_run(load_params(), name).stages[0]
    except UserError:
        return f"train@{name}"


def _read(files: RunFiles, made_by: str) -> TrainedRun:
    """The run with these files. Its weights have to be those that its history was written with."""
    history = read_json(files.history, made_by=made_by, keys=("params", "weights_sha256"))
    try:
        params = read_run_params(history["params"], "params")
    except UserError as error:
        raise damaged(files.history, made_by, error) from error
    trained = TrainedRun(files.run, params, files.encoder, files.decoder, made_by)
    if files.published.is_dir() and not files.encoder.is_file():
        names = (files.encoder.name, files.decoder.name)
        trained = trained._replace(encoder=files.published / names[0], decoder=files.published / names[1])
    recorded = history["weights_sha256"]
    for part, path in (("encoder", trained.encoder), ("decoder", trained.decoder)):
        digest = sha256(existing(path, made_by=made_by))
        if isinstance(recorded, dict) and recorded.get(part) != digest:  # older results have one hash of both
            raise damaged(path, made_by, "its SHA-256 is not the one in history.json")
    return trained
