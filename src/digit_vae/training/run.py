"""What makes a run's files: arrays and params in; weights, history and timings out, as bytes by path.

A training that is killed goes on after its last finished epoch, from its checkpoint, and ends in the same bytes.
"""

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from digit_vae.base.files import json_bytes, sha256_of
from digit_vae.base.paths import RunFiles
from digit_vae.base.provenance import code_hashes
from digit_vae.config.runs import Run, run_params
from digit_vae.config.schema import Params
from digit_vae.model.device import select_device
from digit_vae.model.weights import weights_bytes
from digit_vae.training import loop
from digit_vae.training.checkpoint import Checkpoint, pack, unpack
from digit_vae.training.division import Images, learnt_and_validated
from digit_vae.training.health import complaints

CODE = ("model", "training")  # the folders of code that decide a run's bytes


def train_run(
    params: Params,
    run: Run,
    images: Images,
    *,
    data: Mapping[str, str],
    report: Callable[[dict[str, Any]], None],
    saved: bytes | None = None,
    commit: str | None = None,
) -> dict[Path, bytes]:
    """Trains `run`, on from its checkpoint `saved` where that fits, and returns the content of its files by path.

    data: SHA-256 of the training images and of what is validated on.
    report: is told the start and, after each epoch, a new checkpoint and the epoch. commit: that of the code.
    Raises: UserError when the loss is no finite number, or the health is beyond the limits that fail.
    """
    start, note = _starting_point(_described(params, run, data, commit), saved)
    report({"event": "start", "run": run.name, "history": start.history, "timings": start.timings, "note": note})

    def on_epoch(state: loop.State) -> None:
        history, timing = state.epochs[-1]
        # Ahead of the checkpoint: what fails here fails again.
        ill = "; ".join(complaints(history, params.health))
        report({"event": "checkpoint", "run": run.name, "content": pack(start.after(*state))})
        note = f"warning: {ill}" if ill and history["epoch"] == start.history["params"]["epochs"] else None
        report({"event": "epoch", "run": run.name, "history": history, "timing": timing, "note": note})

    learn, validation_images = learnt_and_validated(*images)
    state = loop.State([loop.Epoch(*epoch) for epoch in start.epochs], start.variables)
    trained = loop.train(run_params(params, run), images.train, learn, validation_images, on_epoch, state)
    return _files(run, start.after(trained.epochs), trained)


def _files(run: Run, end: Checkpoint, trained: loop.Trained) -> dict[Path, bytes]:
    files = RunFiles(run.graph, run.name)
    weights = {"encoder": weights_bytes(trained.encoder), "decoder": weights_bytes(trained.decoder)}
    hashes = {part: hashlib.sha256(content).hexdigest() for part, content in weights.items()}
    timings = end.timings | {"setup_seconds": trained.setup_seconds, "finished_at": time.time()}
    return {
        files.encoder: weights["encoder"],
        files.decoder: weights["decoder"],
        files.history: json_bytes(end.history | {"weights_sha256": hashes}),
        files.timings: json_bytes(timings),
    }


def _described(params: Params, run: Run, data: Mapping[str, str], commit: str | None) -> Checkpoint:
    """history.json and timings.json as they stand before the first epoch."""
    settings = asdict(run_params(params, run))
    history = {"run": run.name, "variant": run.variant, "split": run.split, "seed": run.seed}
    timings = {
        "run": run.name,
        "started_at": time.time(),
        "git_commit": commit,
        "inputs_sha256": sha256_of({"params": settings, "data": data, "code": code_hashes(*CODE)}),
        "machine": select_device(settings["device"]) | {"precision": settings["precision"]},
    }
    return Checkpoint(history | {"params": settings, "data": dict(data), "epochs": []}, timings | {"epochs": []})


def _starting_point(fresh: Checkpoint, saved: bytes | None) -> tuple[Checkpoint, str | None]:
    """`saved` if it is intact and of the same origin, else `fresh`; and what there is to say about that."""
    if saved is None:
        return fresh, None
    found = unpack(saved)
    if found is None:
        return fresh, "its checkpoint is damaged: it starts anew"
    if found.origin != fresh.origin:
        return fresh, "its checkpoint is of other params, data or code, or of another machine: it starts anew"
    return found, f"goes on after epoch {len(found.epochs)}"
