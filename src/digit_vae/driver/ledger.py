"""The adapter to DVC, and the only module that imports it: asks what is out of date, and records what has been run.

Where a documented method of DVC's `Repo` serves (status, checkout, reproduce), it is used. The rest is done with the
methods of a stage that `dvc repro` itself calls, for which pyproject.toml holds DVC to one minor version:

- To restore a result from the run cache, or else leave it to the scheduler: `reproduce` would train it at once.
- To refuse a result whose params, code or data changed while it was made: `commit` records whatever is there.
- To record it in a fraction of a second: `commit` reads the graph and writes dvc.lock anew for each stage, which takes
  3 s with 66 runs. What is recorded here lies in the cache and the run cache, from where a later call restores it
  whatever happens to this one; dvc.lock follows at the end.
- To write dvc.lock whole or not at all: DVC leaves half of it where it is killed or the disk is full.
- To tell another DVC that a run is being worked on, as DVC does while it runs a stage.
"""

import logging
import shutil
import signal
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from dvc.dvcfile import Lockfile
from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.rwlock import rwlock
from dvc.stage.cache import RunCacheNotFoundError
from dvc_data.hashfile.hash_info import HashInfo

from digit_vae.base.errors import UserError
from digit_vae.base.files import replacing, write_bytes
from digit_vae.base.paths import GRAPH_FILES, MODELS, PROCESSED
from digit_vae.config.runs import Graph, Run

MISSING = ("deleted", "not in cache")  # DVC's words for files that are not here
ELSEWHERE = (f"{MODELS}/", f"{PROCESSED.parent}/")  # folders whose files may be elsewhere; all others are in git
OF_RUNS = ("train_", "evaluate_")  # how the names of their stages begin
SHARED = ("fetch", "preprocess", "classifier")  # what all of these need
Stage = Any  # DVC has no types


class Job(NamedTuple):
    """A stage of a run that has to be run. found: the hash of each of its dependencies at the time it was planned."""

    run: Run
    trains: bool
    stage: Stage
    found: Mapping[str, object]


class Ledger:
    """DVC's record of the stages of some graphs. Every method raises UserError for what DVC refuses or cannot write.

    anew: whether outputs that are not here have to be made, even where git's results of them fit.
    """

    def __init__(self, repo: Repo, graphs: Sequence[Graph], *, anew: bool) -> None:
        self._repo, self._graphs, self._anew = repo, graphs, anew
        self._recorded: list[Stage] = []
        self._held: dict[str, ExitStack] = {}
        self._look()

    def _look(self) -> None:
        """Asks DVC for the state of all stages, and restores results that fit from its cache."""
        files = [str(GRAPH_FILES[graph]) for graph in self._graphs]
        with _said():
            status = self._repo.status(files)
            fitting = [name for name, changes in status.items() if _fits(changes)]
            cached = [name for name in fitting if _is_cached(status[name])]
            if cached:
                self._repo.checkout(cached)
            kept = cached if self._anew else fitting
            self._outdated = [name for name in status if name not in kept]  # in the order of the graph
            self._stages = {stage.addressing: stage for file in files for stage in self._repo.stage.load_all(file)}

    @property
    def is_up_to_date(self) -> bool:
        return not self._outdated

    def is_outdated(self, run: Run) -> bool:
        return any(stage in self._outdated for stage in run.stages)

    def prepare(self, chosen: Collection[Run]) -> None:
        """Brings data and classifier up to date, and makes sure that they are here if a chosen run has to be run.

        Raises: UserError, too, for a run without stages, which DVC would pass over.
        """
        for run in chosen:
            if missing := [stage for stage in run.stages if stage not in self._stages]:
                expected = f"stages train_{run.study} and evaluate_{run.study} in {GRAPH_FILES[run.graph]}"
                received = f"none that is called {missing[0].rpartition(':')[2]}"
                raise UserError(
                    f"studies.{run.study}: expected {expected}; received {received}: docs/add_a_variant.md shows them"
                )
        with _said():
            if not {"fetch", "preprocess"}.isdisjoint(self._outdated) and self._repo.reproduce("preprocess"):
                self._look()
            needed = "classifier" in self._outdated or any(map(self.is_outdated, chosen))
            if needed and self._repo.reproduce("classifier"):
                self._look()

    def plan(self, run: Run) -> Job | None:
        """The first stage of the run that has to be run; the one before it fits, or was restored from the run cache."""
        train, evaluate = self._stages_of(run)
        with self._locked():
            if train.addressing not in self._outdated:
                return self._evaluation(run, {}) if evaluate.addressing in self._outdated else None
            if self._is_restored(train):
                return self._evaluation(run, {}) if evaluate.changed() else None
            made = {str(out) for out in train.outs}
            return Job(run, True, train, _hashes(train) | _hashes(evaluate, but=made))

    def following(self, job: Job) -> Job | None:
        """The evaluation after a recorded training, if it is out of date."""
        with self._locked():
            return self._evaluation(job.run, job.found) if self._stages_of(job.run)[1].changed() else None

    def _evaluation(self, run: Run, found: Mapping[str, object]) -> Job | None:
        stage = self._stages_of(run)[1]
        if missing := [str(dep) for dep in stage.deps if not dep.exists]:
            advice = "`make repro ANEW=1` trains what is not here"
            raise UserError(f"it has to be evaluated anew, but {', '.join(missing)} is not here: {advice}")
        return None if self._is_restored(stage) else Job(run, False, stage, {**_hashes(stage), **found})

    def begin(self, job: Job) -> None:
        """Locks what the job reads and makes, until `end`. Raises: UserError when another DVC is at work there."""
        with self._locked():
            _check_unchanged(job)
            read, write = ([item.fs_path for item in items] for items in (job.stage.deps, job.stage.outs))
            hardlink = self._repo.config["core"].get("hardlink_lock", False)
            held = ExitStack()
            # The command by which DVC knows this process in its own locks.
            held.enter_context(rwlock(self._repo.tmp_dir, self._repo.fs, " ".join(sys.argv), read, write, hardlink))
            self._held[job.run.name] = held

    def end(self, job: Job) -> None:
        """Removes the lock of `begin`, if there is one."""
        with _said():
            self._held.pop(job.run.name, ExitStack()).close()

    def record(self, job: Job, files: Mapping[Path, bytes]) -> None:
        """Writes the files and records the stage as run. Raises: UserError when what it read has changed meanwhile."""
        with self._locked(), uninterrupted():
            _check_unchanged(job)
            for path, content in files.items():
                write_bytes(path, content)
            self._commit(job.stage)

    def finish(self) -> dict[str, list[str]]:
        """Runs all other stages that are out of date, such as the report.

        Returns: the files that are not here, by the stage that reads them and was left out: DVC would delete what it
        made before, and only then miss them.
        """
        self.close()
        others = [name for name in self._outdated if name not in SHARED and not _is_of_run(name)]
        left_out = {name: absent for name in others if (absent := self._absent(name))}
        with _said():
            for name in others:
                if name not in left_out:
                    self._repo.reproduce(name, single_item=True)  # a deleted report, too, which is missing to DVC
            for graph in self._graphs:
                file = str(GRAPH_FILES[graph])
                kept = [name for name, stage in self._stages.items() if stage.relpath == file and name not in left_out]
                self._repo.reproduce(kept if left_out else file, allow_missing=not self._anew)
        return left_out

    def _absent(self, name: str) -> list[str]:
        """What a stage reads that is not here and may be elsewhere."""
        deps = self._stages[name].deps
        return [str(dep) for dep in deps if str(dep).startswith(ELSEWHERE) and not dep.exists]

    def close(self) -> None:
        """Writes dvc.lock, one a graph, with all that was recorded."""
        while self._held:
            self._held.popitem()[1].close()
        for path in dict.fromkeys(stage.relpath for stage in self._recorded):
            lock = Path(path).with_suffix(".lock")
            with self._locked(), uninterrupted(), replacing(lock) as temporary:
                if lock.is_file():
                    shutil.copyfile(lock, temporary)
                stages = [stage for stage in self._recorded if stage.relpath == path]
                Lockfile(self._repo, str(temporary)).dump_stages(stages)
        self._recorded.clear()

    def _stages_of(self, run: Run) -> tuple[Stage, Stage]:
        train, evaluate = run.stages
        return self._stages[train], self._stages[evaluate]

    def _is_restored(self, stage: Stage) -> bool:
        """Looks for the same dependencies in the run cache, as DVC itself does before a stage's command."""
        stage.save_deps()
        for out in stage.outs:
            out.hash_info = HashInfo()  # that of dvc.lock, which DVC would take for the result of what is there now
        try:
            self._repo.stage_cache.restore(stage, dry=True)
        except RunCacheNotFoundError:
            return False
        stage.remove_outs(ignore_remove=True)
        self._repo.stage_cache.restore(stage)
        self._commit(stage)
        return True

    def _commit(self, stage: Stage) -> None:
        stage.save()
        stage.commit()
        self._recorded.append(stage)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Holds DVC's lock."""
        with _said(), self._repo.lock:
            yield


@contextmanager
def opened(graphs: Sequence[Graph], *, anew: bool = False) -> Iterator[Ledger]:
    """The ledger of the project in the current folder, which may be an archive without git. Raises: UserError."""
    logging.getLogger("dvc").setLevel(logging.WARNING)
    logging.getLogger("dvc.stage.run").setLevel(logging.INFO)  # says which stage is run
    config = {} if Path(".git").exists() else {"core": {"no_scm": True}}
    with _said():
        repo = Repo(config=config, _wait_for_lock=True)  # someone may look at `dvc status` meanwhile
    with repo:
        ledger = Ledger(repo, graphs, anew=anew)
        try:
            yield ledger
        finally:
            ledger.close()


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C or SIGTERM takes effect at the end of the block: a half-recorded run would help nobody."""
    pressed: list[int] = []
    ends = (signal.SIGINT, signal.SIGTERM)
    before = {each: signal.signal(each, lambda number, _: pressed.append(number)) for each in ends}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    if pressed:
        raise KeyboardInterrupt


@contextmanager
def _said() -> Iterator[None]:
    """What DVC raises, as one sentence."""
    try:
        yield
    except OSError as error:  # such as that of a read-only folder
        raise UserError(
            f"{error.filename or '.dvc'} could not be read or written: {error.strerror or error}"
        ) from error
    except DvcException as error:
        raise UserError(" ".join(str(error).split())) from error


def _is_of_run(name: str) -> bool:
    return name.rpartition(":")[2].startswith(OF_RUNS)


def _fits(changes: Sequence[Any]) -> bool:
    """Whether a stage is up to date but for files that are not here and may be elsewhere."""
    if not all(isinstance(change, dict) for change in changes):
        return False  # another command
    differing = [item for change in changes for its in change.values() for item in its.items()]
    return all(state in MISSING and path.startswith(ELSEWHERE) for path, state in differing)


def _is_cached(changes: Sequence[Mapping[str, Mapping[str, str]]]) -> bool:
    """Whether DVC's cache has all outputs of a fitting stage, some of which are not here."""
    return {state for change in changes for state in change.get("changed outs", {}).values()} == {"deleted"}


def _hashes(stage: Stage, but: Collection[str] = ()) -> dict[str, object]:
    """The hash of each dependency that is there."""
    return {f"{dep} of {stage.name}": dep.get_hash() for dep in stage.deps if str(dep) not in but and dep.exists}


def _check_unchanged(job: Job) -> None:
    """Raises: UserError that names a dependency that has changed since the job was planned."""
    now = _hashes(job.stage)
    if changed := [name for name in now if name in job.found and now[name] != job.found[name]]:
        raise UserError(f"{', '.join(changed)} changed since this call began: another `make repro` runs it once more")
