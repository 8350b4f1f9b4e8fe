"""The driver of `make repro`: the work of `dvc repro`, with the runs of the matrix side by side.

    python -m pipeline.repro                  # on all cores of this machine
    python -m pipeline.repro --jobs 1         # one run at a time
    python -m pipeline.repro --address auto   # on the Ray cluster that this machine belongs to
    python -m pipeline.repro --runs l1_l2-3   # this run alone, without what is made of all runs

DVC decides what is out of date and keeps the record; Ray runs the train and evaluate stages, each as one task that is
given arrays and returns the content of its files, which only this process writes. A task calls what the stage's own
command calls, on one core: the bytes are the same either way. One command can follow the other at any time.
"""

import argparse
import fcntl
import logging
import os
import socket
import statistics
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import ray
from dvc.exceptions import DvcException
from dvc.repo import Repo
from ray.exceptions import RayError

from digit_vae.errors import UserError, exit_status
from digit_vae.files import read_listed_npy, write_bytes, write_text
from digit_vae.mirror import Mirror
from digit_vae.params import Params, Run, find_run, load_params, run_params, runs
from digit_vae.progress import epoch_line, show
from pipeline.ledger import Job, Ledger
from pipeline.plan import RUNS, matrix

PROCESSED = Path("data/processed")
MODELS = Path("models")
CHECKPOINTS = Path("checkpoints")
RETRIES = 3  # of a task whose worker or machine died
POLL_SECONDS = 0.5


@ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)
class Events:
    """Where the workers leave their events for the driver, and checkpoints for the worker that follows a dead one."""

    def __init__(self) -> None:
        self._events: list[dict] = []
        self._checkpoints: dict[str, bytes] = {}

    def put(self, event: dict) -> None:
        self._events.append(event)
        if event["event"] == "checkpoint":
            self._checkpoints[event["run"]] = event["content"]

    def checkpoint(self, run: str) -> bytes | None:
        return self._checkpoints.get(run)

    def forget(self, run: str) -> None:
        self._checkpoints.pop(run, None)

    def take(self) -> list[dict]:
        taken, self._events = self._events, []
        return taken


def train_task(
    params: Params,
    run: Run,
    images: np.ndarray,
    validation: np.ndarray,
    data: dict[str, str],
    events: ray.actor.ActorHandle,
    saved: bytes | None,
) -> dict[Path, bytes]:
    from pipeline.train import train  # imports TensorFlow, which the driver can do without

    saved = ray.get(events.checkpoint.remote(run.name)) or saved  # a worker before this one may have died
    files = train(params, run, images, validation, data, lambda event: ray.get(events.put.remote(event)), saved)
    return {MODELS / run.name / name: content for name, content in files.items()}


def evaluate_task(
    params: Params,
    run: Run,
    images: np.ndarray,
    validation: np.ndarray,
    test_images: np.ndarray,
    trained: dict[str, bytes],
) -> dict[Path, bytes]:
    from digit_vae.splits import learnt_and_validated
    from pipeline.evaluate import evaluate  # imports TensorFlow, which the driver can do without

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / run.name
        folder.mkdir()
        for name, content in trained.items():
            (folder / name).write_bytes(content)
        return evaluate(params, run, folder, learnt_and_validated(images, validation)[1], test_images)


@dataclass
class Progress:
    """How far all runs are: epochs reached by run, and the seconds that an epoch took."""

    epochs: int
    slots: Callable[[], int]
    reached: dict[str, int]
    seconds: list[float] = field(default_factory=list)

    def show(self, event: dict) -> None:
        """Shows one finished epoch with the share of all epochs that are done and the time left."""
        history, timing = event["history"], event["timing"]
        self.reached[event["run"]] = history["epoch"]
        self.seconds.append(timing["train_seconds"] + timing["validation_seconds"])
        done, total = sum(self.reached.values()), self.epochs * len(self.reached)
        unfinished = sum(epoch < self.epochs for epoch in self.reached.values())
        left_seconds = (total - done) * statistics.mean(self.seconds) / min(self.slots(), max(unfinished, 1))
        finished = f"{len(self.reached) - unfinished}/{len(self.reached)} runs"
        line = f"{finished}  {epoch_line(event['run'], history, timing, self.epochs)}"
        show(line, done=done / total, left_seconds=left_seconds)


class Driver:
    """Runs jobs on Ray until none is left; a run that fails is named, and the others go on."""

    def __init__(self, ledger: Ledger, jobs: list[Job], slots: int | None) -> None:
        self._ledger, self._slots = ledger, slots
        self._waiting = deque(jobs)
        self._running: dict[ray.ObjectRef, Job] = {}
        self._failures: dict[str, str] = {}
        epochs = jobs[0].params.train.epochs
        self._progress = Progress(epochs, self._capacity, {job.run.name: 0 for job in jobs if job.trains})
        self._events = Events.remote()
        files = {"train_images.npy", "test_images.npy"} | {job.run.validation_file for job in jobs}
        listed = {name: read_listed_npy(PROCESSED, name, made_by="preprocess") for name in files}
        self._arrays = {name: ray.put(np.asarray(array)) for name, (array, _) in listed.items()}
        self._hashes = {name: digest for name, (_, digest) in listed.items()}

    def run(self) -> dict[str, str]:
        """Returns: the reasons of the runs that failed, by name. Ctrl-C keeps what is finished."""
        with Mirror() as mirror:
            try:
                while self._waiting or self._running:
                    while self._waiting and len(self._running) < self._capacity():
                        self._submit(self._waiting.popleft())
                    self._collect(mirror, POLL_SECONDS)
            except KeyboardInterrupt:
                self._collect(mirror, 0)
                raise
        return self._failures

    def _capacity(self) -> int:
        """How many tasks may run at once: as many as asked for, or one a core of the cluster as it is now."""
        return self._slots or max(1, int(ray.cluster_resources().get("CPU", 1)))

    def _submit(self, job: Job) -> None:
        validation = job.run.validation_file
        arrays = [self._arrays["train_images.npy"], self._arrays[validation]]
        if job.trains:
            gpu = run_params(job.params, job.run).device == "gpu" and "GPU" in ray.cluster_resources()
            # A process binds itself to one device: a GPU run gets a fresh one.
            task = ray.remote(num_gpus=1, max_calls=1)(train_task) if gpu else ray.remote(train_task)
            data = {"train_images": self._hashes["train_images.npy"], "validation": self._hashes[validation]}
            checkpoint = CHECKPOINTS / job.run.name
            rest = [data, self._events, checkpoint.read_bytes() if checkpoint.is_file() else None]
        else:
            task = ray.remote(evaluate_task)
            folder = MODELS / job.run.name
            trained = {name: (folder / name).read_bytes() for name in ("model.weights.h5", "history.json")}
            rest = [self._arrays["test_images.npy"], trained]
        task = task.options(name=job.stage.name, max_retries=RETRIES)
        self._running[task.remote(job.params, job.run, *arrays, *rest)] = job

    def _collect(self, mirror: Mirror, timeout: float) -> None:
        """Takes in what the workers reported and returned, waiting at most `timeout` seconds for a result."""
        running = list(self._running)
        done = ray.wait(running, num_returns=1 if timeout else len(running), timeout=timeout)[0] if running else []
        for event in ray.get(self._events.take.remote()):
            self._take(event, mirror)
        for reference in done:
            self._finish(self._running.pop(reference), reference, mirror)

    def _take(self, event: dict, mirror: Mirror) -> None:
        if event["event"] == "checkpoint":
            write_bytes(CHECKPOINTS / event["run"], event["content"])
            return
        mirror.send(event)
        if event["event"] == "epoch":
            self._progress.show(event)
        elif event["note"]:
            print(f"\n{event['run']}: {event['note']}", flush=True)

    def _finish(self, job: Job, reference: ray.ObjectRef, mirror: Mirror) -> None:
        """Keeps what a task returned; a training is followed by its evaluation, where that is out of date."""
        try:
            self._ledger.record(job, ray.get(reference))
            following = self._ledger.next_job(job.run) if job.trains else None
        except (DvcException, OSError, RayError, UserError) as error:
            cause = getattr(error, "cause", error)
            self._failures[job.run.name] = str(cause if isinstance(cause, UserError) else error)
            self._progress.reached.pop(job.run.name, None)
            print(f"\n{job.stage.name} failed: {self._failures[job.run.name]}", file=sys.stderr, flush=True)
            return
        if job.trains:
            (CHECKPOINTS / job.run.name).unlink(missing_ok=True)
            self._events.forget.remote(job.run.name)
            mirror.send({"event": "end", "run": job.run.name})
        if following:
            self._waiting.appendleft(following)


@contextmanager
def alone() -> Iterator[None]:
    """Holds the checkout's lock. Raises: UserError when another driver holds it."""
    path = Path(".dvc/tmp/repro.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError("another `make repro` works in this folder: wait for its end, or stop it") from error
        yield


def check_address(address: str) -> None:
    """Ray itself waits for minutes where nothing listens. Raises: UserError."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdecimal():
        return  # such as auto: Ray knows where
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError as error:
        raise UserError(f"--address: expected a Ray cluster that answers, received {address!r} ({error})") from error


@contextmanager
def cluster(address: str | None, slots: int | None) -> Iterator[None]:
    """The Ray cluster at `address`, or else one of this machine alone that ends with the block."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    local = {} if address else {"num_cpus": slots, "include_dashboard": False, "object_store_memory": 256 * 2**20}
    try:
        ray.init(address=address or "local", log_to_driver=False, logging_level="ERROR", **local)
    except ConnectionError as error:
        raise UserError(f"--address: expected a Ray cluster that answers, received {address!r}: {error}") from error
    try:
        yield
    finally:
        ray.shutdown()


def reproduce(params: Params, chosen: Sequence[Run], address: str | None, slots: int | None) -> None:
    """The whole graph where all runs are chosen, else what these need and they themselves.

    Raises: UserError that names the runs that failed; all else that could be done is done.
    """
    with Repo(_wait_for_lock=True) as repo:  # someone may look at `dvc status` meanwhile
        repo.reproduce("preprocess")
        ledger = Ledger(repo)
        try:
            failures = run_outdated(ledger, chosen, address, slots)
        finally:
            ledger.close()
        if failures:
            reasons = "; ".join(f"{name} ({reason})" for name, reason in failures.items())
            raise UserError(f"{len(failures)} of {len(chosen)} runs failed, all others are kept: {reasons}")
        if len(chosen) == len(runs(params)):
            repo.reproduce()


def run_outdated(ledger: Ledger, declared: Sequence[Run], address: str | None, slots: int | None) -> dict[str, str]:
    """Runs what is out of date. Returns: the reasons of the runs that failed, by name."""
    jobs = [job for run in declared if (job := ledger.next_job(run))]
    print(f"{len(declared) - len(jobs)} of {len(declared)} runs are up to date", flush=True)
    if not jobs:
        return {}
    with cluster(address, slots):
        return Driver(ledger, jobs, slots).run()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, help="how many runs at once (default: one a core)")
    parser.add_argument("--address", help="a Ray cluster, such as auto or 10.0.0.1:6379 (default: one for this call)")
    parser.add_argument("--runs", nargs="+", metavar="RUN", help="only these runs (default: all, and the reports)")
    arguments = parser.parse_args()
    if arguments.jobs is not None and arguments.jobs < 1:
        raise UserError(f"--jobs: expected at least 1, received {arguments.jobs}")
    if arguments.address:
        check_address(arguments.address)
    params = load_params()
    chosen = [find_run(params, name) for name in dict.fromkeys(arguments.runs)] if arguments.runs else runs(params)
    # The stages' commands start with `python`: let that be this one.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    logging.getLogger("dvc").setLevel(logging.WARNING)
    logging.getLogger("dvc.stage.run").setLevel(logging.INFO)  # says which stage is run
    with alone():
        write_text(RUNS, matrix(params))
        try:
            reproduce(params, chosen, arguments.address, arguments.jobs)
        except DvcException as error:
            raise UserError(str(error)) from error
        if subprocess.run([sys.executable, "-m", "pipeline.track"], check=False).returncode:
            raise UserError("the runs could not be brought into MLflow (see above); `make track` tries again")


if __name__ == "__main__":
    sys.exit(exit_status(main))
