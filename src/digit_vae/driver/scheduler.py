"""Runs the stages of runs side by side on Ray, each as a task that is given arrays and returns its files' content.

Only this process writes files. A task calls what the stage's own command calls, on one core: the bytes are the same
either way, and one command can follow the other at any time.
"""

import sys
import tempfile
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from digit_vae.base.errors import UserError
from digit_vae.base.files import read_bytes_if_any, remove, write_bytes
from digit_vae.base.paths import CLASSIFIER_WEIGHTS, RunFiles
from digit_vae.base.progress import Elapsed, epoch_line
from digit_vae.base.provenance import git_commit
from digit_vae.config.runs import Run, run_params
from digit_vae.config.schema import FULL, Params
from digit_vae.data.arrays import Arrays, data_hashes, read_arrays, read_held_out
from digit_vae.driver.cluster import RETRIES, on_an_equal_machine, reason
from digit_vae.driver.ledger import Job, Ledger
from digit_vae.tracking.mirror import Mirror

RUNS_A_WORKER = 12  # TensorFlow keeps a graph of each run's optimizer, some 10 MB
POLL_SECONDS = 0.5
EVALUATION = 2  # epochs of the paper's training, which take about as long as an evaluation (docs/speed.md)
Event = dict[str, Any]
Reference = Any  # Ray's, to a result that may not be there yet


class Events:
    """Where workers leave their events for the driver, and checkpoints for the worker that follows a dead one."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._checkpoints: dict[str, bytes] = {}

    def put(self, event: Event) -> None:
        self._events.append(event)
        if event["event"] == "checkpoint":
            self._checkpoints[event["run"]] = event["content"]

    def checkpoint(self, run: str) -> bytes | None:
        return self._checkpoints.get(run)

    def forget(self, run: str) -> None:
        self._checkpoints.pop(run, None)

    def take(self) -> list[Event]:
        taken, self._events = self._events, []
        return taken


def events_here() -> Any:  # noqa: ANN401 - Ray's handle of an actor
    """A new `Events`, not on a machine that may be lost."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    actor = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1, scheduling_strategy=here)(Events)
    return actor.remote()


def capacity(slots: int | None) -> int:
    """How many runs at once: `slots`, or else one a core of the cluster as it is now."""
    return slots or max(1, int(ray.cluster_resources().get("CPU", 1)))


def train_task(
    params: Params,
    run: Run,
    arrays: Arrays,
    held_out: np.ndarray,
    commit: str | None,
    data: dict[str, str],
    saved: bytes | None,
    events: Any,  # noqa: ANN401 - Ray's handle of Events
) -> dict[Path, bytes]:
    from digit_vae.training.division import Images
    from digit_vae.training.run import train_run  # imports TensorFlow, which the driver can do without

    def report(event: Event) -> None:
        ray.get(events.put.remote(event))

    saved = ray.get(events.checkpoint.remote(run.name)) or saved  # a worker before this one may have died
    images = Images(arrays.train_images, held_out, arrays.test_images)
    return train_run(params, run, images, data=data, report=report, saved=saved, commit=commit)


class Training:
    """`train_task` for Ray. Made once: Ray counts the calls of a worker by what `remote` returned."""

    def __init__(self) -> None:
        self._task = on_an_equal_machine(train_task)
        self._on_cpu = ray.remote(max_calls=RUNS_A_WORKER)(self._task)

    def on(self, gpus: float) -> Any:  # noqa: ANN401 - Ray's remote function
        """For a run with such a share of a GPU. A process binds itself to one device: a GPU run gets a fresh one."""
        return ray.remote(num_gpus=gpus, max_calls=1)(self._task) if gpus else self._on_cpu


def evaluate_task(
    params: Params, run: Run, arrays: Arrays, held_out: np.ndarray, commit: str | None, trained: dict[Path, bytes]
) -> dict[Path, bytes]:
    from digit_vae.evaluation.run import evaluate_run  # imports TensorFlow, which the driver can do without

    with tempfile.TemporaryDirectory() as root:
        for path, content in trained.items():
            write_bytes(Path(root) / path, content)
        return evaluate_run(params, run, Path(root), arrays, held_out, commit)


class Progress:
    """How far all runs are, and the time left: what was done in a minute so far is done in each.

    left: the epochs that are left of each run, an evaluation counted as EVALUATION of them.
    """

    def __init__(self, left: Mapping[str, int]) -> None:
        self._runs, self._left, self._work, self._elapsed = len(left), dict(left), sum(left.values()), Elapsed()

    def trained(self, event: Event, epochs: int, after: int = 0) -> None:
        """Shows one finished epoch. after: what the run has left after its last epoch."""
        run, left = event["run"], epochs - event["history"]["epoch"] + after
        # Epochs of an earlier call took none of this one's time; those that a dead worker lost take it twice.
        self._work -= self._left[run] - left - 1
        self._left[run] = left
        self._show(epoch_line(run, event["history"], event["timing"], epochs))

    def ended(self, run: str, line: str) -> None:
        """Shows a run that is finished."""
        self._left.pop(run)
        self._show(line)

    def drop(self, run: str) -> None:
        """Whatever the run has left is not to be done."""
        self._work -= self._left.pop(run, 0)

    def _show(self, line: str) -> None:
        line = f"{self._runs - len(self._left)}/{self._runs} runs  {line}"
        self._elapsed.show(1 - sum(self._left.values()) / self._work, line)


class Scheduler:
    """Runs jobs on Ray until none is left; a run that fails is named, and the others go on.

    slots: how many at once (None: one a core of the cluster as it is now).
    """

    def __init__(self, ledger: Ledger, jobs: Sequence[Job], params: Params, slots: int | None) -> None:
        self._ledger, self._params, self._slots, self._commit = ledger, params, slots, git_commit()
        # The long runs first: what ends last is short.
        self._waiting = deque(sorted(jobs, key=lambda job: job.run.split != FULL))
        self._running: dict[Reference, Job] = {}
        self._failures: dict[str, str] = {}
        self._started: dict[str, float] = {}
        left = {job.run.name: EVALUATION + (self._epochs(job.run) if job.trains else 0) for job in jobs}
        self._progress = Progress(left)
        self._events = events_here()
        self._train = Training()
        self._evaluate = ray.remote(on_an_equal_machine(evaluate_task))
        self._arrays = ray.put(Arrays(*map(np.asarray, read_arrays())))

    def run(self) -> dict[str, str]:
        """Returns: why runs failed, by name. Ctrl-C keeps what is finished."""
        with Mirror() as mirror:
            try:
                while self._waiting or self._running:
                    while self._waiting and len(self._running) < self._capacity():
                        self._start(self._waiting.popleft())
                    self._collect(mirror, POLL_SECONDS)
            except KeyboardInterrupt:
                self._collect(mirror, 0)
                raise
        return self._failures

    def _epochs(self, run: Run) -> int:
        return run_params(self._params, run).epochs

    def _capacity(self) -> int:
        return capacity(self._slots)

    def _start(self, job: Job) -> None:
        try:
            self._ledger.begin(job)
            self._running[self._submit(job)] = job
            self._started[job.run.name] = time.monotonic()
        except (OSError, UserError) as error:
            self._fail(job, error)

    def _fail(self, job: Job, error: Exception) -> None:
        self._ledger.end(job)
        self._failures[job.run.name] = reason(error)
        self._progress.drop(job.run.name)
        print(f"\n{job.stage.name} failed: {self._failures[job.run.name]}", file=sys.stderr, flush=True)

    def _submit(self, job: Job) -> Reference:
        run, files = job.run, RunFiles(job.run.graph, job.run.name)
        needed: list[object] = [self._params, run, self._arrays, np.asarray(read_held_out(run)[0]), self._commit]
        if job.trains:
            task = self._train.on(gpus_of(self._params, run))
            needed += [data_hashes(run), read_bytes_if_any(files.checkpoint), self._events]
        else:
            task = self._evaluate
            read = (files.encoder, files.decoder, files.history, CLASSIFIER_WEIGHTS)
            needed += [{path: path.read_bytes() for path in read}]
        return task.options(name=job.stage.name, max_retries=RETRIES, num_cpus=1).remote(*needed)

    def _collect(self, mirror: Mirror, timeout: float) -> None:
        """Collects what the workers reported and returned, and waits at most `timeout` seconds for a result."""
        running = list(self._running)
        done = ray.wait(running, num_returns=1 if timeout else len(running), timeout=timeout)[0] if running else []
        for event in ray.get(self._events.take.remote()):
            self._take(event, mirror)
        for reference in done:
            self._finish(self._running.pop(reference), reference, mirror)

    def _take(self, event: Event, mirror: Mirror) -> None:
        [run] = [job.run for job in self._running.values() if job.run.name == event["run"]]
        if event["event"] == "checkpoint":
            write_bytes(RunFiles(run.graph, run.name).checkpoint, event["content"])
            return
        mirror.send(event)
        if event["event"] == "epoch":
            self._progress.trained(event, self._epochs(run), EVALUATION)
        if event["note"]:
            print(f"\n{event['run']}: {event['note']}", flush=True)

    def _finish(self, job: Job, reference: Reference, mirror: Mirror) -> None:
        """Records what a task returned; after a training it starts the evaluation, if that is out of date."""
        name = job.run.name
        try:
            self._ledger.record(job, ray.get(reference))
            self._ledger.end(job)
            following = self._ledger.following(job) if job.trains else None
            remove(RunFiles(job.run.graph, name).checkpoint)  # that of a plain `dvc repro train_...`, too
        except (OSError, RayError, UserError) as error:
            self._fail(job, error)
            return
        if job.trains:
            self._events.forget.remote(name)
            mirror.send({"event": "end", "run": name})
        if following:
            self._waiting.appendleft(following)
        elif job.trains:
            self._progress.drop(name)
        else:
            seconds = time.monotonic() - self._started[name]
            self._progress.ended(name, f"{name:<20} evaluated  {seconds:.1f} s")


def gpus_of(params: Params, run: Run) -> float:
    """The share of a GPU for each training; 0 where the cluster has none, which the training then reports.

    Raises: UserError when no machine has so many GPUs: Ray would wait forever.
    """
    if run_params(params, run).device != "gpu":
        return 0
    wanted = params.repro.gpus_per_run
    most = max(node["Resources"].get("GPU", 0) for node in ray.nodes() if node["Alive"])
    if 0 < most < wanted:
        raise UserError(f"repro.gpus_per_run: expected at most {most:g}, which a machine has; received {wanted:g}")
    return wanted if most else 0
