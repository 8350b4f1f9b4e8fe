"""Stage `train@<run>`: trains one run of the matrix and writes weights, history and timings to the run's folder.

    python -m pipeline.train baseline-full

After each epoch, all that it takes to go on is in checkpoints/<run>: a training that is killed is continued by the next
call, and ends in the same bytes. So is one that DVC had not recorded yet: it is stage `evaluate` that deletes the file.
"""

import argparse
import hashlib
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np

from digit_vae.training.loop import examination
from digit_vae.training.loop import health
from digit_vae.model.vae import layers
from digit_vae.model.vae import losses
from digit_vae.model.vae import device as machine
from digit_vae.model.vae import vae as model
from digit_vae.data import splits
from digit_vae.training.loop import loop as training
from digit_vae.training.checkpoint import CHECKPOINTS, Checkpoint, pack, unpack
from digit_vae.base.provenance import git_commit
from digit_vae.base.errors import UserError, exit_status
from digit_vae.base.files import json_bytes, read_bytes_if_any, read_listed_npy, sha256, sha256_of, write_bytes
from digit_vae.model.device import select_device
from digit_vae.tracking.mirror import Mirror
from digit_vae.base.orphans import die_with_parent
from digit_vae.config.params import Params, Run, find_run, load_params, run_params, runs
from digit_vae.base.progress import epoch_line, show
from digit_vae.data.splits import learnt_and_validated

PROCESSED = Path("data/processed")
# What the bytes of a run depend on, beside its params.
CODE = (examination, health, layers, losses, machine, model, splits, training)


def describe(params: Params, run: Run, data: dict[str, str], commit: str | None) -> Checkpoint:
    """history.json and timings.json as they stand before the first epoch.

    data: SHA-256 of the data files; commit: that of the code.
    """
    settings = asdict(run_params(params, run))
    code = {module.__name__: sha256(Path(module.__file__)) for module in CODE}
    history = {"run": run.name, "variant": run.variant, "split": run.split, "params": settings, "data": data}
    timings = {
        "run": run.name,
        "started_at": time.time(),
        "git_commit": commit,
        "inputs_sha256": sha256_of({"params": settings, "data": data, "code": code}),
        "machine": select_device(settings["device"]) | {"precision": settings["precision"]},
    }
    return Checkpoint(history | {"epochs": []}, timings | {"epochs": []})


def starting_point(fresh: Checkpoint, saved: bytes | None) -> tuple[Checkpoint, str | None]:
    """`saved` if it is intact and of the same origin, else `fresh`; and what there is to say about that."""
    if saved is None:
        return fresh, None
    found = unpack(saved)
    if found is None:
        return fresh, "its checkpoint is damaged: it starts anew"
    if found.origin != fresh.origin:
        return fresh, "its checkpoint is of other params, data or code, or of another machine: it starts anew"
    return found, f"goes on after epoch {len(found.epochs)}"


def train(
    params: Params,
    run: Run,
    images: np.ndarray,
    validation: np.ndarray,
    data: dict[str, str],
    report: Callable[[dict], None],
    saved: bytes | None = None,
    commit: str | None = None,
) -> dict[str, bytes]:
    """Trains `run`, on from its checkpoint `saved` where that fits, and returns the content of its files by name.

    Its start and, after each epoch, a new checkpoint and the epoch are reported as events. commit: that of the code.
    Raises: UserError when the loss is no finite number, or its health is beyond the limits that fail.
    """
    start, note = starting_point(describe(params, run, data, commit), saved)
    report({"event": "start", "run": run.name, "history": start.history, "timings": start.timings, "note": note})

    def on_epoch(state: training.State) -> None:
        history, timing = state.epochs[-1]
        # Ahead of the checkpoint: what fails here fails again.
        ill = "; ".join(health.complaints(history, params.health))
        report({"event": "checkpoint", "run": run.name, "content": pack(start.after(*state))})
        note = f"warning: {ill}" if ill and history["epoch"] == params.train.epochs else None
        report({"event": "epoch", "run": run.name, "history": history, "timing": timing, "note": note})

    learn, validation_images = learnt_and_validated(images, validation)
    state = training.State([training.Epoch(*epoch) for epoch in start.epochs], start.variables)
    trained = training.train(run_params(params, run), images, learn, validation_images, on_epoch, state)
    end = start.after(trained.epochs)
    timings = end.timings | {"setup_seconds": trained.setup_seconds, "finished_at": time.time()}
    weights = weights_bytes(trained.vae)
    history = end.history | {"weights_sha256": hashlib.sha256(weights).hexdigest()}
    return {
        "model.weights.h5": weights,
        "history.json": json_bytes(history),
        "timings.json": json_bytes(timings),
    }


def weights_bytes(vae: model.VAE) -> bytes:
    """The content of the model's .weights.h5 file. Raises: UserError when there is no room for a temporary one."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.weights.h5"
            vae.save_weights(path)
            return path.read_bytes()
    except (OSError, RuntimeError) as error:  # h5py has the latter for a disk that is full when it closes a file
        raise UserError(f"the weights could not be written to a temporary file: {error}") from error


def show_event(event: dict, epochs: int) -> None:
    """One line for a finished epoch, and one for what there is to note of it or of a start."""
    if event["event"] == "epoch":
        history, timing = event["history"], event["timing"]
        left = (epochs - history["epoch"]) * (timing["train_seconds"] + timing["validation_seconds"])
        line = epoch_line(event["run"], history, timing, epochs)
        show(line, done=history["epoch"] / epochs, left_seconds=left)
    if event["note"]:
        print(f"{event['run']}: {event['note']}", flush=True)


def main() -> None:
    die_with_parent()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="a name of runs.yaml, such as baseline-full")
    name = parser.parse_args().run
    params = load_params()
    run = find_run(params, name)
    (images, images_sha256), (validation, validation_sha256) = (
        read_listed_npy(PROCESSED, name, made_by="preprocess") for name in ("train_images.npy", run.validation_file)
    )
    data = {"train_images": images_sha256, "validation": validation_sha256}
    names = [each.name for each in runs(params)]
    print(f"run {names.index(run.name) + 1} of {len(names)}: {run.name}", flush=True)
    checkpoint = CHECKPOINTS / run.name
    saved = read_bytes_if_any(checkpoint)

    with Mirror() as mirror:

        def report(event: dict) -> None:
            if event["event"] == "checkpoint":
                write_bytes(checkpoint, event["content"])
                return
            mirror.send(event)
            show_event(event, params.train.epochs)

        for name, content in train(params, run, images, validation, data, report, saved, git_commit()).items():
            write_bytes(run.folder / name, content)
        mirror.send({"event": "end", "run": run.name})


if __name__ == "__main__":
    sys.exit(exit_status(main))
