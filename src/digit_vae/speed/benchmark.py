"""Stage `benchmark`: the paper's run on each device in each precision, repeated with nothing beside it.

    dvc repro --force --single-item benchmark/dvc.yaml:benchmark

The paper's run is its base model on all training images, validated on the test images. Each repetition, with another
seed, is a process of its own, after the rate of the machine's matrix product. Writes one file a device and precision
to reports/benchmarks/, named by the machine: files of other machines stand beside it.
"""

import argparse
import sys
import time
from dataclasses import asdict
from itertools import product
from pathlib import Path

from digit_vae.speed.records import file_name, summary
from digit_vae.base.errors import UserError, exit_status
from digit_vae.base.files import read_npy, sha256, write_json
from digit_vae.config.params import Params, RunParams, load_params
from digit_vae.base.progress import epoch_line, show
from digit_vae.speed.worker import measure

IMAGES = Path("data/processed/train_images.npy")
VALIDATION = Path("data/processed/test_images.npy")
BENCHMARKS = Path("reports/benchmarks")


class Progress:
    """What is done of all epochs; the time left assumes that the rest takes as long as what is done."""

    def __init__(self, epochs: int) -> None:
        self._epochs, self._done, self._started = epochs, 0, time.monotonic()

    def show(self, name: str, epoch: dict, of: int) -> None:
        self._done += 1
        left_seconds = (time.monotonic() - self._started) / self._done * (self._epochs - self._done)
        show(epoch_line(name, epoch, epoch, of), done=self._done / self._epochs, left_seconds=left_seconds)


def machines(params: Params) -> list[dict]:
    """Fingerprint and commit for each device and precision. Raises: UserError when a device is absent."""
    settings = product(params.benchmark.devices, params.benchmark.precisions)
    try:
        found = [
            measure({"work": "machine", "device": device, "precision": precision}) for device, precision in settings
        ]
    except UserError as error:
        raise UserError(f"benchmark.devices: nothing was measured, since a device is missing: {error}") from error
    return [{key: each[key] for key in ("machine", "git_commit")} for each in found]


def repetition(settings: RunParams, progress: Progress) -> dict:
    """One run of a benchmark, as the file has it."""
    name = f"{settings.device} {settings.precision} seed {settings.seed}"
    rate = measure({"work": "machine", "device": settings.device, "precision": settings.precision})
    job = {"work": "train", "params": asdict(settings), "images": str(IMAGES), "validations": [str(VALIDATION)]}
    (run,) = measure(job, lambda epoch: progress.show(name, epoch, settings.epochs))["runs"]
    return run | {"seed": settings.seed, "matrix_gflops": rate["matrix_gflops"]}


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    params, started_at = load_params(), time.time()
    images = len(read_npy(IMAGES, made_by="preprocess"))
    data = {"train_images": sha256(IMAGES), "validation": sha256(VALIDATION)}
    benchmarks = [
        {"started_at": started_at, "images": images, "data": data, "runs": []} | found for found in machines(params)
    ]
    progress = Progress(params.train.epochs * params.benchmark.seeds * len(benchmarks))
    for seed in range(params.benchmark.seeds):  # in turn, so that a slow minute of the machine meets all of them
        for each in benchmarks:
            chosen = {key: each["machine"][key] for key in ("device", "precision")}
            settings = RunParams(**asdict(params.train) | chosen | {"seed": seed})
            each["runs"].append(repetition(settings, progress))
            each["params"] = {key: value for key, value in asdict(settings).items() if key != "seed"}
    for each in benchmarks:
        each["finished_at"] = time.time()
        machine = each["machine"]
        path = BENCHMARKS / f"{file_name(machine, machine['device'], machine['precision'])}.json"
        write_json(path, each | {"summary": summary(each)})
        print(f"{path} is written; `make repro` brings it into the report, `make track` into MLflow")


if __name__ == "__main__":
    sys.exit(exit_status(main))
