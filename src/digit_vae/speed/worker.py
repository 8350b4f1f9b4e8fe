"""One measurement in a process of its own: a process binds to one device, and earlier work in it would show.

    python -m digit_vae.speed.worker '{"work": "machine", "device": "cpu", "precision": "float32"}'

Prints one JSON object a line: {"epoch": ...} for each epoch of a run, at last {"result": ...}, or {"error": ...}.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from digit_vae.base.command import run
from digit_vae.base.errors import UserError
from digit_vae.config.loading import read_run_params
from digit_vae.config.schema import FULL, RunParams
from digit_vae.data.arrays import read_listed
from digit_vae.training.division import learnt_and_validated

Job = dict[str, Any]  # "work", and what the function of that name reads; plain values, since it travels as JSON
Result = dict[str, Any]
Array = npt.NDArray[Any]

MATRIX_SIZE = {"cpu": 2048, "gpu": 8192}
STEPS = {"cpu": 20, "gpu": 500}  # a second of each, or so


def measure(job: Job, on_epoch: Callable[[Result], object] = lambda _: None) -> Result:
    """The result of `job` in a new process, and its "process_seconds" from start to end.

    Raises: UserError with the process's own error, or with how it ended.
    """
    command = [sys.executable, "-m", "digit_vae.speed.worker", json.dumps(job)]
    environment = os.environ | {"PYTHONPATH": str(Path("src").resolve()), "PYTHONUTF8": "1"}
    started = time.perf_counter()
    told: dict[str, Any] = {}
    with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8", env=environment) as process:
        for line in process.stdout or ():
            told |= json.loads(line)
            if "epoch" in told:
                on_epoch(told.pop("epoch"))
    if "error" in told:
        raise UserError(told["error"])
    if process.returncode or "result" not in told:
        raise UserError(f"measuring {job['work']} ended with exit status {process.returncode} (see above)")
    return {**told["result"], "process_seconds": time.perf_counter() - started}


def machine(job: Job) -> Result:
    """The machine's fingerprint for the job's device, the code's commit, and the rate of a matrix product."""
    from digit_vae.base.provenance import git_commit
    from digit_vae.model.device import select_device
    from digit_vae.speed.matrix import matrix_gflops

    device, precision = job["device"], job["precision"]
    return {
        "machine": select_device(device) | {"precision": precision},
        "git_commit": git_commit(),
        "matrix_gflops": matrix_gflops(device, precision, size=MATRIX_SIZE[device]),
    }


def train(job: Job) -> Result:
    """A run by this project on each split of job["splits"], one after the other."""
    params, images = read_run_params(job["params"], "params"), read_listed("train_images.npy")[0]
    return {"runs": [_run(params, images, split) for split in job["splits"]]}


def _run(params: RunParams, images: Array, split: str) -> Result:
    """Its epochs, with losses, seconds and the processor seconds of the process so far; its memory."""
    from digit_vae.training import loop

    epochs: list[Result] = []
    started_at = time.time()

    def on_epoch(state: loop.State) -> None:
        epoch = state.epochs[-1]
        epochs.append(epoch.history | epoch.timing | {"cpu_seconds": time.process_time()})
        _tell({"epoch": epochs[-1]})

    trained = loop.train(params, images, *_divided(images, split), on_epoch)
    return {
        "started_at": started_at,
        "finished_at": time.time(),
        "setup_seconds": trained.setup_seconds,
        "peak_bytes": _peak_bytes(),
        "epochs": epochs,
    }


def more_data(job: Job) -> Result:
    """One epoch on job["times"] as many images, in as many parts; after each, an epoch on the images themselves.

    The large array is a file of the images over and over; a part learns from as many of its rows, drawn from all of it.
    They take turns, because the machine's speed drifts.
    Returns: the seconds of each part, and of each epoch that follows it.
    """
    from digit_vae.training import loop

    params, times = read_run_params(job["params"], "params"), job["times"]
    small = read_listed("train_images.npy")[0]
    large = np.lib.format.open_memmap(job["large"], mode="r")
    parts = np.random.default_rng(params.seed).permutation(len(large)).reshape(times, len(small))
    seconds = []
    for part in parts:
        both = [(large, np.asarray(part)), (small, np.arange(len(small)))]
        trained = [loop.train(params, images, learn, small[:1000]) for images, learn in both]
        pair = [each.epochs[0].timing["train_seconds"] for each in trained]
        seconds.append(dict(zip(("large", "small"), pair, strict=True)))
        _tell({"epoch": seconds[-1]})
    return {"rounds": seconds, "images": len(small), "peak_bytes": _peak_bytes()}


def steps(job: Job) -> Result:
    """What a step of the job's params takes with XLA and without it, in job["rounds"] turns."""
    from digit_vae.speed.steps import step_milliseconds

    params, images = read_run_params(job["params"], "params"), read_listed("train_images.npy")[0]
    return {"step_milliseconds": step_milliseconds(params, images, rounds=job["rounds"], steps=STEPS[params.device])}


def keras(job: Job) -> Result:
    """Keras' own `fit` on all splits, in memory as float32: seconds of the epochs and the last validation losses."""
    from digit_vae.speed.keras_fit import fit

    params = read_run_params(job["params"], "params")
    images, seconds, val_losses = read_listed("train_images.npy")[0].astype(np.float32) / 255, [], []
    for split in job["splits"]:
        learn, validation_images = _divided(images, split)
        of_split, val_loss = fit(params, images[learn], validation_images)
        seconds.append(of_split)
        val_losses.append(val_loss)
    return {"epoch_seconds": seconds, "val_losses": val_losses}


def _divided(images: Array, split: str) -> tuple[Array, Array]:
    """The images that are learnt from, and those that are validated on. split: "full", or the name of a fold's file."""
    if split == FULL:
        return np.arange(len(images)), read_listed("test_images.npy")[0]
    return learnt_and_validated(images, read_listed(f"splits/{split}.npy")[0], images[:0])


def _peak_bytes() -> int:
    """The most memory that this process has had: the system tells it in bytes on macOS, and in KiB elsewhere."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


WORK: dict[str, Callable[[Job], Result]] = {each.__name__: each for each in (machine, train, steps, more_data, keras)}


def _tell(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


def main() -> None:
    job = json.loads(sys.argv[1])
    try:
        _tell({"result": WORK[job["work"]](job)})
    except UserError as error:
        _tell({"error": str(error)})


if __name__ == "__main__":
    run(main)
