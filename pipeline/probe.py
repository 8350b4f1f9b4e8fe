"""Two further measurements of this machine, printed and not recorded.

    python -m pipeline.probe overhead        # what the pipeline adds to the training steps of a cross-validation
    python -m pipeline.probe data --times 16 # one epoch on the training images, and on the same 16 times over

`overhead` runs the baseline's folds through the driver of `make repro`, in a temporary copy of this folder. `data`
writes the images to a temporary file as large as they are.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import yaml

from digit_vae.errors import UserError, exit_status
from digit_vae.files import read_json, read_npy, write_text
from digit_vae.params import RunParams, load_params
from pipeline.smoke import DRIVER, copy_project, reproduce
from pipeline.worker import measure

PROCESSED = Path("data/processed")


def shares(timings: Sequence[dict], evaluation: float, seconds: float, cores: int) -> dict[str, float]:
    """What the cores did for `seconds`, as shares of all their time; timings: the runs' timings.json; evaluation: the
    seconds of all evaluations.

    "rest" is start-up, figures, tracking and DVC, and cores that were idle.
    """
    epochs = [epoch for timing in timings for epoch in timing["epochs"]]
    spent = {
        "training steps": sum(epoch["train_seconds"] for epoch in epochs),
        "validation": sum(epoch["validation_seconds"] for epoch in epochs),
        "tracing": sum(timing["setup_seconds"] for timing in timings),
        "evaluation": evaluation,
    }
    spent["rest"] = seconds * cores - sum(spent.values())
    return {name: value / (seconds * cores) for name, value in spent.items()}


def evaluation_seconds(folder: Path, run: str) -> float:
    """From the last file of a run's training to its metrics, since one stage follows the other at once."""
    written = (folder / "models" / run / "timings.json", folder / "reports/metrics/runs" / f"{run}.json")
    trained, evaluated = (path.stat().st_mtime for path in written)
    return evaluated - trained


def overhead() -> None:
    with tempfile.TemporaryDirectory(prefix="digit-vae-probe-") as name:
        folder = Path(name).resolve()
        copy_project(folder, {"plot": {"first_run": "baseline-0", "second_run": "baseline-1"}})
        params = yaml.safe_load((folder / "params.yaml").read_text())
        write_text(folder / "params.yaml", yaml.safe_dump(params | {"variants": {"baseline": {"splits": ["folds"]}}}))
        reproduce(folder, ("dvc", "repro", "--quiet", "classifier"))
        started = time.perf_counter()
        reproduce(folder, DRIVER)
        seconds = time.perf_counter() - started
        timings = [read_json(path, made_by="train") for path in sorted(folder.glob("models/*/timings.json"))]
        evaluation = sum(evaluation_seconds(folder, timing["run"]) for timing in timings)
    print(f"{len(timings)} folds in {seconds:.1f} s on {os.cpu_count()} cores, of whose time:")
    for name, share in shares(timings, evaluation, seconds, os.cpu_count()).items():
        print(f"{100 * share:5.1f} % {name}")


def repeated(images: np.ndarray, times: int, path: Path) -> None:
    """Writes `images` (N, ...) `times` times over to `path`, through a map of the file instead of memory."""
    shape = (times * len(images), *images.shape[1:])
    written = np.lib.format.open_memmap(path, mode="w+", dtype=images.dtype, shape=shape)
    for start in range(0, len(written), len(images)):
        written[start : start + len(images)] = images
    written.flush()


def data(times: int) -> None:
    train = load_params().train
    images = read_npy(PROCESSED / "train_images.npy", made_by="preprocess")
    with tempfile.TemporaryDirectory(dir=PROCESSED, prefix=".probe-") as name:
        path = Path(name) / "images.npy"
        for number in (1, times, 1):  # the machine's speed drifts: the small one before and after
            repeated(images, number, path)
            job = {"work": "train", "images": str(path), "validations": [str(PROCESSED / "test_images.npy")]}
            (run,) = measure(job | {"params": asdict(RunParams(**asdict(replace(train, epochs=1))))})["runs"]
            count, seconds = number * len(images), run["epochs"][0]["train_seconds"]
            memory = run["peak_bytes"] / 2**20
            print(f"{count:>9,} images: {1e6 * seconds / count:.1f} µs an image, {memory:,.0f} MiB at most", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("overhead", "data"))
    parser.add_argument("--times", type=int, default=16, help="how often the images are repeated (default: 16)")
    arguments = parser.parse_args()
    if arguments.times < 1:
        raise UserError(f"--times: expected at least 1, received {arguments.times}")
    if arguments.what == "overhead":
        overhead()
    else:
        data(arguments.times)


if __name__ == "__main__":
    sys.exit(exit_status(main))
