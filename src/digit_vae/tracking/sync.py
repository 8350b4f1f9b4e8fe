"""Makes MLflow agree with records of the files, at once or while a run trains.

A value that is logged twice with its original time stays one point, so everything here can be repeated. A tag that is
set last (the hashes of the files brought in) says that nothing is left to do.
"""

import json
import shutil
import tempfile
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from mlflow.artifacts import list_artifacts
from mlflow.entities import Dataset as MlflowDataset
from mlflow.entities import DatasetInput, InputTag, Metric, Param, Run

from digit_vae.base.files import sha256
from digit_vae.tracking.record import Content, Dataset, Point, Record, epoch_points
from digit_vae.tracking.store import CHECKOUT, CURRENT, FILES, NOTE, PARENT, WRITER, Store
from digit_vae.tracking.writers import is_alive, last_logged, this_process

FIGURES = "figures"  # the folder of these artifacts
METRICS_A_BATCH = 1000  # MLflow's own limit


class Synced(NamedTuple):
    """The names of the runs that were brought in, and of those that were closed because their process died."""

    brought: list[str]
    killed: list[str]


def sync(
    store: Store,
    records: Sequence[Record],
    groups: Sequence[Record],
    on_share: Callable[[float], None] = lambda _: None,
) -> Synced:
    """Makes MLflow agree with the records of all runs and groups; where it agrees already, nothing is written.

    The runs of DVC's experiments, whose files are not here, keep their marks. on_share: called with the share done.
    """
    runs: list[tuple[Run, Record]] = []
    brought: set[str] = set()
    wanted = (*records, *groups)
    with store.exclusive():
        known = store.runs()
        for record in wanted:
            runs.append((ensure(store, record, known), record))
            on_share(len(runs) / len(wanted) / 2)
        for number, (run, record) in enumerate(runs, 1):
            if bring(store, run, record):
                brought.add(record.name)
            on_share((1 + number / len(wanted)) / 2)
        current = {run.info.run_id for run, _ in runs} | living(store, known)
        dead = [run for run in known if run.info.status == "RUNNING" and run.info.run_id not in current]
        killed = list(filter(store.is_own, dead))
        for run in killed:
            close(store, run)
        store.mark([run for run in known if "experiment" not in run.data.tags], current)
    return Synced(
        brought=[record.name for record in records if record.name in brought],
        killed=[run.info.run_name for run in killed],
    )


class Live:
    """Runs that this process logs while they train."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._open: dict[str, Run] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Of the runs that were started here and did not end."""
        return tuple(self._open)

    def start(self, run: str, record: Record) -> None:
        """Opens the run of an attempt; one that was killed and goes on is opened again."""
        store = self._store
        with store.exclusive():
            known = store.runs(*_attempts(record))
            found = ensure(store, record, known)
            store.client.update_run(found.info.run_id, status="RUNNING")
            store.set_tags(found, {WRITER: this_process(), CHECKOUT: store.checkout})
            _log(store, found, record)
            others = [each for each in known if each.data.tags.get("run") == record.identity["run"]]
            store.mark(others, {found.info.run_id})
            self._open[run] = found

    def epoch(self, run: str, losses: Content, timing: Content) -> None:
        """Logs one finished epoch of a run that was started, as one batch."""
        with self._store.failures():
            metrics = [_metric(point) for point in epoch_points(losses, timing)]
            self._store.client.log_batch(self._open[run].info.run_id, metrics=metrics)

    def end(self, run: str, record: Record) -> None:
        """Completes a run from its files, whatever of it was logged before."""
        self._open.pop(run, None)
        with self._store.exclusive():
            found = ensure(self._store, record, self._store.runs(*_attempts(record)))
            bring(self._store, found, record)

    def kill(self, run: str) -> None:
        """Closes a run that was started here, and whose trainer died before its end."""
        with self._store.failures():
            close(self._store, self._open.pop(run))


def living(store: Store, known: Iterable[Run]) -> set[str]:
    """The ids of the runs that a living process is logging, and of their groups."""
    alive = [run for run in known if run.info.status == "RUNNING" and is_alive(store, run)]
    return {run_id for run in alive for run_id in (run.info.run_id, run.data.tags.get(PARENT, ""))}


def ensure(store: Store, record: Record, known: list[Run]) -> Run:
    """The run with the record's identity, its name and tags put right; where `known` has none, it is made and added.

    A name or tag may be wrong because somebody edited it, or deleted the group that it names. A note that was not
    written here is the user's and stays.
    """
    tags = dict(record.tags)
    if record.parent:
        tags[PARENT] = ensure(store, record.parent, known).info.run_id
    for run in known:
        if record.identity.items() <= run.data.tags.items():
            written = (None, *(_note(store, run, record, figures=figures) for figures in (True, False)))
            store.set_tags(run, tags | note(store, run, record) if run.data.tags.get(NOTE) in written else tags)
            if run.info.run_name != record.name:
                store.client.update_run(run.info.run_id, name=record.name)
            return run
    return _create(store, record, tags, known)


def _create(store: Store, record: Record, tags: Mapping[str, str], known: list[Run]) -> Run:
    ours = {CURRENT: "true", CHECKOUT: store.checkout, WRITER: this_process()}
    tags = {**record.identity, **tags, **ours}
    run = store.client.create_run(store.experiment_id, record.started, tags, record.name)
    store.set_tags(run, note(store, run, record))
    _log_params(store, run, record)
    if record.parent is None:  # a group does not train, so no process ever closes it
        _log(store, run, record)
        store.client.set_terminated(run.info.run_id, "FINISHED", record.started)
    known.append(run)
    return run


def note(store: Store, run: Run, record: Record) -> dict[str, str]:
    """The tag with a run's note, which links to its files; none for a record without one."""
    return {NOTE: _note(store, run, record, figures=record.figures is not None)} if record.note else {}


def _note(store: Store, run: Run, record: Record, *, figures: bool) -> str:
    pages = f"#/experiments/{store.experiment_id}/runs/{run.info.run_id}"
    files = f"[Figures]({pages}/artifacts/{FIGURES}), [all" if figures else "[All"
    return f"{record.note}\n{files} files]({pages}/artifacts), [curves]({pages}/model-metrics) of this run.\n"


def bring(store: Store, run: Run, record: Record) -> bool:
    """Logs what the record says at the end of a run, and says whether there was anything to do."""
    if is_complete(store, run, record):
        return False
    run_id = run.info.run_id
    _log_params(store, run, record)
    _log(store, run, record)
    _log_metrics(store, run, record)
    _upload(store, run_id, record, _stale(store, run, record))
    store.client.set_terminated(run_id, "FINISHED", record.finished)
    store.client.set_tag(run_id, FILES, _digests(record.files))
    return True


def is_complete(store: Store, run: Run, record: Record) -> bool:
    """Whether MLflow has all of the record: the tag that is set last is there, and nothing was deleted since."""
    if run.info.status != "FINISHED" or run.data.tags.get(FILES) != _digests(record.files):
        return False
    has_datasets = inputs_of(record.datasets).keys() <= inputs_of_run(run).keys()
    return has_datasets and not _stale(store, run, record)


def close(store: Store, run: Run) -> None:
    """Closes a run whose process died, at its last sign of life."""
    store.client.set_terminated(run.info.run_id, "KILLED", last_logged(store, run))


def dataset_input(dataset: Dataset) -> DatasetInput:
    """MLflow keeps at most 36 characters as a digest: the whole one stands in the source."""
    source = json.dumps({"sha256": dataset.sha256})
    logged = MlflowDataset(name=dataset.name, digest=dataset.sha256[:36], source_type="local", source=source)
    return DatasetInput(dataset=logged, tags=[InputTag("mlflow.data.context", dataset.use)])


def inputs_of(datasets: Iterable[Dataset]) -> dict[str, object]:
    """What each dataset is to a run ("training"), by its name and digest."""
    return _inputs(map(dataset_input, datasets))


def inputs_of_run(run: Run) -> dict[str, object]:
    """The same for the datasets that a run has in MLflow."""
    return _inputs(run.inputs.dataset_inputs if run.inputs else [])


def _inputs(datasets: Iterable[DatasetInput]) -> dict[str, object]:
    return {
        f"dataset {each.dataset.name} {each.dataset.digest}": next((tag.value for tag in each.tags), None)
        for each in datasets
    }


def _attempts(record: Record) -> tuple[str, str]:
    """MLflow's filters for all attempts at a run and the groups that it may be in, so that 300 others are not read."""
    group = record.parent.identity["group"] if record.parent else ""
    return f"tags.run = '{record.identity['run']}'", f"tags.group = '{group}'"


def _log_params(store: Store, run: Run, record: Record) -> None:
    store.client.log_batch(run.info.run_id, params=[Param(name, value) for name, value in record.params.items()])


def _log(store: Store, run: Run, record: Record) -> None:
    """Logs datasets and epochs, which changes nothing for those that are there."""
    if record.datasets:
        store.client.log_inputs(run.info.run_id, datasets=list(map(dataset_input, record.datasets)))
    metrics = list(map(_metric, record.points))
    for first in range(0, len(metrics), METRICS_A_BATCH):
        store.client.log_batch(run.info.run_id, metrics=metrics[first : first + METRICS_A_BATCH])


def _metric(point: Point) -> Metric:
    return Metric(point.name, point.value, point.time, point.epoch)


def _log_metrics(store: Store, run: Run, record: Record) -> None:
    """Logs the values that are not the latest there. MLflow only appends: another value gets a later time."""
    timestamp = record.finished or record.started
    changed = {name: value for name, value in record.metrics.items() if run.data.metrics.get(name) != value}
    for name in changed.keys() & run.data.metrics.keys():
        earlier = store.client.get_metric_history(run.info.run_id, name)
        timestamp = max(timestamp, *(point.timestamp + 1 for point in earlier))
    store.client.log_batch(run.info.run_id, [Metric(name, value, timestamp, 0) for name, value in changed.items()])


def _upload(store: Store, run_id: str, record: Record, names: Container[str]) -> None:
    """Uploads the record's files with these names, and the figures drawn from them."""
    with tempfile.TemporaryDirectory() as folder:
        drawn = Path(folder) / FIGURES
        if record.figures:
            drawn.mkdir()
        for name, path in record.files.items():
            if name in names:
                shutil.copyfile(path, Path(folder) / name)
                for title, content in record.figures(name).items() if record.figures else ():
                    (drawn / title).write_bytes(content)
        store.client.log_artifacts(run_id, folder)


def _stale(store: Store, run: Run, record: Record) -> list[str]:
    """The names of the files whose present content MLflow does not have, or whose figures are gone."""
    logged = run.data.tags.get(FILES, "")  # not parsed: it may have been edited
    # By its address, which is known: the client would ask the store for it, and that is most of what a look costs.
    listed = list_artifacts(artifact_uri=run.info.artifact_uri, tracking_uri=store.uri)
    there = {PurePosixPath(artifact.path).name for artifact in listed}
    files = record.files
    if record.figures and FIGURES not in there:
        return list(files)
    return [name for name, path in files.items() if name not in there or _digests({name: path})[1:-1] not in logged]


def _digests(files: Mapping[str, Path]) -> str:
    return json.dumps({name: sha256(path) for name, path in files.items()}, sort_keys=True)
