"""Compares MLflow with records of the files: what it claims and they do not say, and what it lacks."""

import tempfile
from collections.abc import Container, Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import NamedTuple

from mlflow.entities import Run

from digit_vae.base.files import sha256
from digit_vae.tracking.record import NOT_IN_GIT, Record
from digit_vae.tracking.store import CURRENT, PARENT, Store
from digit_vae.tracking.sync import FIGURES, inputs_of, inputs_of_run, living

NAME = "run name"  # among the values of `Claims`

# What a run is to the present files: of them, of them with something lacking, of earlier ones, still at work on them,
# of an experiment of DVC.
PRESENT, INCOMPLETE, SUPERSEDED, TRAINING, ASIDE = "present", "incomplete", "superseded", "training", "of experiments"
STATES = (PRESENT, INCOMPLETE, SUPERSEDED, TRAINING, ASIDE)


class Claims(NamedTuple):
    """What a run says. points: name, epoch and value of each metric of an epoch; files: SHA-256 by name (folder: "").

    values: all else, by kind and name; times: start and end in milliseconds, None where the files do not tell.
    """

    points: Set[tuple[str, int, float]]
    values: Mapping[str, object]
    files: Mapping[str, str]
    times: tuple[int, int | None] | None = None


class Audited(NamedTuple):
    """A run in MLflow: its state and, in words, its false claims and what it lacks."""

    run: str
    run_id: str
    state: str
    false_claims: Sequence[str]
    lacking: Sequence[str] = ()


def audit(store: Store, records: Sequence[Record], groups: Sequence[Record]) -> list[Audited]:
    """Compares MLflow with the records of all runs and groups, and changes nothing.

    Figures follow from the files, so only their folder has to be there. Weights and samples that are not here are
    neither lacking nor false. Runs of other checkouts are left out, unless the present files came from them.
    """
    expected = [(record.identity, claims_of(record)) for record in (*records, *groups)]
    with store.exclusive():
        known = store.runs()
        alive, ids = living(store, known), {run.info.run_id for run in known}
        found = [(run, _expected(run, expected)) for run in known]
        return [_audited(store, run, claims, alive, ids) for run, claims in found if claims or store.is_own(run)]


def claims_of(record: Record) -> Claims:
    """What a complete run with the record's files says."""
    values = _values(params=record.params, metrics=record.metrics, tags=record.tags if record.parent else {})
    values |= {NAME: record.name} | inputs_of(record.datasets)
    files = {name: sha256(path) for name, path in record.files.items()} | ({FIGURES: ""} if record.figures else {})
    points = {(point.name, point.epoch, point.value) for point in record.points}
    return Claims(points, values, files, (record.started, record.finished) if record.parent else None)


def _audited(store: Store, run: Run, claims: Claims | None, alive: Set[str], ids: Set[str]) -> Audited:
    """alive: see `living`. ids: those of all runs."""
    tags, run_id = run.data.tags, run.info.run_id
    name = str(claims.values[NAME]) if claims else run.info.run_name
    is_open, is_current = run.info.status == "RUNNING", tags.get(CURRENT) == "true"
    if run_id in alive and (is_open or claims is None):
        return Audited(name, run_id, TRAINING, [])
    found = ["to be running, but its process is gone"] if is_open else []
    if claims is None and "experiment" in tags:
        return Audited(name, run_id, ASIDE, found)
    if claims is None:
        found += ["to be the run of the present files, which are another attempt's"] if is_current else []
        return Audited(name, run_id, SUPERSEDED, found)
    if not is_current and store.is_own(run):
        found.append("not to be the run of the present files")
    logged = _logged(store, run, claims)
    lacking = [*_lacking(logged, claims), *(["its end"] if logged.times is None else [])]
    lacking += ["its parent"] if "run" in tags and tags.get(PARENT) not in ids else []
    return Audited(name, run_id, INCOMPLETE if lacking else PRESENT, [*found, *_false(logged, claims)], lacking)


def _logged(store: Store, run: Run, claims: Claims) -> Claims:
    """What a run in MLflow says, with the per-epoch metrics and the tags that `claims` has."""
    by_epoch = {name for name, _, _ in claims.points} & run.data.metrics.keys()
    histories = {name: store.client.get_metric_history(run.info.run_id, name) for name in by_epoch}
    points = {(name, point.step, point.value) for name, history in histories.items() for point in history}
    finals = {name: value for name, value in run.data.metrics.items() if name not in by_epoch}
    values = _values(params=run.data.params, metrics=finals, tags=run.data.tags) | {NAME: run.info.run_name}
    values |= inputs_of_run(run)
    values = {name: value for name, value in values.items() if name in claims.values or not name.startswith("tag ")}
    times = (run.info.start_time, run.info.end_time) if run.info.status == "FINISHED" else None
    with tempfile.TemporaryDirectory() as folder:
        files = {
            path: "" if is_dir else sha256(Path(store.client.download_artifacts(run.info.run_id, path, folder)))
            for path, is_dir in _artifacts(store, run.info.run_id, claims.files)
        }
    return Claims(points, values, files, times)


def _artifacts(store: Store, run_id: str, whole: Container[str], path: str | None = None) -> Iterator[tuple[str, bool]]:
    """The path of each artifact, and whether it is a folder. Folders in `whole` are not looked into."""
    for each in store.client.list_artifacts(run_id, path):
        if each.is_dir and each.path not in whole:
            yield from _artifacts(store, run_id, whole, each.path)
        else:
            yield each.path, each.is_dir


def _values(**kinds: Mapping[str, object]) -> dict[str, object]:
    """{"params": {"beta": 1}} -> {"param beta": 1}"""
    return {f"{kind[:-1]} {name}": value for kind, values in kinds.items() for name, value in values.items()}


def _expected(run: Run, expected: Sequence[tuple[Mapping[str, str], Claims]]) -> Claims | None:
    """What this run should say by the files; None where it is not one of their runs."""
    return next((claims for identity, claims in expected if identity.items() <= run.data.tags.items()), None)


def _false(logged: Claims, claims: Claims) -> Iterator[str]:
    for name, value in logged.values.items():
        if claims.values.get(name) != value:
            yield f"{name} {value}, the files say {claims.values.get(name)}"
    if claims.times and logged.times not in (None, claims.times):
        yield f"start and end {logged.times}, the files say {claims.times}"
    said = {(name, epoch): value for name, epoch, value in claims.points}
    for name, epoch, value in sorted(logged.points - claims.points):
        yield f"metric {name} {value} after epoch {epoch}, the files say {said.get((name, epoch))}"
    for name, digest in logged.files.items():
        if name not in claims.files and name not in NOT_IN_GIT:
            yield f"artifact {name}, which the files do not have"
        elif name in claims.files and digest != claims.files[name]:
            yield f"artifact {name} with another content than the file has"


def _lacking(logged: Claims, claims: Claims) -> Iterator[str]:
    said, there = ({(name, epoch) for name, epoch, _ in each.points} for each in (claims, logged))
    yield from (name for name in claims.values if name not in logged.values)
    yield from (f"metric {name} of epoch {epoch}" for name, epoch in sorted(said - there))
    yield from (f"artifact {name}" for name in claims.files if name not in logged.files)
