"""The baseline's cross-validation by this project, beside Keras' own `fit`.

Contestants take turns, round after round, and each has the whole machine. On a CPU Keras trains the folds one after
the other on all threads, this project in processes of one thread, which keep all cores busy; on a GPU all
train one after the other. The time is taken from the start of the first process to the end of the last: imports,
tracing and validation are in it. Epochs beyond the few that are run are extrapolated.
"""

import math
import statistics
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from typing import Any

from digit_vae.base.cores import usable_cores
from digit_vae.config.schema import PRECISIONS, Params, RunParams
from digit_vae.config.values import Device
from digit_vae.data.arrays import read_listed
from digit_vae.speed.records import REFERENCE, Measurement, comparison_summary
from digit_vae.speed.worker import Job, measure

SEED = 0  # draws the folds and starts the trainings

Contestants = Mapping[str, Callable[[], dict[str, float]]]


def splits(params: Params) -> list[str]:
    return [f"fold{fold}-{SEED}" for fold in range(params.preprocess.folds)]


def job(params: Params, work: str, device: Device, precision: str, its: list[str]) -> Job:
    changed: dict[str, Any] = {"device": device, "precision": precision, "epochs": params.benchmark.epochs_compared}
    settings = asdict(RunParams(**asdict(params.train) | changed | {"seed": SEED}))
    return {"work": work, "params": settings, "splits": its}


def by_keras(params: Params, device: Device, precision: str) -> dict[str, float]:
    """The folds in one process; one more epoch takes as long as the last of each fold."""
    result = measure(job(params, "keras", device, precision, splits(params)))
    return {
        "seconds": result["process_seconds"],
        "epoch_seconds": sum(epochs[-1] for epochs in result["epoch_seconds"]),
        "val_loss": statistics.mean(result["val_losses"]),
    }


def shared_out(its: list[str], cores: int) -> list[list[str]]:
    """The folds for each process, so that no core is idle before the end: one process a core, and beside their first
    folds, while the system shares the cores among them, one more for each fold by which the cores do not divide all.
    """
    odd = len(its) % cores
    even = [its[first::cores] for first in range(odd, odd + cores)]
    return [each for each in even if each] + [[fold] for fold in its[:odd]]


def by_this_project(params: Params, device: Device, precision: str) -> dict[str, float]:
    """The folds by processes of one thread. One more epoch takes as long as their last: on a CPU its processor seconds
    over the cores, on a GPU its seconds.
    """
    cores = usable_cores() if device == "cpu" else 1
    jobs = [job(params, "train", device, precision, its) for its in shared_out(splits(params), cores)]
    started = time.perf_counter()
    with ThreadPoolExecutor(len(jobs)) as pool:
        runs = [run for result in pool.map(measure, jobs) for run in result["runs"]]
    seconds, last = time.perf_counter() - started, [run["epochs"][-1] for run in runs]
    if device == "cpu":
        spent = [run["epochs"][-1]["cpu_seconds"] - run["epochs"][-2]["cpu_seconds"] for run in runs]
    else:
        spent = [epoch["train_seconds"] + epoch["validation_seconds"] for epoch in last]
    return {
        "seconds": seconds,
        "epoch_seconds": math.fsum(spent) / min(len(runs), cores),
        "val_loss": statistics.mean(epoch["val_loss"] for epoch in last),
    }


def contestants(params: Params, device: Device) -> Contestants:
    """The contestants by library and precision."""
    found = {REFERENCE: partial(by_keras, params, device, "float32")}
    return found | {f"digit_vae-{each}": partial(by_this_project, params, device, each) for each in PRECISIONS}


def by_turns(running: Contestants, rounds: int, on_turn: Callable[[int, str, float], object]) -> list[Measurement]:
    """What each contestant measured in each round. Each round starts with another: none always follows the same.

    on_turn is told the round, from 1 on, the contestant and its seconds.
    """
    names, measured = list(running), list[Measurement]()
    for number in range(rounds):
        measured.append({})
        first = number % len(names)
        for name in names[first:] + names[:first]:
            measured[-1][name] = running[name]()
            on_turn(number + 1, name, measured[-1][name]["seconds"])
    return measured


def comparison(params: Params, device: Device, on_turn: Callable[[int, str, float], object]) -> Measurement:
    """The record of a whole comparison on one device. Raises: UserError when the device or the data are missing."""
    started_at, (images, digest) = time.time(), read_listed("train_images.npy")
    held_out = [read_listed(f"splits/{split}.npy") for split in splits(params)]
    found = measure({"work": "machine", "device": device, "precision": "float32"})
    content: Measurement = {
        "started_at": started_at,
        "machine": found["machine"],
        "git_commit": found["git_commit"],
        "params": asdict(params.train),
        "data": {"train_images": digest, "splits": [fold_digest for _, fold_digest in held_out]},
        "folds": len(held_out),
        "steps": sum(math.ceil((len(images) - len(fold)) / params.train.batch_size) for fold, _ in held_out),
        "epochs": params.benchmark.epochs_compared,
        "full_epochs": params.train.epochs,
        "rounds": by_turns(contestants(params, device), params.benchmark.rounds, on_turn),
        "finished_at": time.time(),
    }
    return content | {"summary": comparison_summary(content)}
