"""One measurement in a process of its own: a process binds to one device, and what ran in it before would show.

    python -m digit_vae.speed.worker '{"work": "machine", "device": "cpu", "precision": "float32"}'

Prints one JSON object a line: {"epoch": ...} for each epoch of a run, at last {"result": ...}, or {"error": ...}.
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from digit_vae.base.errors import UserError, exit_status
from digit_vae.base.files import read_npy
from digit_vae.config.params import RunParams
from digit_vae.data.splits import learnt_and_validated

MATRIX_SIZE = {"cpu": 2048, "gpu": 8192}


def measure(job: dict, on_epoch: Callable[[dict], None] = lambda _: None) -> dict:
    """The result of `job` in a new process, and its "process_seconds" from start to end.

    Raises: UserError with the process's own, or with how it ended.
    """
    command = [sys.executable, "-m", "digit_vae.speed.worker", json.dumps(job)]
    started, told = time.perf_counter(), {}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            told |= json.loads(line)
            if "epoch" in told:
                on_epoch(told.pop("epoch"))
    if "error" in told:
        raise UserError(told["error"])
    if process.returncode or "result" not in told:
        raise UserError(f"measuring {job['work']} ended with exit status {process.returncode} (see above)")
    return told["result"] | {"process_seconds": time.perf_counter() - started}


def machine(job: dict) -> dict:
    """The fingerprint of what runs on the job's device run on, the code's commit, the rate of the matrix product."""
    from digit_vae.base.provenance import git_commit
    from digit_vae.model.device import matrix_gflops, select_device

    device, precision = job["device"], job["precision"]
    return {
        "machine": select_device(device) | {"precision": precision},
        "git_commit": git_commit(),
        "matrix_gflops": matrix_gflops(device, precision, size=MATRIX_SIZE[device]),
    }


def train(job: dict) -> dict:
    """A run by this project for each of job["validations"], one after the other."""
    params = RunParams(**job["params"])
    images = read_npy(Path(job["images"]), made_by="preprocess")
    validations = [read_npy(Path(path), made_by="preprocess") for path in job["validations"]]
    return {"runs": [_run(params, images, validation) for validation in validations]}


def _run(params: RunParams, images: np.ndarray, validation: np.ndarray) -> dict:
    """Its epochs, with losses, seconds and the processor seconds of the process so far; its memory."""
    from digit_vae.training.loop import loop as training

    epochs, started_at = [], time.time()

    def on_epoch(state: training.State) -> None:
        epoch = state.epochs[-1]
        epochs.append(epoch.history | epoch.timing | {"cpu_seconds": time.process_time()})
        _tell({"epoch": epochs[-1]})

    trained = training.train(params, images, *learnt_and_validated(images, validation), on_epoch)
    return {
        "started_at": started_at,
        "finished_at": time.time(),
        "setup_seconds": trained.setup_seconds,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "epochs": epochs,
    }


def keras(job: dict) -> dict:
    from digit_vae.speed import keras_fit as stock_keras

    return _fits(job, stock_keras.fit)


def torch(job: dict) -> dict:
    from digit_vae.speed import torch_fit as stock_torch

    return _fits(job, stock_torch.fit)


def _fits(job: dict, fit: Callable[[RunParams, np.ndarray, np.ndarray], tuple[list[float], float]]) -> dict:
    """All folds one after the other, in memory as float32: the seconds of the epochs and the last validation losses."""
    params = RunParams(**job["params"])
    images = read_npy(Path(job["images"]), made_by="preprocess").astype(np.float32) / 255
    seconds, val_losses = [], []
    for path in job["validations"]:
        learn, validation_images = learnt_and_validated(images, read_npy(Path(path), made_by="preprocess"))
        of_fold, val_loss = fit(params, images[learn], validation_images)
        seconds.append(of_fold)
        val_losses.append(val_loss)
    return {"epoch_seconds": seconds, "val_losses": val_losses}


WORK = {work.__name__: work for work in (machine, train, keras, torch)}


def _tell(message: dict) -> None:
    print(json.dumps(message), flush=True)


def main() -> None:
    job = json.loads(sys.argv[1])
    try:
        _tell({"result": WORK[job["work"]](job)})
    except UserError as error:
        _tell({"error": str(error)})


if __name__ == "__main__":
    sys.exit(exit_status(main))
