"""Runs the stages of runs side by side. Only this process writes files."""

import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence

import numpy as np
from ray.exceptions import RayError

from digit_vae.base.errors import UserError
from digit_vae.base.progress import Elapsed, epoch_line, say
from digit_vae.config.runs import run_params
from digit_vae.config.schema import FULL, Params
from digit_vae.data.arrays import Arrays, read_arrays
from digit_vae.driver.cluster import reason
from digit_vae.driver.ledger import Job, Ledger
from digit_vae.driver.pool import POLL_SECONDS, Event, Pool, Reference
from digit_vae.tracking.mirror import Mirror

EVALUATION = 2  # epochs of the paper's training, which take about as long as an evaluation (docs/speed.md)


class Progress:
    """How far all runs are, and the time left: what was done in a minute so far is done in each.

    left: the epochs that are left of each run, an evaluation counted as EVALUATION of them.
    """

    def __init__(self, left: Mapping[str, int]) -> None:
        self._runs, self._left, self._work, self._elapsed = len(left), dict(left), sum(left.values()), Elapsed()

    def trained(self, event: Event, epochs: int, after: int = 0) -> None:
        """Shows one finished epoch. after: what the run has left after its last epoch."""
        run, left = event["run"], epochs - event["history"]["epoch"] + after
        if run not in self._left:  # a machine that was taken for dead still speaks
            return
        # Epochs of an earlier call took none of this one's time; those that a dead worker lost take it twice.
        self._work -= self._left[run] - left - 1
        self._left[run] = left
        self._show(epoch_line(run, event["history"], event["timing"], epochs))

    def ended(self, run: str, line: str) -> None:
        """Shows a run that is finished."""
        self._left.pop(run, None)
        self._show(line)

    def drop(self, run: str) -> None:
        """Whatever the run has left is not to be done."""
        self._work -= self._left.pop(run, 0)

    def _show(self, line: str) -> None:
        line = f"{self._runs - len(self._left)}/{self._runs} runs  {line}"
        left = sum(self._left.values())
        if 0 < left == self._work:  # nothing is done yet: no time left is known
            say(line)
        else:
            self._elapsed.show(1 - left / max(self._work, 1), line)


class Scheduler:
    """Runs jobs on Ray until none is left; a run that fails is named, and the others go on.

    slots: how many at once (None: one a core of the cluster as it is now).
    """

    def __init__(self, ledger: Ledger, jobs: Sequence[Job], params: Params, slots: int | None) -> None:
        self._ledger, self._params = ledger, params
        # The long runs first: what ends last is short.
        self._waiting = deque(sorted(jobs, key=lambda job: job.run.split != FULL))
        self._running: dict[str, Job] = {}
        self._failures: dict[str, str] = {}
        self._started: dict[str, float] = {}
        self._epochs = {job.run.name: run_params(params, job.run).epochs for job in jobs}
        left = {job.run.name: EVALUATION + job.trains * self._epochs[job.run.name] for job in jobs}
        self._progress = Progress(left)
        self._pool = Pool(slots, Arrays(*map(np.asarray, read_arrays())))

    def run(self) -> dict[str, str]:
        """Returns: why runs failed, by name. Ctrl-C keeps what is finished."""
        with Mirror() as mirror:
            try:
                while self._waiting or self._pool.running:
                    while self._waiting and self._pool.has_room:
                        self._start(self._waiting.popleft())
                    self._collect(mirror, POLL_SECONDS)
            except KeyboardInterrupt:
                self._collect(mirror, 0)
                raise
        return self._failures

    def _start(self, job: Job) -> None:
        name = job.run.name
        self._running[name], self._started[name] = job, time.monotonic()
        try:
            self._ledger.begin(job)
            (self._pool.train if job.trains else self._pool.evaluate)(self._params, job.run, job.stage.name)
        except (OSError, UserError) as error:
            self._fail(job, error)

    def _fail(self, job: Job, error: Exception) -> None:
        self._ledger.end(job)
        self._failures[job.run.name] = reason(error)
        self._progress.drop(job.run.name)
        print(f"\n{job.stage.name} failed: {self._failures[job.run.name]}", file=sys.stderr, flush=True)

    def _collect(self, mirror: Mirror, timeout: float) -> None:
        """Collects what the workers reported and returned, and waits at most `timeout` seconds for a result."""
        events, ended = self._pool.poll(timeout)
        for event in events:
            self._take(event, mirror)
        for run, reference in ended:
            self._finish(self._running[run.name], reference, mirror)

    def _take(self, event: Event, mirror: Mirror) -> None:
        mirror.send(event)
        if event["event"] == "epoch":
            self._progress.trained(event, self._epochs[event["run"]], EVALUATION)
        if event["note"]:
            print(f"\n{event['run']}: {event['note']}", flush=True)

    def _finish(self, job: Job, reference: Reference, mirror: Mirror) -> None:
        """Records what a task returned; after a training it starts the evaluation, if that is out of date."""
        name = job.run.name
        try:
            self._ledger.record(job, self._pool.result(reference))
            self._ledger.end(job)
            following = self._ledger.following(job) if job.trains else None
            self._pool.forget(job.run)
        except (OSError, RayError, UserError) as error:
            self._fail(job, error)
            return
        if job.trains:
            mirror.send({"event": "end", "run": name})
        if following:
            self._waiting.appendleft(following)
        elif job.trains:
            self._progress.drop(name)
        else:
            seconds = time.monotonic() - self._started[name]
            self._progress.ended(name, f"{name:<20} evaluated  {seconds:.1f} s")
