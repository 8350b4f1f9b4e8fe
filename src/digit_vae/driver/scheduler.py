"""The driver of `make repro`: the work of `dvc repro`, with the runs of the matrix side by side.

    python -m digit_vae.driver.scheduler                  # on all cores of this machine
    python -m digit_vae.driver.scheduler --jobs 1         # one run at a time
    python -m digit_vae.driver.scheduler --address auto   # on the Ray cluster that this machine belongs to
    python -m digit_vae.driver.scheduler --extended       # the runs of extended variants, too: `make extended`
    python -m digit_vae.driver.scheduler --runs l1_l2-3   # this run alone, without what is made of all runs

DVC decides what is out of date and keeps the record; Ray runs the train and evaluate stages, each as one task that is
given arrays and returns the content of its files, which only this process writes. A task calls what the stage's own
command calls, on one core: the bytes are the same either way. One command can follow the other at any time.
"""

import argparse
import fcntl
import functools
import logging
import os
import platform
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import numpy as np
import ray
from dvc.exceptions import DvcException
from dvc.repo import Repo
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

import digit_vae
import pipeline
from digit_vae.training.checkpoint import CHECKPOINTS
from digit_vae.base.provenance import git_commit
from digit_vae.base.errors import UserError, exit_status
from digit_vae.base.files import read_bytes_if_any, read_listed_npy, remove, write_bytes, write_text
from digit_vae.tracking.mirror import Mirror
from digit_vae.base.orphans import die_with_parent
from digit_vae.config.params import FULL, Params, Run, find_run, load_params, run_params, runs
from digit_vae.base.progress import epoch_line, show
from digit_vae.driver.ledger import EXTENDED_GRAPH, GRAPH, Job, Ledger, params_parsed_once
from pipeline.plan import RUNS, matrix
from pipeline.settled import Settled, files, read_settled, sources, store, write_settled

PROCESSED = Path("data/processed")
CLASSIFIER = Path("models/classifier/model.weights.h5")
RETRIES = 3  # of a task whose worker or machine died
RUNS_A_WORKER = 12  # TensorFlow keeps a graph of each run's optimizer, some 10 MB
POLL_SECONDS = 0.5
EVALUATED_ON = ("train_images", "train_labels", "test_images", "test_labels")
VERSIONED = ("tensorflow", "keras", "numpy", "h5py")  # what the bytes of a run depend on


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
    commit: str | None,
) -> dict[Path, bytes]:
    from pipeline.train import train  # imports TensorFlow, which the driver can do without

    saved = ray.get(events.checkpoint.remote(run.name)) or saved  # a worker before this one may have died
    files = train(params, run, images, validation, data, lambda event: ray.get(events.put.remote(event)), saved, commit)
    return {run.folder / name: content for name, content in files.items()}


def evaluate_task(params: Params, run: Run, trained: dict[Path, bytes], **arrays: np.ndarray) -> dict[Path, bytes]:
    from pipeline.evaluate import Data, evaluate  # imports TensorFlow, which the driver can do without

    with tempfile.TemporaryDirectory() as name:
        for path, content in trained.items():
            write_bytes(Path(name) / path, content)
        return evaluate(params, run, Path(name), Data(**arrays))


@dataclass
class Progress:
    """How far all runs are: by run the epochs that its training has reached, and which runs need nothing more."""

    epochs: int
    slots: Callable[[], int]
    reached: dict[str, int]
    finished: set[str] = field(default_factory=set)
    epoch_seconds: list[float] = field(default_factory=list)
    evaluation_seconds: list[float] = field(default_factory=list)

    def trained(self, event: dict) -> None:
        """Shows one finished epoch."""
        history, timing = event["history"], event["timing"]
        self.reached[event["run"]] = history["epoch"]
        self.epoch_seconds.append(timing["train_seconds"] + timing["validation_seconds"])
        self._show(epoch_line(event["run"], history, timing, self.epochs))

    def evaluated(self, run: str, seconds: float) -> None:
        """Shows a run whose evaluation, the last that it needs, took `seconds`."""
        self.finished.add(run)
        self.evaluation_seconds.append(seconds)
        self._show(f"{run:<16} evaluated  {seconds:.1f} s")

    def _show(self, line: str) -> None:
        """With the share of the work that is done, and the time left; what an evaluation takes, the first one tells."""
        unfinished = len(self.reached.keys() - self.finished)
        epochs = sum(self.epochs - reached for reached in self.reached.values())
        left = epochs * _mean(self.epoch_seconds) + unfinished * _mean(self.evaluation_seconds)
        spent = sum(self.epoch_seconds) + sum(self.evaluation_seconds)
        line = f"{len(self.reached) - unfinished}/{len(self.reached)} runs  {line}"
        show(line, done=spent / (spent + left), left_seconds=left / min(self.slots(), max(unfinished, 1)))


def _mean(values: Sequence[float]) -> float:
    return statistics.mean(values) if values else 0.0


class Driver:
    """Runs jobs on Ray until none is left; a run that fails is named, and the others go on."""

    def __init__(self, ledger: Ledger, jobs: list[Job], slots: int | None, *, shared: bool) -> None:
        self._ledger, self._slots, self._shared = ledger, slots, shared
        # The long runs first: what ends last, and may share a core, is short.
        self._waiting = deque(sorted(jobs, key=lambda job: job.run.split != FULL))
        self._running: dict[ray.ObjectRef, Job] = {}
        self._failures: dict[str, str] = {}
        self._commit = git_commit()
        epochs = jobs[0].params.train.epochs
        reached = {job.run.name: 0 if job.trains else epochs for job in jobs}
        self._progress, self._started = Progress(epochs, self._capacity, reached), {}
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
        self._events = Events.options(scheduling_strategy=here).remote()  # not on a machine that may be lost
        # Made once: Ray counts the calls by what `remote` returned.
        self._train_task = on_an_equal_machine(train_task)
        self._train = ray.remote(max_calls=RUNS_A_WORKER)(self._train_task)
        self._evaluate = ray.remote(on_an_equal_machine(evaluate_task))
        files = {f"{name}.npy" for name in EVALUATED_ON} | {job.run.validation_file for job in jobs}
        listed = {name: read_listed_npy(PROCESSED, name, made_by="preprocess") for name in files}
        self._arrays = {name: ray.put(np.asarray(array)) for name, (array, _) in listed.items()}
        self._hashes = {name: digest for name, (_, digest) in listed.items()}

    def run(self) -> dict[str, str]:
        """Returns: the reasons of the runs that failed, by name. Ctrl-C keeps what is finished."""
        with Mirror() as mirror:
            try:
                while self._waiting or self._running:
                    while self._waiting and len(self._running) < self._places():
                        self._start(self._waiting.popleft())
                    self._collect(mirror, POLL_SECONDS)
            except KeyboardInterrupt:
                self._collect(mirror, 0)
                raise
        return self._failures

    def _capacity(self) -> int:
        """How many tasks may run at once: as many as asked for, or one a core of the cluster as it is now."""
        return self._slots or max(1, int(ray.cluster_resources().get("CPU", 1)))

    def _places(self) -> int:
        """The capacity, but for the last tasks: where they are too few for all cores, they share these from the start.

        Five equal runs on two cores so take the time of two and a half runs instead of three.
        """
        capacity = self._capacity()
        return capacity + len(self._waiting) if self._shared and len(self._waiting) < capacity else capacity

    def _start(self, job: Job) -> None:
        try:
            self._ledger.hold(job)
            self._running[self._submit(job)] = job
            self._started[job.run.name] = time.monotonic()
        except (DvcException, OSError, UserError) as error:
            self._fail(job, error)

    def _fail(self, job: Job, error: Exception) -> None:
        self._ledger.release(job)
        self._failures[job.run.name] = reason(error)
        self._progress.reached.pop(job.run.name, None)
        print(f"\n{job.stage.name} failed: {self._failures[job.run.name]}", file=sys.stderr, flush=True)

    def _submit(self, job: Job) -> ray.ObjectRef:
        validation, named = job.run.validation_file, {}
        if job.trains:
            gpus = gpus_of(job)
            # A process binds itself to one device: a GPU run gets a fresh one.
            task = ray.remote(num_gpus=gpus, max_calls=1)(self._train_task) if gpus else self._train
            data = {"train_images": self._hashes["train_images.npy"], "validation": self._hashes[validation]}
            checkpoint = CHECKPOINTS / job.run.name
            saved = read_bytes_if_any(checkpoint)
            arrays = [self._arrays["train_images.npy"], self._arrays[validation]]
            rest = [*arrays, data, self._events, saved, self._commit]
        else:
            task = self._evaluate
            files = (job.run.folder / "model.weights.h5", job.run.folder / "history.json", CLASSIFIER)
            rest = [{path: path.read_bytes() for path in files}]
            named = {name: self._arrays[f"{name}.npy"] for name in EVALUATED_ON}
            named["validation"] = self._arrays[validation]
        cores = 1 if len(self._running) < self._capacity() else 0  # which is free for Ray to place
        task = task.options(name=job.stage.name, max_retries=RETRIES, num_cpus=cores)
        return task.remote(job.params, job.run, *rest, **named)

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
            self._progress.trained(event)
        if event["note"]:
            print(f"\n{event['run']}: {event['note']}", flush=True)

    def _finish(self, job: Job, reference: ray.ObjectRef, mirror: Mirror) -> None:
        """Keeps what a task returned; a training is followed by its evaluation, where that is out of date."""
        try:
            self._ledger.record(job, ray.get(reference))
            self._ledger.release(job)
            following = self._ledger.next_job(job.run, kinds=["evaluate"]) if job.trains else None
            remove(CHECKPOINTS / job.run.name)  # that of a plain `dvc repro train@...`, too
        except (DvcException, OSError, RayError, UserError) as error:
            self._fail(job, error)
            return
        if job.trains:
            self._events.forget.remote(job.run.name)
            mirror.send({"event": "end", "run": job.run.name})
        if following:
            self._waiting.appendleft(following)
        elif job.trains:
            self._progress.finished.add(job.run.name)
        else:
            self._progress.evaluated(job.run.name, time.monotonic() - self._started[job.run.name])


def gpus_of(job: Job) -> float:
    """The share of GPUs that a training is given; none where the cluster has none, which the training then reports.

    Raises: UserError when no machine has as many: Ray would wait for one forever.
    """
    if run_params(job.params, job.run).device != "gpu":
        return 0
    wanted = job.params.repro.gpus_per_run
    most = max(node["Resources"].get("GPU", 0) for node in ray.nodes() if node["Alive"])
    if 0 < most < wanted:
        raise UserError(f"repro.gpus_per_run: expected at most {most:g}, which a machine has, received {wanted:g}")
    return wanted if most else 0


def reason(error: Exception) -> str:
    """Why a run failed: on its merits, at once, or because what ran it died, and that after all retries."""
    error = error.cause if isinstance(error, RayTaskError) else error
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, RayError):
        return f"its process or machine died, and so in {RETRIES} retries: {str(error).splitlines()[0]}"
    return f"{type(error).__name__}: {error}"


@contextmanager
def alone() -> Iterator[None]:
    """Holds the checkout's lock. Raises: UserError when another driver holds it."""
    path = Path(".dvc/tmp/repro.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.open("w")
    except OSError as error:
        raise UserError(f"{path} could not be written: {error.strerror}") from error
    with lock:
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
    if address:  # its machines need not have this code, nor the same state of it
        options = {"runtime_env": {"py_modules": [digit_vae, pipeline], "excludes": ["__pycache__"]}}
    else:
        options = {"num_cpus": slots, "include_dashboard": False, "object_store_memory": 256 * 2**20}
    try:
        ray.init(address=address or "local", log_to_driver=False, logging_level="ERROR", **options)
    except (ConnectionError, RuntimeError) as error:  # RuntimeError: another version of Python or Ray
        text = " ".join(str(error).split())
        raise UserError(f"--address: expected a Ray cluster that answers, received {address!r}: {text}") from error
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C, instead of Ray's dump: CI stops things so
    try:
        if address:
            check_versions(versions(), versions_of_nodes())
        yield
    finally:
        ray.shutdown()


def versions() -> dict[str, str]:
    """The versions, here, of all that the bytes of a run depend on."""
    return {"python": platform.python_version()} | {package: version(package) for package in VERSIONED}


def versions_of_nodes() -> dict[str, dict[str, str]]:
    """`versions` of each machine of the cluster, by its address."""
    nodes = {node["NodeManagerAddress"]: node["NodeID"] for node in ray.nodes() if node["Alive"]}
    task = ray.remote(num_cpus=0)(versions)
    strategies = (NodeAffinitySchedulingStrategy(node, soft=False) for node in nodes.values())
    answers = [task.options(scheduling_strategy=strategy).remote() for strategy in strategies]
    try:
        return dict(zip(nodes, ray.get(answers), strict=True))
    except RayError as error:  # such as a package that is not installed there
        raise UserError(f"--address: expected machines set up as this one, received {reason(error)}") from error


def check_versions(here: dict[str, str], nodes: dict[str, dict[str, str]]) -> None:
    """Raises: UserError that names each machine whose versions are others than `here`."""
    differing = {
        address: [f"{name} {there[name]}" for name in here if there[name] != here[name]]
        for address, there in nodes.items()
    }
    if wrong := [f"{address} ({', '.join(names)})" for address, names in differing.items() if names]:
        expected = ", ".join(f"{name} {each}" for name, each in here.items())
        raise UserError(f"--address: expected machines with {expected}; received {'; '.join(wrong)}")


def on_an_equal_machine(task: Callable) -> Callable:
    """`task`, but for a UserError on a machine with other versions than this one: machines may join at any time."""
    expected = versions()

    @functools.wraps(task)
    def checked(*arguments: object, **named: object) -> object:
        check_versions(expected, {ray.util.get_node_ip_address(): versions()})
        return task(*arguments, **named)

    return checked


def is_to_outlive_its_parent() -> bool:
    """Whether the user said so: with setsid, or with nohup for this very process (not for `make`, say, around it)."""

    def ignores_hangup(pid: int) -> bool:
        [mask] = re.findall(r"^SigIgn:\s*(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
        return bool(int(mask, 16) & 1 << signal.SIGHUP - 1)

    if sys.platform != "linux":
        return True
    return os.getsid(0) == os.getpid() or (ignores_hangup(os.getpid()) and not ignores_hangup(os.getppid()))


def reproduce(
    graphs: Sequence[str], chosen: Sequence[Run], address: str | None, slots: int | None, *, whole: bool
) -> None:
    """The chosen runs and what they need; then, where `whole`, the rest of their graphs.

    Raises: UserError that names the runs that failed; all else that could be done is done.
    """
    with Repo(_wait_for_lock=True) as repo, params_parsed_once():  # someone may look at `dvc status` meanwhile
        if Ledger(repo, graphs).is_settled():
            print(f"{len(chosen)} of {len(chosen)} runs are up to date", flush=True)
            return
        repo.reproduce("classifier")  # and preprocess before it
        ledger = Ledger(repo, graphs)
        try:
            failures = run_outdated(ledger, chosen, address, slots)
        finally:
            ledger.close()
        if failures:
            reasons = "; ".join(f"{name} ({reason})" for name, reason in failures.items())
            raise UserError(f"{len(failures)} of {len(chosen)} runs failed, all others are kept: {reasons}")
        for graph in graphs if whole else ():
            repo.reproduce(graph)


def settle(chosen: Sequence[Run], address: str | None, slots: int | None, *, whole: bool) -> None:
    """Brings graphs and MLflow up to date, and remembers that they are: then the next call has nothing to look for."""
    # The report comes last.
    graphs = [EXTENDED_GRAPH, GRAPH] if any(run.extended for run in chosen) else [GRAPH]
    settled, sources_before = read_settled(), sources()
    if whole and {*graphs} <= {*settled.graphs} and settled.files == files():
        print(f"{len(chosen)} of {len(chosen)} runs are up to date", flush=True)
        if settled.store is not None and settled.store == store():
            return
    else:
        try:
            reproduce(graphs, chosen, address, slots, whole=whole)
        except DvcException as error:
            raise UserError(str(error)) from error
        settled = Settled(graphs, files(), None)
    if subprocess.run([sys.executable, "-m", "digit_vae.tracking.track"], check=False).returncode:
        raise UserError("the runs could not be brought into MLflow (see above); `make track` tries again")
    if whole and sources_before == sources():  # else an edit may have come too late for this call
        write_settled(settled._replace(store=store()))


def run_outdated(ledger: Ledger, declared: Sequence[Run], address: str | None, slots: int | None) -> dict[str, str]:
    """Runs what is out of date. Returns: the reasons of the runs that failed, by name."""
    jobs = [job for run in declared if (job := ledger.next_job(run))]
    print(f"{len(declared) - len(jobs)} of {len(declared)} runs are up to date", flush=True)
    if not jobs:
        return {}
    with cluster(address, slots):
        return Driver(ledger, jobs, slots, shared=not (address or slots)).run()


def main() -> None:
    if not is_to_outlive_its_parent():
        die_with_parent()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, help="how many runs at once (default: one a core)")
    parser.add_argument("--address", help="a Ray cluster, such as auto or 10.0.0.1:6379 (default: one for this call)")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--extended", action="store_true", help="all runs, those of extended variants too")
    which.add_argument("--runs", nargs="+", metavar="RUN", help="only these runs (default: all that are not extended)")
    arguments = parser.parse_args()
    if arguments.jobs is not None and arguments.jobs < 1:
        raise UserError(f"--jobs: expected at least 1, received {arguments.jobs}")
    if arguments.address:
        check_address(arguments.address)
    params = load_params()
    if arguments.runs:
        chosen = [find_run(params, name) for name in dict.fromkeys(arguments.runs)]
    else:
        chosen = runs(params, extended=None if arguments.extended else False)
    # The stages' commands start with `python`: let that be this one.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    logging.getLogger("dvc").setLevel(logging.WARNING)
    logging.getLogger("dvc.stage.run").setLevel(logging.INFO)  # says which stage is run
    with alone():
        if not RUNS.is_file() or RUNS.read_text() != matrix(params):
            write_text(RUNS, matrix(params))
        settle(chosen, arguments.address, arguments.jobs, whole=not arguments.runs)


if __name__ == "__main__":
    sys.exit(exit_status(main))
