"""The project's experiment in MLflow: how to reach it, which runs are this checkout's own, and what its errors mean."""

import fcntl
import os
import re
import socket
import sqlite3
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote, urlencode

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from digit_vae.base.errors import UserError, masked
from digit_vae.base.files import replacing

EXPERIMENT = "digit-vae"
DATABASE = "mlflow.db"
ARTIFACTS = "mlartifacts"
REBUILD = (
    f"delete {DATABASE} and run `make track`, which makes it again from the files, but for registered versions and the "
    "champion: `digit-vae register RUN` and `digit-vae promote RUN` make these anew"
)
MAKE = "`make track` makes it, or `digit-vae register RUN`"

CURRENT = "digit_vae.current"  # "true" for the attempt that the present files came from
FILES = "digit_vae.files"  # the hashes of the files that were brought in
CHECKOUT = "digit_vae.checkout"  # the host and folder that brought a run in, or trained it last
WRITER = "digit_vae.writer"  # the process that made a run, or logs it while it trains
PARENT = "mlflow.parentRunId"
NOTE = "mlflow.note.content"

KIND = {"mlflow.experimentKind": "custom_model_development"}  # no prompts and traces
CHARTS = {"compareRunsMode": "CHART"}
PARENTS = 'tags.group != ""'  # of a variant's runs in a study, with their means and what the comparison says
# Comparisons, each one address of MLflow's pages: the filter, and what the runs are in the order of. None has earlier
# attempts.
COMPARISONS = {
    "the ablation over folds": (f'{PARENTS} and tags.studies LIKE "%,ablation,%"', "metrics.`validation/elbo/mean`"),
    "beta over folds": (f'{PARENTS} and tags.studies LIKE "%,beta,%"', "metrics.`validation/kl_loss/mean`"),
    "seeds of the paper's model": ('tags.variant = "baseline" and tags.split = "full"', "metrics.`test/elbo`"),
    "CPU and GPU": ('tags.study = "benchmark"', "tags.`device`"),
}
ONLY_CURRENT = f'tags.`{CURRENT}` = "true"'
DESCRIPTION = """\
Each run is one trained model, `<variant>-<split>-<seed>`; its parent, `<study>/<variant>`, has what the comparison of
the study says of the variant. `make track` makes all of this from the files.

* `tags.digit_vae.current = 'true'`: what the present files say; others are earlier attempts.
* `tags.studies LIKE '%,beta,%'`: all runs that a study reads, also those of the studies beside it.
* `tags.study = 'ablation'`, `tags.variant = 'dropout'`, `tags.split = 'full'`, `tags.seed = '0'`: some of the runs.
* `tags.study = 'benchmark'`: measured speed; `tags.device = 'gpu'`: of GPUs, by `tags.machine`.
* `tags.experiment = 'NAME'`: the runs of an experiment of DVC.

Mark some runs and press *Compare*, or open one of these:

"""


def comparison(experiment_id: str, name: str) -> str:
    """The address of a comparison, from MLflow's first page on."""
    runs, order = COMPARISONS[name]
    asked = {
        "workflowType": "machine_learning",
        "searchFilter": f"{runs} and {ONLY_CURRENT}",
        "orderByKey": order,
        "orderByAsc": "false",
    } | CHARTS
    return f"#/experiments/{experiment_id}/runs?{urlencode(asked, quote_via=quote)}"


def description(experiment_id: str) -> str:
    """The experiment's note, in Markdown."""
    return DESCRIPTION + "".join(f"* {_link(experiment_id, name)}\n" for name in COMPARISONS)


def with_present_addresses(note: str, experiment_id: str) -> str:
    """The experiment's note, in which somebody may have written, with each comparison that it links at its address."""
    for name in COMPARISONS:
        note = re.sub(rf"\[{re.escape(name)}\]\(#/experiments/[^)\s]*\)", _link(experiment_id, name), note)
    return note


def _link(experiment_id: str, name: str) -> str:
    return f"[{name}]({comparison(experiment_id, name)})"


def project_root() -> Path:
    """Where the store is. DVC says where its project is, also to a stage in the temporary folder of an experiment."""
    return Path(os.environ.get("DVC_ROOT", "."))


class NoStoreError(UserError):
    """Nobody has logged a run yet."""


class Store:
    """The experiment in MLflow that the runs of the project are in.

    It is at `MLFLOW_TRACKING_URI`, or else in a database in `root` that is made at first use. One process at a time
    adds or removes runs. In the database of `root`, all runs of the project are this checkout's own; in a store that
    others may share, only those that it made. Only its own runs are closed, marked and called superseded.
    Raises: UserError when MLflow or the way to it fails, as do `exclusive` and `failures`.
    """

    def __init__(self, root: Path, *, making: bool = True) -> None:
        """making: whether what is missing is made; otherwise it raises NoStoreError, and changes nothing."""
        root = root.resolve()
        own = root / DATABASE
        self.uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{own}"
        if not os.environ.get("MLFLOW_TRACKING_URI") and not {"%", "?"}.isdisjoint(str(own)):
            raise UserError(f"expected a project folder without % and ?, which MLflow takes for more; received {root}")
        database = _file_of(self.uri)
        self.checkout = f"{socket.gethostname()}:{root}"
        self._own = own if database == own else None
        self._lock = Path(f"{database or own}.lock")
        with self.exclusive() if making else self.failures():
            if database and not database.exists():
                if not making:
                    raise NoStoreError(f"{database} is missing: {MAKE}")
                create_database(database)
            self.client = MlflowClient(tracking_uri=self.uri)
            artifacts = None if self.uri.startswith("http") else str(root / ARTIFACTS)
            self.experiment_id = self._find_experiment(artifacts, making=making)

    def runs(self, *filters: str) -> list[Run]:
        """The runs and groups in MLflow that pass one of the filters; without any, all."""
        runs: list[Run] = []
        for each in filters or ("",):
            page = self.client.search_runs([self.experiment_id], each)
            runs += page
            while page.token:
                page = self.client.search_runs([self.experiment_id], each, page_token=page.token)
                runs += page
        return runs

    def is_own(self, run: Run) -> bool:
        """Whether this checkout may close or mark the run."""
        made_by_project = bool({"run", "group"} & run.data.tags.keys())
        return made_by_project and (self._own is not None or run.data.tags.get(CHECKOUT) == self.checkout)

    def set_tags(self, run: Run, tags: Mapping[str, str]) -> None:
        """Sets those of the tags that the run does not have."""
        for tag, value in tags.items():
            if run.data.tags.get(tag) != value:
                self.client.set_tag(run.info.run_id, tag, value)
                run.data.tags[tag] = value

    def mark(self, runs: Iterable[Run], current: set[str]) -> None:
        """Marks each of our own runs as one of the present files (those with the ids `current`) or not."""
        for run in filter(self.is_own, runs):
            self.set_tags(run, {CURRENT: str(run.info.run_id in current).lower()})

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """One process at a time: concurrent first use corrupts MLflow's store, and MLflow does not keep runs unique."""
        with self.failures():
            self._lock.parent.mkdir(parents=True, exist_ok=True)
            with self._lock.open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield

    @contextmanager
    def failures(self) -> Iterator[None]:
        """ImportError: the address may need a database driver that is missing. ValueError: it may be no address."""
        try:
            yield
        except (MlflowException, SQLAlchemyError, ImportError, OSError, ValueError) as error:
            if self._own and (damage := damage_of(self._own)):
                raise UserError(f"{DATABASE} is damaged ({damage}): {REBUILD}") from error
            reason = textwrap.shorten(masked(str(error)), 300, placeholder=" ...")
            raise UserError(f"MLflow at {masked(self.uri)} failed: {reason}") from error

    def _find_experiment(self, artifacts: str | None, *, making: bool) -> str:
        """The experiment's id; it is made where it is missing and restored where it was deleted."""
        experiment = self.client.get_experiment_by_name(EXPERIMENT)
        if not making and (experiment is None or experiment.lifecycle_stage == "deleted"):
            raise NoStoreError(f"MLflow at {masked(self.uri)} has no experiment {EXPERIMENT}: {MAKE}")
        if experiment is None:
            experiment_id = str(self.client.create_experiment(EXPERIMENT, artifact_location=artifacts))
            experiment = self.client.get_experiment(experiment_id)
        if experiment.lifecycle_stage == "deleted":
            self.client.restore_experiment(experiment.experiment_id)
        if self._own and experiment.artifact_location != artifacts:
            raise UserError(
                f"{DATABASE} expects its artifacts in {experiment.artifact_location}, and this folder has them in "
                f"{artifacts}: {REBUILD}"
            )
        its = experiment.experiment_id
        if not making:
            return str(its)
        note = with_present_addresses(experiment.tags.get(NOTE, description(its)), its)
        for tag, value in (KIND | experiment.tags | {NOTE: note}).items():
            if experiment.tags.get(tag) != value:
                self.client.set_experiment_tag(its, tag, value)
        return str(its)


def _file_of(uri: str) -> Path | None:
    """The database of an SQLite address; None for other stores.

    Raises: UserError for one in memory, which would be gone with this process, and for a folder.
    """
    if not uri.startswith("sqlite"):
        return None
    try:
        name = make_url(uri).database or ":memory:"
    except (ArgumentError, ValueError):
        name = ":memory:"
    if name == ":memory:" or name.startswith("file:") or Path(name).is_dir():
        raise UserError(f"MLFLOW_TRACKING_URI: expected a database in a file, sqlite:///FILE; received {uri}")
    return Path(name)


def create_database(path: Path) -> None:
    """The empty store appears whole: a process killed while MLflow makes its tables leaves nothing behind."""
    with replacing(path) as temporary:
        MlflowClient(tracking_uri=f"sqlite:///{temporary}").search_experiments()


def damage_of(database: Path) -> str | None:
    """What SQLite finds wrong with a database; None where it finds nothing or cannot read it."""
    try:
        with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            tables = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'experiments'").fetchone()
    except sqlite3.OperationalError:  # it is locked, or is no file
        return None
    except sqlite3.DatabaseError as error:
        return str(error)
    return " ".join(str(found).split()) if found != "ok" else None if tables[0] else "it lacks MLflow's tables"
