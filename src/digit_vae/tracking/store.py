"""MLflow as a mirror of the runs' files: live while a run trains, and made again from the files at any time.

A run in MLflow is one attempt at a run of the matrix: its name, the hash of its inputs and the time it started. What
is logged twice with its original time stays one point, so everything here can be repeated, and a tag that is set last
(the hashes of the files brought in) says that nothing is left to do. All runs of a variant with the same params have
one parent run.
"""

import fcntl
import json
import os
import shutil
import socket
import tempfile
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import psutil

from digit_vae.speed.records import machine_name
from digit_vae.base.errors import UserError, masked
from digit_vae.base.files import replacing, sha256, sha256_of
from digit_vae.config.params import FULL
from digit_vae.verification.comparison import flat

SETTINGS = {
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_AGENT_HINT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
for _name, _value in SETTINGS.items():
    os.environ.setdefault(_name, _value)
os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"  # whatever the user's environment says

# MLflow reads these settings when it is imported.
from mlflow import MlflowClient  # noqa: E402 - after the settings
from mlflow.artifacts import list_artifacts  # noqa: E402 - likewise
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run  # noqa: E402 - likewise
from mlflow.exceptions import MlflowException  # noqa: E402 - likewise
from sqlalchemy.exc import SQLAlchemyError  # noqa: E402 - stands with MLflow, whose store raises it

EXPERIMENT = "digit-vae"
DATABASE = "mlflow.db"
ARTIFACTS = "mlartifacts"

CURRENT = "digit_vae.current"  # "true" for the attempt that the present files came from
FILES = "digit_vae.base.files"  # the hashes of the files that were brought in
CHECKOUT = "digit_vae.checkout"  # the host and folder that brought a run in, or trained it last
WRITER = "digit_vae.writer"  # the process that made a run, or logs it while it trains
PARENT = "mlflow.parentRunId"

NAME = "run name"  # among the values of `Claims`
FIGURES = "figures"  # the folder of these artifacts

# What a run is to the present files: of them, of them with something lacking, of earlier ones, still at work on them.
PRESENT, INCOMPLETE, SUPERSEDED, TRAINING = "present", "incomplete", "superseded", "training"

METRICS_A_BATCH = 1000  # MLflow's own limit
SAME_START_SECONDS = 5  # a process's start time is read off clocks that may be adjusted
SILENT_SECONDS = 24 * 3600  # after which a process on another host counts as dead; it logs each epoch


@dataclass(frozen=True)
class Record:
    """What the files say of one run; while it trains, history and timings as far as it got.

    files: those that become artifacts, by artifact name. figures: PNG files drawn from one of these, by file name;
    None for a run that has none.
    """

    history: Mapping
    timings: Mapping
    metrics: Mapping = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)
    figures: Callable[[str], Mapping[str, bytes]] | None = None

    @property
    def name(self) -> str:
        return self.history["run"]

    @property
    def variant(self) -> str:
        return self.history["variant"]

    @property
    def identity(self) -> dict[str, str]:
        """The tags that tell this attempt from every other."""
        started_at = str(self.timings["started_at"])
        return {"run": self.name, "inputs_sha256": self.timings["inputs_sha256"], "started_at": started_at}

    @property
    def parent_identity(self) -> dict[str, str]:
        return {"parent_of": self.variant, "params_sha256": sha256_of(self.history["params"])}


class Comparison(NamedTuple):
    """What is known of several runs together, and the files that say so, by artifact name."""

    content: Mapping
    files: Mapping[str, Path]


NOTHING = Comparison({}, {})


class Synced(NamedTuple):
    """The names of the runs that were brought in, were there already, and were closed because their process died."""

    brought: list[str]
    unchanged: list[str]
    killed: list[str]


class Claims(NamedTuple):
    """What a run says. points: name, epoch and value of each metric of an epoch; files: SHA-256 by name, or "" of a
    folder.

    values: all else, by kind and name; times: start and end in milliseconds, None where the files do not tell.
    """

    points: Set[tuple[str, int, float]]
    values: Mapping[str, object]
    files: Mapping[str, str]
    times: tuple[int, int] | None = None


class Audited(NamedTuple):
    """A run that MLflow has: its state, and in words what it says and the files do not, and what it lacks of them."""

    run: str
    run_id: str
    state: str
    false_claims: Sequence[str]
    lacking: Sequence[str] = ()


class Tracker:
    """The project's experiment in MLflow.

    The store is `MLFLOW_TRACKING_URI` or else a database in `root`, made at first use; one process at a time changes
    which runs there are. All runs of the project in that database are this checkout's own; in a store that others may
    share, those that it made: only its own runs are closed, marked and called superseded.
    Raises: UserError, in every method, when MLflow or the way to it fails.
    """

    def __init__(self, root: Path) -> None:
        root = root.resolve()
        own = root / DATABASE
        self.uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{own}"
        path = self.uri.removeprefix("sqlite:///").partition("?")[0]  # options such as ?timeout=5 may follow
        database = Path(path) if self.uri.startswith("sqlite:///") else None
        self._is_shared = database != own
        self._checkout = f"{socket.gethostname()}:{root}"
        self._lock = Path(f"{database or own}.lock")
        self._live: dict[str, str] = {}
        with self._exclusive():
            if database and not database.exists():
                _create_database(database)
            self._client = MlflowClient(tracking_uri=self.uri)
            artifacts = None if self.uri.startswith("http") else str(root / ARTIFACTS)
            self._experiment_id = self._find_experiment(artifacts, moved_is_error=database == own)

    def start(self, record: Record) -> None:
        """Opens the run of an attempt that this process will log; one that was killed and goes on is opened again."""
        with self._exclusive():
            known = self._known(*_attempts(record))
            run_id = self._ensure_run(record, known).info.run_id
            self._client.update_run(run_id, status="RUNNING")
            self._client.set_tag(run_id, WRITER, _this_process())
            self._client.set_tag(run_id, CHECKOUT, self._checkout)
            self._log(run_id, record)
            self._mark([run for run in known if run.data.tags.get("run") == record.name], {run_id})
            self._live[record.name] = run_id

    def epoch(self, run: str, losses: Mapping, timing: Mapping) -> None:
        """Logs one finished epoch of a run that was started, as one batch."""
        with self._failures():
            self._client.log_batch(self._live[run], metrics=_epoch_metrics(losses, timing))

    def end(self, record: Record) -> None:
        """Completes a run from its files, whatever of it was logged before."""
        self._live.pop(record.name, None)
        with self._exclusive():
            self._bring_run(self._ensure_run(record, self._known(*_attempts(record))), record)

    @property
    def live(self) -> tuple[str, ...]:
        """The names of the runs that were started here and did not end."""
        return tuple(self._live)

    def kill(self, run: str) -> None:
        """Closes a run that was started here, and whose trainer died before its end."""
        with self._failures():
            self._kill(self._client.get_run(self._live.pop(run)))

    def sync(
        self, records: Sequence[Record], comparisons: Mapping[str, Comparison], overview: Record | None = None
    ) -> Synced:
        """Makes MLflow agree with the files of all runs, and writes nothing where it does.

        comparisons: by variant. overview: what is known of all runs together, which is no run itself.
        """
        with self._exclusive():
            known = self._known()
            runs = [(self._ensure_run(record, known), record) for record in records]
            brought = [record.name for run, record in runs if self._bring_run(run, record)]
            parents = self._bring_parents(_families(records, comparisons, overview), known)
            current = parents | {run.info.run_id for run, _ in runs} | self._living(known)
            killed = [run for run in known if run.info.status == "RUNNING" and run.info.run_id not in current]
            killed = list(filter(self._is_own, killed))
            for run in killed:
                self._kill(run)
            self._mark(known, current)
        unchanged = [record.name for record in records if record.name not in brought]
        return Synced(brought, unchanged, [run.info.run_name for run in killed])

    def audit(
        self, records: Sequence[Record], comparisons: Mapping[str, Comparison], overview: Record | None = None
    ) -> list[Audited]:
        """Holds what MLflow has against the files, and changes nothing.

        Of figures, which follow from the files, it asks only for their folder.
        Runs of other checkouts are not spoken of, unless they are those that the present files came from.
        """
        expected = list(_expected(records, _families(records, comparisons, overview)))
        with self._exclusive():
            known = self._known()
            living, ids = self._living(known), {run.info.run_id for run in known}
            audited = [(run, _claims_of(run, expected)) for run in known]
            return [self._audited(run, claims, living, ids) for run, claims in audited if claims or self._is_own(run)]

    def _audited(self, run: Run, claims: Claims | None, living: Set[str], ids: Set[str]) -> Audited:
        """living: see `_living`. ids: those of all runs."""
        tags, run_id = run.data.tags, run.info.run_id
        name = str(claims.values[NAME]) if claims else run.info.run_name
        is_open, is_current = run.info.status == "RUNNING", tags.get(CURRENT) == "true"
        if run_id in living and (is_open or claims is None):
            return Audited(name, run_id, TRAINING, [])
        found = ["to be running, but its process is gone"] if is_open else []
        if claims is None:
            found += ["to be the run of the present files, which are another attempt's"] if is_current else []
            return Audited(name, run_id, SUPERSEDED, found)
        if not is_current and self._is_own(run):
            found.append("not to be the run of the present files")
        logged = self._logged(run, claims)
        lacking = [*_lacking(logged, claims), *(["its end"] if logged.times is None else [])]
        lacking += ["its parent"] if "run" in tags and tags.get(PARENT) not in ids else []
        found += _false_claims(logged, claims)
        return Audited(name, run_id, INCOMPLETE if lacking else PRESENT, found, lacking)

    def _logged(self, run: Run, claims: Claims) -> Claims:
        """What a run says, read as `claims` are: the same metrics are those of epochs, and no tags but those."""
        by_epoch = {name for name, _, _ in claims.points} & run.data.metrics.keys()
        histories = {name: self._client.get_metric_history(run.info.run_id, name) for name in by_epoch}
        points = {(name, point.step, point.value) for name, history in histories.items() for point in history}
        finals = {name: value for name, value in run.data.metrics.items() if name not in by_epoch}
        values = _values(params=run.data.params, metrics=finals, tags=run.data.tags) | {NAME: run.info.run_name}
        values |= _inputs(run.inputs.dataset_inputs)
        values = {name: value for name, value in values.items() if name in claims.values or not name.startswith("tag ")}
        times = (run.info.start_time, run.info.end_time) if run.info.status == "FINISHED" else None
        with tempfile.TemporaryDirectory() as folder:
            files = {
                path: "" if is_dir else sha256(Path(self._client.download_artifacts(run.info.run_id, path, folder)))
                for path, is_dir in self._artifacts(run.info.run_id, claims.files)
            }
        return Claims(points, values, files, times)

    def _artifacts(self, run_id: str, whole: Container[str], path: str | None = None) -> Iterator[tuple[str, bool]]:
        """The path of each artifact, and whether it is a folder: one of `whole`, others are looked into."""
        for each in self._client.list_artifacts(run_id, path):
            if each.is_dir and each.path not in whole:
                yield from self._artifacts(run_id, whole, each.path)
            else:
                yield each.path, each.is_dir

    def _bring_run(self, run: Run, record: Record) -> bool:
        """Brings the files of a run in, and says whether there was anything to do."""
        is_complete = self._is_complete(run, record.files, record.figures is not None)
        if is_complete and _inputs(_datasets(record.history)).keys() <= _inputs(run.inputs.dataset_inputs).keys():
            return False
        self._log(run.info.run_id, record)
        self._complete(run, record, flat(record.metrics), record.files, record.figures)
        return True

    def _bring_parents(self, families: Iterable[tuple[list[Record], Comparison]], known: list[Run]) -> set[str]:
        """Brings the parent runs of these families in, and returns their ids."""
        parents = set()
        for children, (content, files) in families:
            parent = self._ensure_parent(children[0], known)
            parents.add(parent.info.run_id)
            if not self._is_complete(parent, files, drawn=False):
                last = max(children, key=lambda child: child.timings["finished_at"])
                self._complete(parent, last, flat(content), files)
        return parents

    def _living(self, known: Iterable[Run]) -> set[str]:
        """The ids of the runs that a living process logs, and of their parents."""
        living = [run for run in known if run.info.status == "RUNNING" and self._is_alive(run)]
        return {run_id for run in living for run_id in (run.info.run_id, run.data.tags.get(PARENT, ""))}

    def _ensure_run(self, record: Record, known: list[Run]) -> Run:
        parent = self._ensure_parent(record, known).info.run_id
        return self._ensure(record.name, record, record.identity, _tags(record) | {PARENT: parent}, known)

    def _ensure_parent(self, record: Record, known: list[Run]) -> Run:
        return self._ensure(record.variant, record, record.parent_identity, {"variant": record.variant}, known)

    def _ensure(self, name: str, record: Record, identity: dict, tags: dict, known: list[Run]) -> Run:
        """The run with the tags `identity`, and with `name` and `tags`; where `known` has none, it is made and added.

        The name or a tag may be another one where it was edited, or where the parent that it names was deleted.
        """
        for run in known:
            if identity.items() <= run.data.tags.items():
                for tag, value in tags.items():
                    self._set_tag(run, tag, value)
                if run.info.run_name != name:
                    self._client.update_run(run.info.run_id, name=name)
                return run
        tags = identity | tags | {CURRENT: "true", CHECKOUT: self._checkout, WRITER: _this_process()}
        started = _milliseconds(record.timings["started_at"])
        run = self._client.create_run(self._experiment_id, start_time=started, tags=tags, run_name=name)
        self._log_params(run, record)
        if PARENT not in tags:  # it does not train, so no process ever closes it
            self._client.set_terminated(run.info.run_id, "FINISHED", started)
        known.append(run)
        return run

    def _log_params(self, run: Run, record: Record) -> None:
        params = [Param(name, value) for name, value in _params(record).items()]
        self._client.log_batch(run.info.run_id, params=params)

    def _log(self, run_id: str, record: Record) -> None:
        """Logs datasets and epochs, which changes nothing for those that are there."""
        self._client.log_inputs(run_id, datasets=_datasets(record.history))
        epochs = zip(record.history.get("epochs", []), record.timings.get("epochs", []), strict=True)
        metrics = [metric for losses, timing in epochs for metric in _epoch_metrics(losses, timing)]
        for first in range(0, len(metrics), METRICS_A_BATCH):
            self._client.log_batch(run_id, metrics=metrics[first : first + METRICS_A_BATCH])

    def _complete(
        self,
        run: Run,
        record: Record,
        values: Mapping[str, float],
        files: Mapping[str, Path],
        figures: Callable[[str], Mapping[str, bytes]] | None = None,
    ) -> None:
        """Logs what is known at the end of a run (or a parent): final metrics and files; then, that it is complete."""
        run_id, finished = run.info.run_id, _milliseconds(record.timings["finished_at"])
        self._log_params(run, record)
        self._log_final(run, values, finished)
        stale = self._stale(run, files, figures is not None)
        self._upload(run_id, {name: files[name] for name in stale}, figures or (lambda _: {}))
        self._client.set_terminated(run_id, "FINISHED", finished)
        self._client.set_tag(run_id, FILES, _digests(files))

    def _log_final(self, run: Run, values: Mapping[str, float], timestamp: int) -> None:
        """Logs the values that are not the latest there. MLflow only appends: another value gets a later time."""
        changed = {name: value for name, value in values.items() if run.data.metrics.get(name) != value}
        for name in changed.keys() & run.data.metrics.keys():
            earlier = self._client.get_metric_history(run.info.run_id, name)
            timestamp = max(timestamp, *(point.timestamp + 1 for point in earlier))
        metrics = [Metric(name, value, timestamp, 0) for name, value in changed.items()]
        self._client.log_batch(run.info.run_id, metrics=metrics)

    def _upload(self, run_id: str, files: Mapping[str, Path], figures: Callable[[str], Mapping[str, bytes]]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            drawn = Path(folder) / FIGURES
            drawn.mkdir()
            for name, path in files.items():
                shutil.copyfile(path, Path(folder) / name)
                for title, content in figures(name).items():
                    (drawn / title).write_bytes(content)
            self._client.log_artifacts(run_id, folder)

    def _is_complete(self, run: Run, files: Mapping[str, Path], drawn: bool) -> bool:
        tagged = run.data.tags.get(FILES) == _digests(files)
        return tagged and run.info.status == "FINISHED" and not self._stale(run, files, drawn)

    def _stale(self, run: Run, files: Mapping[str, Path], drawn: bool) -> list[str]:
        """The names of those files that MLflow does not have in their present content, or whose figures are gone.

        drawn: whether there are figures of the files.
        """
        logged = run.data.tags.get(FILES, "")  # not parsed: it may have been edited
        # By its address, which is known: the client would ask the store for it, and that is most of what a look costs.
        listed = list_artifacts(artifact_uri=run.info.artifact_uri, tracking_uri=self.uri)
        there = {PurePosixPath(artifact.path).name for artifact in listed}
        if drawn and FIGURES not in there:
            return list(files)
        return [name for name, path in files.items() if name not in there or _digests({name: path})[1:-1] not in logged]

    def _kill(self, run: Run) -> None:
        """Closes a run whose process died, at its last sign of life."""
        self._client.set_terminated(run.info.run_id, "KILLED", self._last_logged(run))

    def _last_logged(self, run: Run) -> int:
        """When a run last logged an epoch, or else when it started, in milliseconds."""
        points = self._client.get_metric_history(run.info.run_id, "loss")
        return max([run.info.start_time, *(point.timestamp for point in points)])

    def _is_alive(self, run: Run) -> bool:
        """Whether the process that logs an open run may still be at work.

        On this host that can be seen. On another one it counts as dead when it was started, and the run's last epoch
        logged, more than SILENT_SECONDS ago; should it be alive all the same, the run's end sets that right.
        """
        try:
            host, process, started = run.data.tags.get(WRITER, "").rsplit(" ", 2)
            if host == socket.gethostname():
                return _is_running(int(process), float(started))
            return time.time() - max(float(started), self._last_logged(run) / 1000) < SILENT_SECONDS
        except ValueError:  # no tag, or one that names no process
            return False

    def _is_own(self, run: Run) -> bool:
        """Whether this checkout may say what has become of the run."""
        made_by_project = bool({"run", "parent_of"} & run.data.tags.keys())
        return made_by_project and (not self._is_shared or run.data.tags.get(CHECKOUT) == self._checkout)

    def _mark(self, runs: Iterable[Run], current: set[str]) -> None:
        for run in filter(self._is_own, runs):
            self._set_tag(run, CURRENT, str(run.info.run_id in current).lower())

    def _set_tag(self, run: Run, tag: str, value: str) -> None:
        if run.data.tags.get(tag) != value:
            self._client.set_tag(run.info.run_id, tag, value)
            run.data.tags[tag] = value

    def _known(self, *filters: str) -> list[Run]:
        """The runs in MLflow that pass one of the filters; without any, all."""
        runs = []
        for each in filters or ("",):
            page = self._client.search_runs([self._experiment_id], each)
            runs += page
            while page.token:
                page = self._client.search_runs([self._experiment_id], each, page_token=page.token)
                runs += page
        return runs

    def _find_experiment(self, artifacts: str | None, *, moved_is_error: bool) -> str:
        """The experiment's id; it is made where it is missing and restored where it was deleted."""
        experiment = self._client.get_experiment_by_name(EXPERIMENT)
        if experiment is None:
            return self._client.create_experiment(EXPERIMENT, artifact_location=artifacts)
        if experiment.lifecycle_stage == "deleted":
            self._client.restore_experiment(experiment.experiment_id)
        if moved_is_error and experiment.artifact_location != artifacts:
            raise UserError(
                f"{DATABASE} expects its artifacts in {experiment.artifact_location}, and this folder has them in "
                f"{artifacts}: delete {DATABASE} and run `make track`, which makes it again from the files"
            )
        return experiment.experiment_id

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """One process at a time: MLflow's store is corrupted by concurrent first use, and knows no unique runs."""
        with self._failures():
            self._lock.parent.mkdir(parents=True, exist_ok=True)
            with self._lock.open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """ImportError: an address may need a database driver that is not installed. ValueError: it may be none."""
        try:
            yield
        except (MlflowException, SQLAlchemyError, ImportError, OSError, ValueError) as error:
            reason = textwrap.shorten(masked(str(error)), 300, placeholder=" ...")
            raise UserError(f"MLflow at {masked(self.uri)} failed: {reason}") from error


def _families(
    records: Sequence[Record], comparisons: Mapping[str, Comparison], overview: Record | None
) -> Iterator[tuple[list[Record], Comparison]]:
    """The records that share a parent run; where a variant's runs differ in their params, none of them is compared.

    The overview is a parent without children.
    """
    families: dict[str, list[Record]] = {}
    for record in records:
        families.setdefault(sha256_of(record.parent_identity), []).append(record)
    variants = Counter(children[0].variant for children in families.values())
    for children in families.values():
        variant = children[0].variant
        yield children, comparisons.get(variant, NOTHING) if variants[variant] == 1 else NOTHING
    if overview:
        yield [overview], Comparison(overview.metrics, overview.files)


def _expected(
    records: Sequence[Record], families: Iterable[tuple[list[Record], Comparison]]
) -> Iterator[tuple[Mapping[str, str], Claims]]:
    """The identity of each run and parent run that the files make, with what they have it say."""
    for record in records:
        epochs = zip(record.history["epochs"], record.timings["epochs"], strict=True)
        metrics = [metric for losses, timing in epochs for metric in _epoch_metrics(losses, timing)]
        points = {(metric.key, metric.step, metric.value) for metric in metrics}
        values = _values(params=_params(record), metrics=flat(record.metrics), tags=_tags(record))
        values |= {NAME: record.name} | _inputs(_datasets(record.history))
        files = {name: sha256(path) for name, path in record.files.items()} | ({FIGURES: ""} if record.figures else {})
        times = tuple(_milliseconds(record.timings[name]) for name in ("started_at", "finished_at"))
        yield record.identity, Claims(points, values, files, times)
    for children, (content, files) in families:
        values = _values(params=_params(children[0]), metrics=flat(content), tags={}) | {NAME: children[0].variant}
        digests = {name: sha256(path) for name, path in files.items()}
        yield children[0].parent_identity, Claims(set(), values, digests)


def _inputs(datasets: Iterable[DatasetInput]) -> dict[str, object]:
    """What each dataset is to a run ("training"), by its name and digest."""
    return {
        f"dataset {each.dataset.name} {each.dataset.digest}": next((tag.value for tag in each.tags), None)
        for each in datasets
    }


def _values(**kinds: Mapping[str, object]) -> dict[str, object]:
    """{"params": {"beta": 1}} -> {"param beta": 1}"""
    return {f"{kind[:-1]} {name}": value for kind, values in kinds.items() for name, value in values.items()}


def _claims_of(run: Run, expected: Sequence[tuple[Mapping[str, str], Claims]]) -> Claims | None:
    """What the files have this run say; None where it is none of theirs."""
    return next((claims for identity, claims in expected if identity.items() <= run.data.tags.items()), None)


def _false_claims(logged: Claims, claims: Claims) -> Iterator[str]:
    for name, value in logged.values.items():
        if claims.values.get(name) != value:
            yield f"{name} {value}, the files say {claims.values.get(name)}"
    if claims.times and logged.times not in (None, claims.times):
        yield f"start and end {logged.times}, the files say {claims.times}"
    said = {(name, epoch): value for name, epoch, value in claims.points}
    for name, epoch, value in sorted(logged.points - claims.points):
        yield f"metric {name} {value} after epoch {epoch}, the files say {said.get((name, epoch))}"
    for name, digest in logged.files.items():
        if name not in claims.files:
            yield f"artifact {name}, which the files do not have"
        elif digest != claims.files[name]:
            yield f"artifact {name} with another content than the file has"


def _lacking(logged: Claims, claims: Claims) -> Iterator[str]:
    said, there = ({(name, epoch) for name, epoch, _ in each.points} for each in (claims, logged))
    yield from (name for name in claims.values if name not in logged.values)
    yield from (f"metric {name} of epoch {epoch}" for name, epoch in sorted(said - there))
    yield from (f"artifact {name}" for name in claims.files if name not in logged.files)


def _create_database(path: Path) -> None:
    """The empty store appears whole: a process killed while MLflow makes its tables leaves nothing behind."""
    with replacing(path) as temporary:
        MlflowClient(tracking_uri=f"sqlite:///{temporary}").search_experiments()


def _attempts(record: Record) -> tuple[str, str]:
    """MLflow's filters for all attempts at a run, and for the parents that it may have: no need to read 300 others."""
    return f"tags.run = '{record.name}'", f"tags.parent_of = '{record.variant}'"


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def _epoch_metrics(losses: Mapping, timing: Mapping) -> list[Metric]:
    """The losses, health and seconds of one epoch; its number is the step, and its end the time."""
    values = flat({**losses, **timing})
    values = {name: value for name, value in values.items() if name not in ("epoch", "finished_at")}
    return [
        Metric(name, value, _milliseconds(timing["finished_at"]), losses["epoch"]) for name, value in values.items()
    ]


def _params(record: Record) -> dict[str, str]:
    return {name: str(value) for name, value in record.history["params"].items()}


def _tags(record: Record) -> dict[str, str]:
    """What runs are filtered, grouped and coloured by in the UI."""
    machine = record.timings["machine"]
    tags = {"variant": record.variant, "split": record.history["split"]}
    tags |= {name: str(machine[name] or "none") for name in ("cpu", "gpu", "device", "precision")}
    tags["machine"] = machine_name(machine)
    if commit := record.timings["git_commit"]:
        tags |= {"git_commit": commit, "mlflow.source.git.commit": commit.removesuffix("-dirty")}
    return tags


def _datasets(history: Mapping) -> list[DatasetInput]:
    validation = "test_images" if history["split"] == FULL else f"fold_{history['split']}"
    digests = history["data"]
    return [
        _dataset("train_images", digests["train_images"], "training"),
        _dataset(validation, digests["validation"], "validation"),
    ]


def _dataset(name: str, digest: str, context: str) -> DatasetInput:
    """MLflow keeps at most 36 characters as a digest: the whole one stands in the source."""
    source = json.dumps({"sha256": digest})
    dataset = Dataset(name=name, digest=digest[:36], source_type="local", source=source)
    return DatasetInput(dataset=dataset, tags=[InputTag("mlflow.data.context", context)])


def _digests(files: Mapping[str, Path]) -> str:
    return json.dumps({name: sha256(path) for name, path in files.items()}, sort_keys=True)


def _this_process() -> str:
    return f"{socket.gethostname()} {os.getpid()} {psutil.Process().create_time()}"


def _is_running(process: int, started: float) -> bool:
    """Whether the process of this host with that number is the one that started then, in seconds since the epoch.

    One that was killed, and not yet waited for by its parent, is gone.
    """
    try:
        found = psutil.Process(process)
        is_same = abs(found.create_time() - started) < SAME_START_SECONDS
        return is_same and found.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
