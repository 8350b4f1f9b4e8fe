"""Stage `train@<run>`: trains one run of the matrix and writes its weights, history and timings to models/<run>/.

python -m pipeline.train baseline-full
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np

from digit_vae import layers, losses, model, training
from digit_vae.errors import exit_status
from digit_vae.files import json_bytes, read_npy, sha256, sha256_of, write_bytes
from digit_vae.machine import git_commit, select_device
from digit_vae.mirror import Mirror
from digit_vae.params import Params, Run, find_run, load_params, run_params, runs
from digit_vae.progress import epoch_line, show
from digit_vae.splits import learnt_and_validated

PROCESSED = Path("data/processed")
MODELS = Path("models")


def describe(params: Params, run: Run, data: dict[str, str]) -> tuple[dict, dict]:
    """history.json and timings.json as they stand before the first epoch. data: SHA-256 of the data files."""
    settings = asdict(run_params(params, run))
    code = {module.__name__: sha256(Path(module.__file__)) for module in (layers, losses, model, training)}
    history = {"run": run.name, "variant": run.variant, "split": run.split, "params": settings, "data": data}
    timings = {
        "run": run.name,
        "started_at": time.time(),
        "git_commit": git_commit(),
        "inputs_sha256": sha256_of({"params": settings, "data": data, "code": code}),
        "machine": select_device(settings["device"]) | {"precision": settings["precision"]},
    }
    return history, timings


def train(
    params: Params,
    run: Run,
    images: np.ndarray,
    validation: np.ndarray,
    data: dict[str, str],
    report: Callable[[dict], None],
) -> dict[str, bytes]:
    """Trains `run`, reporting its start and each epoch as events, and returns the content of its files by name."""
    history, timings = describe(params, run, data)
    report({"event": "start", "run": run.name, "history": history, "timings": timings})

    def on_epoch(epoch: training.Epoch) -> None:
        report({"event": "epoch", "run": run.name, "history": epoch.history, "timing": epoch.timing})

    learn, validation_images = learnt_and_validated(images, validation)
    trained = training.train(run_params(params, run), images, learn, validation_images, on_epoch)
    history["epochs"], timings["epochs"] = map(list, zip(*trained.epochs, strict=True))
    timings |= {"setup_seconds": trained.setup_seconds, "finished_at": time.time()}
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "model.weights.h5"
        trained.vae.save_weights(weights)
        return {
            weights.name: weights.read_bytes(),
            "history.json": json_bytes(history),
            "timings.json": json_bytes(timings),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="a name of runs.yaml, such as baseline-full")
    name = parser.parse_args().run
    params = load_params()
    run = find_run(params, name)
    paths = {"train_images": PROCESSED / "train_images.npy", "validation": PROCESSED / run.validation_file}
    images, validation = (read_npy(path, made_by="preprocess") for path in paths.values())
    data = {name: sha256(path) for name, path in paths.items()}
    names = [each.name for each in runs(params)]
    print(f"run {names.index(run.name) + 1} of {len(names)}: {run.name}", flush=True)
    epochs = params.train.epochs

    with Mirror() as mirror:

        def report(event: dict) -> None:
            mirror.send(event)
            if event["event"] == "epoch":
                history, timing = event["history"], event["timing"]
                left = (epochs - history["epoch"]) * (timing["train_seconds"] + timing["validation_seconds"])
                line = epoch_line(run.name, history, timing, epochs)
                show(line, done=history["epoch"] / epochs, left_seconds=left)

        for name, content in train(params, run, images, validation, data, report).items():
            write_bytes(MODELS / run.name / name, content)
        mirror.send({"event": "end", "run": run.name})


if __name__ == "__main__":
    sys.exit(exit_status(main))
