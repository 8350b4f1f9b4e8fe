"""What the driver asks DVC and tells it: which stages of a run are out of date, and which have been run."""

import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from dvc.dependency import param
from dvc.dvcfile import Lockfile
from dvc.fs import FileSystem
from dvc.repo import Repo
from dvc.rwlock import rwlock
from dvc.stage import PipelineStage
from dvc.stage.cache import RunCacheNotFoundError

from digit_vae.base.errors import UserError
from digit_vae.base.files import replacing, write_bytes
from digit_vae.config.params import Params, Run, load_params

GRAPH, EXTENDED_GRAPH = "dvc.yaml", "extended/dvc.yaml"
_MISSING = object()


class Job(NamedTuple):
    """One stage of one run; `stage` holds the hashes of its dependencies, read when `params` were."""

    run: Run
    stage: PipelineStage
    params: Params

    @property
    def trains(self) -> bool:
        return self.stage.name.startswith("train@")


class Ledger:
    """DVC's record of the runs: what is up to date, what lies in its cache, and what has just been made.

    What is made goes into DVC's cache at once, from where a later call restores it whatever happens to this one;
    dvc.lock (one a graph), which DVC takes seconds to rewrite when there are many runs, is written by `close`.
    """

    def __init__(self, repo: Repo, graphs: Sequence[str] = (GRAPH,)) -> None:
        self._repo = repo
        self._stages = {(graph, stage.name): stage for graph in graphs for stage in repo.stage.load_all(graph)}
        self._changed: list[PipelineStage] = []
        self._held: dict[str, ExitStack] = {}

    def is_settled(self) -> bool:
        """Whether all of the graphs is up to date."""
        with self._locked():
            return not any(stage.changed() for stage in self._stages.values())

    def next_job(self, run: Run, kinds: Sequence[str] = ("train", "evaluate")) -> Job | None:
        """The first stage of the run that has to be run; those before it are up to date or were restored from cache."""
        graph = EXTENDED_GRAPH if run.extended else GRAPH
        with self._locked():
            for kind in kinds:
                stage = self._stages[graph, f"{kind}@{run.name}"]
                if stage.changed() and not self._restore(stage):
                    return Job(run, stage, load_params())
        return None

    def hold(self, job: Job) -> None:
        """Locks what the job reads and makes, as DVC does while it runs a stage: another DVC is told who is at work.

        Raises: DvcException when another one is at work.
        """
        read, write = ([item.fs_path for item in items] for items in (job.stage.deps, job.stage.outs))
        hardlink = self._repo.config["core"].get("hardlink_lock", False)
        held = ExitStack()
        # The command by which DVC knows this process in its own locks.
        held.enter_context(rwlock(self._repo.tmp_dir, self._repo.fs, " ".join(sys.argv), read, write, hardlink))
        self._held[job.run.name] = held

    def release(self, job: Job) -> None:
        """Takes the lock of `hold` away again, where there is one."""
        self._held.pop(job.run.name, ExitStack()).close()

    def record(self, job: Job, files: dict[Path, bytes]) -> None:
        """Writes the files and records the stage as run. Raises: UserError when its dependencies are others by now."""
        with self._locked(), uninterrupted():
            if job.stage.changed_deps():
                raise UserError("params, code or data were changed while it ran: it has to run once more")
            for path, content in files.items():
                write_bytes(path, content)
            self._commit(job.stage)

    def close(self) -> None:
        """DVC itself would write into dvc.lock, and leave half of it where it is killed or the disk is full."""
        for held in self._held.values():
            held.close()
        for graph in (GRAPH, EXTENDED_GRAPH):
            changed = [stage for stage in self._changed if stage.relpath == graph]
            if changed:
                self._write_lock(Path(graph).with_suffix(".lock"), changed)

    def _write_lock(self, lock: Path, changed: Sequence[PipelineStage]) -> None:
        with self._locked(), uninterrupted(), replacing(lock) as temporary:
            if lock.is_file():
                shutil.copyfile(lock, temporary)
            Lockfile(self._repo, str(temporary)).dump_stages(changed)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Holds DVC's lock. Raises: UserError in place of an OSError, such as that of a read-only folder."""
        try:
            with self._repo.lock:
                yield
        except OSError as error:
            where = error.filename or self._repo.root_dir
            raise UserError(f"{where} could not be read or written: {error.strerror or error}") from error

    def _restore(self, stage: PipelineStage) -> bool:
        """As DVC itself does ahead of a stage's command: looks for the same dependencies in the run cache."""
        stage.remove_outs(ignore_remove=True)
        try:
            self._repo.stage_cache.restore(stage)
        except RunCacheNotFoundError:
            stage.save_deps()
            return False
        self._commit(stage)
        return True

    def _commit(self, stage: PipelineStage) -> None:
        stage.save()
        stage.commit()
        self._changed.append(stage)


@contextmanager
def params_parsed_once() -> Iterator[None]:
    """Within the block DVC parses each content of params.yaml once, instead of ten times a stage.

    That was most of what DVC took with 300 runs. Each stage still gets the values that are in the file when it looks.
    """
    read, parsed = param.read_param_file, {}

    def remembered(fs: FileSystem, path: str, key_paths: Sequence[str] = (), flatten: bool = False) -> dict:
        if not (key_paths and flatten):
            return read(fs, path, key_paths, flatten)
        status = Path(path).stat()
        content = (path, status.st_ino, status.st_size, status.st_mtime_ns)
        if content not in parsed:
            parsed[content] = read(fs, path)
        found = {keys: _value(parsed[content], keys.split(".")) for keys in key_paths}
        return {keys: value for keys, value in found.items() if value is not _MISSING}

    param.read_param_file = remembered
    try:
        yield
    finally:
        param.read_param_file = read


def _value(section: object, keys: Sequence[str]) -> object:
    for key in keys:
        section = section.get(key, _MISSING) if isinstance(section, dict) else _MISSING
    return section


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C or SIGTERM takes effect at the end of the block: a half-written dvc.lock would help nobody."""
    pressed = []
    before = {each: signal.signal(each, lambda *_: pressed.append(True)) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    if pressed:
        raise KeyboardInterrupt
