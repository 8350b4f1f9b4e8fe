"""Whether anything has happened since all was up to date: a look at 300 runs takes DVC 7 s, and MLflow half as long.

What DVC trusts is trusted here: a file is the same while its inode, size and time of change are. Whatever is not as it
was left is for DVC, or for MLflow, to look at. Others may write meanwhile: a file that vanishes is none.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from digit_vae.errors import UserError
from digit_vae.files import read_json, sha256_of, write_json

STAMP = Path(".dvc/tmp/repro.settled.json")
SOURCES = ("params.yaml", "dvc.yaml", "extended/dvc.yaml", "pipeline", "src", "reports/benchmarks")
MADE = ("runs.yaml", "dvc.lock", "extended/dvc.lock", "data", "models", "extended/models", "reports")


class Settled(NamedTuple):
    """The graphs that were up to date, the state of all files then, and that of MLflow's own store (None: unknown)."""

    graphs: list[str]
    files: str
    store: str | None


NOTHING = Settled([], "", None)


def read_settled() -> Settled:
    """What the last call left behind; nothing where that cannot be read, or is not what a call leaves."""
    try:
        settled = Settled(**read_json(STAMP, made_by="", keys=Settled._fields))
    except (TypeError, UserError):
        return NOTHING
    of_graphs = isinstance(settled.graphs, list) and {*map(type, settled.graphs)} <= {str}
    return settled if of_graphs and {type(settled.files), type(settled.store)} <= {str, type(None)} else NOTHING


def write_settled(settled: Settled) -> None:
    write_json(STAMP, settled._asdict())


def sources() -> str:
    """The state of what no command of this project writes."""
    return _state(_files(SOURCES))


def files() -> str:
    """The state of all files that the graphs read or make, and of DVC's cache, as far as its folders tell."""
    return _state([*_files((*SOURCES, *MADE)), *Path(".dvc/cache/files/md5").glob("*")])


def store() -> str | None:
    """The state of the MLflow store in this folder; None where it is elsewhere, or not there."""
    database = Path("mlflow.db")
    if os.environ.get("MLFLOW_TRACKING_URI") or not database.is_file():
        return None
    return _state([database, *Path("mlartifacts").glob("*/artifacts")])


def _files(paths: Iterable[str]) -> Iterator[Path]:
    for path in map(Path, paths):
        below = (Path(folder, name) for folder, _, names in os.walk(path) for name in names)
        for each in [path] if path.is_file() else below:
            if "__pycache__" not in each.parts and not each.match(".*.tmp.*"):
                yield each


def _state(paths: Iterable[Path]) -> str:
    states = {}
    for path in paths:
        with suppress(FileNotFoundError):
            stat = path.stat()
            states[str(path)] = [stat.st_ino, stat.st_size, stat.st_mtime_ns]
    return sha256_of(states)
