"""Stage `compare_speed`: the baseline's cross-validation by this project, beside Keras' own `fit` and PyTorch.

    dvc repro --force --single-item benchmark/dvc.yaml:compare_speed

Contestants take turns, round after round, and each has the whole machine: Keras and PyTorch train the folds one after
the other on all threads, this project in processes of one thread, which keep all cores busy. The time is taken from the
start of the first process to the end of the last: imports, tracing and validation are in it. Epochs beyond the few that
are run are extrapolated. Writes reports/benchmarks/side_by_side/<machine>.json.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from digit_vae.speed.records import REFERENCE, comparison_summary, file_name
from digit_vae.base.errors import exit_status
from digit_vae.base.files import read_npy, write_json
from digit_vae.config.params import PRECISIONS, Params, RunParams, load_params
from digit_vae.base.progress import show
from digit_vae.speed.worker import measure

PROCESSED = Path("data/processed")
COMPARISONS = Path("reports/benchmarks/side_by_side")


def folds(params: Params) -> list[str]:
    return [str(PROCESSED / f"folds/{fold}.npy") for fold in range(params.preprocess.folds)]


def job(params: Params, work: str, precision: str, validations: list[str]) -> dict:
    changed = {"device": "cpu", "precision": precision, "epochs": params.benchmark.epochs_compared}
    settings = asdict(RunParams(**asdict(params.train) | changed))
    images = str(PROCESSED / "train_images.npy")
    return {"work": work, "params": settings, "images": images, "validations": validations}


def by_library(params: Params, work: str, precision: str) -> dict:
    """The folds by `keras` or `torch` in one process; one more epoch takes as long as the last of each fold."""
    result = measure(job(params, work, precision, folds(params)))
    return {
        "seconds": result["process_seconds"],
        "epoch_seconds": sum(epochs[-1] for epochs in result["epoch_seconds"]),
        "val_loss": statistics.mean(result["val_losses"]),
    }


def shared_out(validations: list[str], cores: int) -> list[list[str]]:
    """The folds for each process, so that no core is idle before the end: one process a core, and beside their first
    folds, while the system shares the cores among them, one more for each fold by which the cores do not divide all.
    """
    odd = len(validations) % cores
    even = [validations[first::cores] for first in range(odd, odd + cores)]
    return [its for its in even if its] + [[fold] for fold in validations[:odd]]


def by_this_project(params: Params, precision: str) -> dict:
    """The folds by processes of one thread; one more epoch takes the processor seconds of their last over the cores."""
    jobs = [job(params, "train", precision, its) for its in shared_out(folds(params), os.cpu_count())]
    started = time.perf_counter()
    with ThreadPoolExecutor(len(jobs)) as pool:
        runs = [run for result in pool.map(measure, jobs) for run in result["runs"]]
    seconds = time.perf_counter() - started
    before, after = (sum(run["epochs"][place]["cpu_seconds"] for run in runs) for place in (-2, -1))
    return {
        "seconds": seconds,
        "epoch_seconds": (after - before) / min(len(runs), os.cpu_count()),
        "val_loss": statistics.mean(run["epochs"][-1]["val_loss"] for run in runs),
    }


def contestants(params: Params) -> dict[str, Callable[[], dict]]:
    """Who takes part, by library and precision; PyTorch where it is installed."""
    found = {REFERENCE: partial(by_library, params, "keras", "float32")}
    found |= {f"digit_vae-{precision}": partial(by_this_project, params, precision) for precision in PRECISIONS}
    if find_spec("torch"):
        found |= {f"torch-{precision}": partial(by_library, params, "torch", precision) for precision in PRECISIONS}
    return found


def compare(running: dict[str, Callable[[], dict]], rounds: int) -> list[dict]:
    """What each contestant measured in each round. Every round starts with another: none always follows the same."""
    names, measured, started = list(running), [], time.monotonic()
    for number in range(rounds):
        measured.append({})
        first = number % len(names)
        for name in names[first:] + names[:first]:
            measured[-1][name] = running[name]()
            done = (number + len(measured[-1]) / len(names)) / rounds
            left_seconds = (time.monotonic() - started) * (1 - done) / done
            line = f"round {number + 1}/{rounds}  {name:<24} {measured[-1][name]['seconds']:.1f} s"
            show(line, done=done, left_seconds=left_seconds)
    return measured


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    params, started_at = load_params(), time.time()
    images = len(read_npy(PROCESSED / "train_images.npy", made_by="preprocess"))
    learnt = [images - len(read_npy(Path(fold), made_by="preprocess")) for fold in folds(params)]
    found = measure({"work": "machine", "device": "cpu", "precision": "float32"})
    running = contestants(params)
    comparison = {
        "started_at": started_at,
        "machine": found["machine"],
        "git_commit": found["git_commit"],
        "folds": len(learnt),
        "steps": sum(-(-count // params.train.batch_size) for count in learnt),
        "epochs": params.benchmark.epochs_compared,
        "full_epochs": params.train.epochs,
        "rounds": compare(running, params.benchmark.rounds),
        "finished_at": time.time(),
    }
    path = COMPARISONS / f"{file_name(found['machine'])}.json"
    write_json(path, comparison | {"summary": comparison_summary(comparison)})
    print(f"{path} is written; `make repro` brings it into the report")


if __name__ == "__main__":
    sys.exit(exit_status(main))
