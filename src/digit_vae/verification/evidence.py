"""The evidence of a run: as published (locks and committed files), as made anew, or as recorded at smoke size.

Hashes are MD5, which DVC records: it detects accidents, not forgery.
"""

import hashlib
import json
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import BaseModel, JsonValue, TypeAdapter

from digit_vae.base.errors import UserError
from digit_vae.base.files import damaged, existing, parse_json, read_json
from digit_vae.base.paths import GRAPH_FILES, PARAMS, SMOKE, addressed
from digit_vae.base.shapes import FINGERPRINT, NUMBER, Every
from digit_vae.config.runs import GRAPHS, Graph, Run, runs
from digit_vae.config.schema import Params

WEIGHTS = ("encoder.weights.h5", "decoder.weights.h5")
TRAINED_FILES = (*WEIGHTS, "history.json")  # files that repeat byte for byte, of a training
EVALUATED_FILES = ("digits.npz", "metrics.json", "samples.npz")  # and of an evaluation
MAKE_LOCK, MAKE_RECORD = "make repro", "make verify QUICK=1 RECORD=1"

HISTORY_SHAPE = {"params": dict, "data": dict, "epochs": [dict]}
EVALUATION_SHAPE = {"machine": FINGERPRINT, "classifier_sha256": str}
SMOKE_SHAPE = {"runs": Every({"machine": FINGERPRINT, "evaluated_on": FINGERPRINT})}  # of reports/smoke.json

Outputs = dict[str, str]  # the MD5 of each output of a stage, by its path
LOCKS = {graph: GRAPH_FILES[graph].with_suffix(".lock") for graph in GRAPHS}


class Stage(NamedTuple):
    """What a lock says of a stage: its command and params, and the MD5 of what it read and of what it wrote."""

    settings: dict[str, Any]
    deps: Outputs
    outputs: Outputs


class Evidence(NamedTuple):
    """The evidence of one run.

    params, data, epochs: those of history.json. machine: the fingerprint of the machine that trained it. evaluated_on:
    the fingerprint of the machine that evaluated it, and classifier_sha256 its classifier. md5: of each file by its
    name, if it is in a lock. weights: the weights files that are here.
    """

    params: dict[str, Any]
    data: dict[str, Any]
    epochs: list[dict[str, Any]]
    metrics: dict[str, dict[str, Any]]
    machine: dict[str, Any]
    evaluated_on: dict[str, Any]
    classifier_sha256: str
    md5: dict[str, str]
    weights: dict[str, Path]


class Expected(NamedTuple):
    """What is expected: the MD5 of each file of data/processed, the same on every machine, and runs by name."""

    arrays: Outputs
    runs: dict[str, Evidence]


class SmokeRun(BaseModel):
    """Of a run in a reports/smoke.json, of now or of before, what is shown of its changes and checked."""

    md5: Outputs
    metrics: JsonValue = None
    epochs: JsonValue = None


class _Smoke(BaseModel):
    runs: dict[str, SmokeRun]


def read_locks(params: Params) -> dict[str, Outputs]:
    """The outputs of every stage that a lock has and params.yaml still declares, by what DVC calls it.

    Raises: UserError when dvc.lock is missing or lacks stage `preprocess`, or a lock is damaged.
    """
    existing(LOCKS["paper"], made_by=MAKE_LOCK)
    declared = {stage for run in runs(params) for stage in run.stages}
    declared |= {addressed(f"publish@{name}", graph) for graph in GRAPHS for name in getattr(params.publish, graph)}
    stages = {name: outputs for graph in GRAPHS for name, outputs in read_lock(graph).items()}
    found = {name: outputs for name, outputs in stages.items() if "@" not in name or name in declared}
    if "preprocess" not in found:
        raise UserError(f"{LOCKS['paper']} has no stage preprocess: `make repro` runs it")
    return found


def read_lock(graph: Graph, folder: Path = Path()) -> dict[str, Outputs]:
    """The outputs of every stage in a graph's lock, by what DVC calls it; none without a lock.

    Raises: UserError when it is damaged.
    """
    lock = folder / LOCKS[graph]
    stages = read_stages(lock) if lock.is_file() else {}
    return {addressed(name, graph): stage.outputs for name, stage in stages.items()}


def read_stages(lock: Path) -> dict[str, Stage]:
    """The stages in a dvc.lock. Raises: UserError when it is damaged."""
    return lock_stages(existing(lock, made_by=MAKE_LOCK).read_text(encoding="utf-8", errors="replace"), lock)


def lock_stages(text: str, lock: Path, commit: str | None = None) -> dict[str, Stage]:
    """The stages in the text of `lock`. commit: the one that it was read from, rather than the working folder.

    Raises: UserError when it is damaged.
    """
    with _refusing_damage(lock, MAKE_LOCK, commit):
        stages = yaml.safe_load(text)["stages"].items()
        return {str(name): _stage(content) for name, content in stages}


def _stage(content: Mapping[str, Any]) -> Stage:
    deps, outs = ({str(each["path"]): each["md5"] for each in content.get(kind, ())} for kind in ("deps", "outs"))
    return Stage({key: content.get(key) for key in ("cmd", "params")}, deps, outs)


def is_published(run: Run) -> bool:
    return run.files.history.is_file()


def published(run: Run, locks: Mapping[str, Outputs]) -> Evidence:
    """What the locks and the committed reports say of `run`. Raises: UserError when a file is missing or damaged."""
    its, files = run.files, files_of(run)
    outputs = {path: digest for stage in run.stages for path, digest in locks.get(stage, {}).items()}
    digests = {name: outputs[str(path)] for name, path in files.items() if str(path) in outputs}
    weights = {name: its.published / name for name in WEIGHTS if (its.published / name).is_file()} or {
        name: files[name] for name in WEIGHTS if files[name].is_file() and md5(files[name]) == digests.get(name)
    }
    return _read(Path(), run, digests, weights)


def trained(folder: Path, run: Run) -> Evidence:
    """What the copy in `folder` made of `run`. Raises: UserError when it is older than the copy, and so no proof."""
    files, timings = files_of(run), run.files.timings
    if missing := [str(path) for path in (timings, *files.values()) if not (folder / path).is_file()]:
        raise UserError(f"{run.name} was not trained anew: {', '.join(missing)} is missing")
    started = read_json(folder / timings, made_by=run.stages[0], keys={"started_at": NUMBER})["started_at"]
    if started < (folder / PARAMS).stat().st_mtime:  # written when the copy was made
        raise UserError(f"{run.name} was not trained anew: its training began before this verification")
    weights = {name: folder / files[name] for name in WEIGHTS}
    return _read(folder, run, {name: md5(folder / path) for name, path in files.items()}, weights)


def files_of(run: Run) -> dict[str, Path]:
    """The files that repeat byte for byte, by their names."""
    its = run.files
    return {path.name: path for path in (its.encoder, its.decoder, its.history, its.digits, its.metrics, its.samples)}


def smoke_record(folder: Path, params: Params) -> Expected:
    """The record of the small graph in `folder`."""
    made = {run.name: trained(folder, run)._replace(weights={}) for run in runs(params)}
    return Expected(read_lock("paper", folder)["preprocess"], made)


def read_record() -> Expected:
    """What reports/smoke.json holds. Raises: UserError when it is missing or damaged."""
    content = read_json(SMOKE, made_by=MAKE_RECORD, keys=SMOKE_SHAPE)
    with _refusing_damage(SMOKE, MAKE_RECORD):
        record = TypeAdapter(Expected).validate_python(content)
        if any(each.md5.keys() != {*TRAINED_FILES, *EVALUATED_FILES} for each in record.runs.values()):
            raise ValueError("a run's files are others than a run has")
        return record


def smoke_runs(smoke: bytes | None, commit: str | None = None) -> dict[str, SmokeRun]:
    """The runs in the bytes of a reports/smoke.json; none without bytes. commit: as of `lock_stages`.

    Raises: UserError when it is damaged.
    """
    with _refusing_damage(SMOKE, MAKE_RECORD, commit):
        return {} if smoke is None else _Smoke.model_validate(parse_json(smoke)).runs


def record_json(record: Expected) -> dict[str, Any]:
    return {"arrays": record.arrays, "runs": {name: each._asdict() for name, each in record.runs.items()}}


def md5(path: Path) -> str:
    """The MD5 of a file or a folder, as DVC computes it: a folder's is that of the list of its files.

    Temporary files that a killed process left do not count, nor do they for DVC (.dvcignore).
    """
    if path.is_file():
        return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    files = sorted(file for file in path.rglob("*") if file.is_file() and not file.match(".*.tmp.*"))
    entries = [{"md5": md5(file), "relpath": file.relative_to(path).as_posix()} for file in files]
    return hashlib.md5(json.dumps(entries, sort_keys=True).encode(), usedforsecurity=False).hexdigest() + ".dir"


def _read(folder: Path, run: Run, digests: dict[str, str], weights: dict[str, Path]) -> Evidence:
    its, (train, evaluate) = run.files, run.stages
    history = read_json(folder / its.history, made_by=train, keys=HISTORY_SHAPE)
    machine = read_json(folder / its.timings, made_by=train, keys={"machine": FINGERPRINT})["machine"]
    metrics = read_json(folder / its.metrics, made_by=evaluate, keys={"test": dict})
    evaluation = read_json(folder / its.evaluation, made_by=evaluate, keys=EVALUATION_SHAPE)
    asked = (history[key] for key in ("params", "data", "epochs"))
    judged = evaluation["machine"], evaluation["classifier_sha256"]
    return Evidence._make((*asked, metrics, machine, *judged, digests, weights))


@contextmanager
def _refusing_damage(path: Path, made_by: str, commit: str | None = None) -> Iterator[None]:
    """Raises: UserError for a file that is no YAML or JSON, or has another shape than the stages write."""
    try:
        yield
    except (ValueError, yaml.YAMLError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = textwrap.shorten(f"{type(error).__name__}: {error}", 200, placeholder=" ...")
        if commit is None:
            raise damaged(path, made_by, reason) from error
        raise UserError(f"{path} of commit {commit[:8]} is damaged ({reason}): take another commit") from error
