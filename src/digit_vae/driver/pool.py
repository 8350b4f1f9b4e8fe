"""Trainings and evaluations side by side on Ray, each as a task that is given arrays and returns its files' content.

A task calls what the stage's own command calls, on one core: the bytes are the same either way, and one command can
follow the other at any time. Of the files only checkpoints are written here.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from digit_vae.base.errors import UserError
from digit_vae.base.files import read_bytes_if_any, remove, write_bytes
from digit_vae.base.paths import CLASSIFIER_WEIGHTS
from digit_vae.base.provenance import git_commit
from digit_vae.config.runs import Run, run_params
from digit_vae.config.schema import Params
from digit_vae.data.arrays import Arrays, data_hashes, read_held_out
from digit_vae.driver.cluster import RETRIES, on_an_equal_machine

RUNS_A_WORKER = 12  # TensorFlow keeps a graph of each run's optimizer, some 10 MB
POLL_SECONDS = 0.5
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


def evaluate_task(
    params: Params, run: Run, arrays: Arrays, held_out: np.ndarray, commit: str | None, trained: dict[Path, bytes]
) -> dict[Path, bytes]:
    from digit_vae.evaluation.run import evaluate_run  # imports TensorFlow, which the driver can do without

    with tempfile.TemporaryDirectory() as root:
        for path, content in trained.items():
            write_bytes(Path(root) / path, content)
        return evaluate_run(params, run, Path(root), arrays, held_out, commit)


class Pool:
    """The runs that are under way on Ray, what their workers report, and their checkpoints.

    slots: how many at once (None: one a core of the cluster as it is now). arrays: what runs learn from and are
    evaluated on.
    """

    def __init__(self, slots: int | None, arrays: Arrays) -> None:
        self._slots, self._commit, self._arrays = slots, git_commit(), ray.put(arrays)
        self._running: dict[Reference, Run] = {}
        # Not on a machine that may be lost.
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
        lasting = {"num_cpus": 0, "max_restarts": -1, "max_task_retries": -1, "scheduling_strategy": here}
        self._events = ray.remote(**lasting)(Events).remote()
        self._training = on_an_equal_machine(train_task)
        # Made once: Ray counts the calls of a worker by what `remote` returned.
        self._training_on_cpu = ray.remote(max_calls=RUNS_A_WORKER)(self._training)
        self._evaluation = ray.remote(on_an_equal_machine(evaluate_task))

    @property
    def running(self) -> int:
        return len(self._running)

    @property
    def has_room(self) -> bool:
        return self.running < (self._slots or max(1, int(ray.cluster_resources().get("CPU", 1))))

    def train(self, params: Params, run: Run, name: str) -> None:
        """Starts a training, or goes on after its checkpoint. name: what Ray calls it. Raises: UserError."""
        saved, gpus = read_bytes_if_any(run.files.checkpoint), gpus_of(params, run)
        # A process binds itself to one device: a GPU run gets a fresh one.
        task = ray.remote(num_gpus=gpus, max_calls=1)(self._training) if gpus else self._training_on_cpu
        self._submit(task, name, params, run, data_hashes(run), saved, self._events)

    def evaluate(self, params: Params, run: Run, name: str) -> None:
        """Starts an evaluation of what is trained. Raises: OSError, UserError."""
        files = run.files
        read = (files.encoder, files.decoder, files.history, CLASSIFIER_WEIGHTS)
        self._submit(self._evaluation, name, params, run, {path: path.read_bytes() for path in read})

    def _submit(self, task: Any, name: str, params: Params, run: Run, *needed: object) -> None:  # noqa: ANN401 - Ray's
        held_out = np.asarray(read_held_out(run)[0])
        started = task.options(name=name, max_retries=RETRIES, num_cpus=1)
        self._running[started.remote(params, run, self._arrays, held_out, self._commit, *needed)] = run

    def poll(self, timeout: float) -> tuple[list[Event], list[tuple[Run, Reference]]]:
        """What the workers reported, and the runs that have ended; waits at most `timeout` seconds for one to end.

        Checkpoints are written here and not among the events. A run that has ended is named until its `result` is
        asked for.
        """
        running = list(self._running)
        done = ray.wait(running, num_returns=1 if timeout else len(running), timeout=timeout)[0] if running else []
        events, runs = [], {run.name: run for run in self._running.values()}
        for event in ray.get(self._events.take.remote()):
            if event["event"] != "checkpoint":
                events.append(event)
            elif run := runs.get(event["run"]):  # none: a machine that was taken for dead still speaks
                write_bytes(run.files.checkpoint, event["content"])
        return events, [(self._running[reference], reference) for reference in done]

    def result(self, reference: Reference) -> dict[Path, bytes]:
        """What the task of a run that has ended returned, or raises what it raised; its place is free then."""
        try:
            return dict(ray.get(reference))
        finally:
            self._running.pop(reference)

    def forget(self, run: Run) -> None:
        """Deletes the checkpoints of a run whose result is recorded. Raises: UserError."""
        self._events.forget.remote(run.name)
        remove(run.files.checkpoint)  # that of a plain `dvc repro train_...`, too


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
