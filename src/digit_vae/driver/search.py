"""The search of a better recipe: round by round, the trials of each side by side on Ray.

A trial is trained as a run is, by the same task. No study declares it, and all that it leaves is a line in
reports/beyond/search.json. A search that was killed goes on after its last recorded trial, and a trial after its last
epoch.
"""

import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from ray.exceptions import RayError

from digit_vae.base.cores import usable_cores
from digit_vae.base.errors import UserError
from digit_vae.base.progress import say
from digit_vae.config.runs import Run
from digit_vae.config.schema import Params
from digit_vae.data.arrays import Arrays, data_hashes, read_listed
from digit_vae.driver.cluster import cluster, reason
from digit_vae.driver.pool import POLL_SECONDS, Event, Pool, Reference
from digit_vae.driver.reproduce import alone
from digit_vae.driver.scheduler import Progress
from digit_vae.search.inputs import check_inputs, inputs_of
from digit_vae.search.proposals import Plan, check_recorded, due, plan_of
from digit_vae.search.record import (
    Search,
    Trial,
    best,
    loss_of,
    made_of,
    read_search,
    result_of,
    trial_run,
    write_search,
)
from digit_vae.search.space import Options, check_search
from digit_vae.tracking.mirror import Mirror

DIVERGED = "training diverged"  # how the error of a training begins that has no result because of its options
Train = Callable[[Mapping[int, Options]], Iterator[Trial]]


def search(
    params: Params,
    *,
    jobs: int | None = None,
    address: str | None = None,
    more: int | None = None,
    anew: bool = False,
) -> Search:
    """Makes the trials of params' search that are not recorded, and returns the record.

    jobs: how many at once (None: one a core). address: the Ray cluster to use. more: at most so many (None: all).
    anew: without those that are recorded. Raises: UserError, also where a trial fails for another reason than its
    options; what is recorded stays.
    """
    check_search(params)
    with alone():
        found, plan = opened(params, anew=anew), plan_of(params)
        left = params.search.trials - len(found.trials)
        print(f"{len(found.trials)} of {params.search.trials} trials are recorded", flush=True)
        if not due(plan, found.trials) or more == 0:
            return found
        with cluster(address, jobs or usable_cores()), Mirror() as mirror:
            train = Trials(params, jobs, found, min(left, left if more is None else more))

            def save(made: Search, trial: Trial) -> None:
                write_search(made)
                mirror.send({"event": "trial", "run": _run(params, trial.number).name})

            return carried_on(plan, found, train, save, more)


def opened(params: Params, *, anew: bool) -> Search:
    """The record to go on with. Raises: UserError when it is of other inputs, or not what the sampler proposes."""
    inputs = inputs_of(params, data_hashes(_run(params, 0)))
    found = Search(inputs=inputs, trials=[]) if anew else read_search()
    if not found.trials:
        return Search(inputs=inputs, trials=[])
    check_inputs(found, inputs)
    check_recorded(plan_of(params), found.trials)
    return found


def carried_on(
    plan: Plan, found: Search, train: Train, save: Callable[[Search, Trial], None], more: int | None = None
) -> Search:
    """Trains what is due, round after round; saves after each trial. train: gives trials in the order of their ends."""
    end = None if more is None else len(found.trials) + more
    while wanted := due(plan, found.trials):
        chosen = dict(list(wanted.items())[: None if end is None else end - len(found.trials)])
        if not chosen:
            break
        for trial in train(chosen):
            found = found.with_trial(trial)
            save(found, trial)
    return found


def trial_params(params: Params, run: Run, options: Options) -> Params:
    """Params in which the trial's variant has its options. Bad health does not end a trial: it is a result."""
    health = replace(params.health, fail_dead_share=None, fail_collapsed=None)
    variant = {**options, "device": params.search.device}
    return replace(params, variants={**params.variants, run.variant: variant}, health=health)


def _run(params: Params, number: int) -> Run:
    return trial_run(number, params.search.fold, params.search.seed)


class Underway(NamedTuple):
    """A trial that is being trained."""

    number: int
    options: Options
    run: Run


class Trials:
    """Trains trials on Ray, side by side. found: the record so far; wanted: how many there will be in this call."""

    def __init__(self, params: Params, slots: int | None, found: Search, wanted: int) -> None:
        self._params = params
        self._best = best(found.trials)
        self._timings: dict[str, dict[str, Any]] = {}
        self._pool = Pool(slots, training_images())
        recorded = {trial.number for trial in found.trials}
        numbers = [number for number in range(params.search.trials) if number not in recorded][:wanted]
        self._progress = Progress({_run(params, number).name: params.train.epochs for number in numbers})

    def __call__(self, options: Mapping[int, Options]) -> Iterator[Trial]:
        """Trains them, and gives each as soon as it has ended. Raises: UserError for what is not due to its options."""
        all_of_them = [Underway(number, its, _run(self._params, number)) for number, its in options.items()]
        waiting, underway = deque(all_of_them), {its.run.name: its for its in all_of_them}
        while waiting or self._pool.running:
            while waiting and self._pool.has_room:
                its = waiting.popleft()
                self._pool.train(trial_params(self._params, its.run, its.options), its.run, its.run.name)
            try:
                events, ended = self._pool.poll(POLL_SECONDS)
            except KeyboardInterrupt:
                self._pool.poll(0)  # keeps the last epochs
                raise
            for event in events:
                self._take(event)
            for run, reference in ended:
                yield self._ended(underway[run.name], reference)
                self._pool.forget(run)  # now that it is recorded

    def _take(self, event: Event) -> None:
        match event["event"]:
            case "start":
                self._timings[event["run"]] = event["timings"]
            case "epoch":
                self._progress.trained(event, self._params.train.epochs)
        if event["note"]:
            say(f"{event['run']}: {event['note']}")

    def _ended(self, its: Underway, reference: Reference) -> Trial:
        """The trial of what a task returned or raised."""
        name, result, failed, finished_at = its.run.name, None, None, time.time()
        try:
            files = its.run.files
            content = self._pool.result(reference)
            result, timings = result_of(json.loads(content[files.history])), json.loads(content[files.timings])
        except (RayError, UserError) as error:
            failed = reason(error)
            if not failed.startswith(DIVERGED) or name not in self._timings:
                raise UserError(f"{name} failed, and not because of its options: {failed}") from error
            timings = self._timings[name]
        made = made_of(timings, timings.get("finished_at", finished_at))
        options, of_round = dict(its.options), its.number // self._params.search.a_round
        trial = Trial(number=its.number, round=of_round, options=options, result=result, failed=failed, made=made)
        self._show(name, trial)
        return trial

    def _show(self, name: str, trial: Trial) -> None:
        self._best = best([each for each in (self._best, trial) if each])
        said = f"{trial.result.loss:.2f} nats" if trial.result else trial.failed
        least = f"; least {loss_of(self._best):.2f}, trial {self._best.number}" if self._best else ""
        self._progress.drop(name)  # of a trial that diverged, the epochs that it did not have
        self._progress.ended(name, f"{name:<20} {said}{least}")


def training_images() -> Arrays:
    """What trials may learn from and be validated on. There are no test images in it, and no labels."""
    images = np.asarray(read_listed("train_images.npy")[0])
    return Arrays(images, np.empty(0, np.uint8), images[:0], np.empty(0, np.uint8))
