"""Trains the published `baseline-full-0` with one small change at a time, and keeps its losses for test_tolerance.py.

    PYTHONPATH=src python tests/planted_changes.py

The changes are such that somebody may make unnoticed and no published run has alone: another learning rate, or one
layer's kernel drawn from another initialiser's interval. A training ends with the epoch whose losses `digit-vae verify`
does not allow: then it is found, whatever follows. A call goes on with the changes that the file lacks, and needs the
data (`dvc repro preprocess`). An epoch takes a minute or more.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import keras

from digit_vae.base.command import run as run_command
from digit_vae.base.files import json_bytes, read_json, write_bytes
from digit_vae.config.loading import load_params
from digit_vae.config.runs import find_run, run_params
from digit_vae.config.schema import RunParams
from digit_vae.data.arrays import read_held_out, read_listed
from digit_vae.model.vae import VAE, build_vae
from digit_vae.training import loop
from digit_vae.training.division import learnt_and_validated
from digit_vae.verification.comparison import compare_losses
from digit_vae.verification.tolerance import Tolerance, of_run

RUN = "baseline-full-0"
KEPT = Path(__file__).parent / "verification/planted_changes.json"
LOSSES = [f"{of}{name}" for of in ("", "val_") for name in ("loss", "reconstruction_loss", "kl_loss")]

Losses = dict[str, list[float]]


class Change(NamedTuple):
    """What a planted change does: other params, or the kernel of one layer from another Keras initialiser."""

    learning_rate: float | None = None
    layer: str | None = None
    initializer: str | None = None


CHANGES = {
    **{
        f"learning rate {rate:g}": Change(learning_rate=rate)
        for rate in (0.0005, 0.0008, 0.0009, 0.00095, 0.00098, 0.00102, 0.00105, 0.0011, 0.00125, 0.002)
    },
    **{f"{layer}: he_uniform": Change(layer=layer, initializer="he_uniform") for layer in ("conv_1", "conv_2")},
}


class FoundError(Exception):
    """The losses have left what is allowed."""


def initialised(change: Change) -> Callable[[RunParams], VAE]:
    """The model as ever, but for one layer's kernel, from the other initialiser with the seed of its own one."""

    def build(params: RunParams) -> VAE:
        vae = build_vae(params)
        if change.layer is None:
            return vae
        part = next(part for part in (vae.encoder, vae.decoder) if change.layer in {one.name for one in part.layers})
        layer = part.get_layer(change.layer)
        other = keras.initializers.get(change.initializer).__class__(seed=layer.kernel_initializer.seed)
        layer.kernel.assign(other(layer.kernel.shape, dtype=layer.kernel.dtype))
        return vae

    return build


def rows(losses: Losses) -> list[dict[str, float]]:
    """As history.json has them: a row an epoch."""
    return [dict(zip(losses, values, strict=True)) for values in zip(*losses.values(), strict=True)]


def columns(epochs: Sequence[Mapping[str, Any]]) -> Losses:
    return {name: [epoch[name] for epoch in epochs] for name in LOSSES}


def leaves(expected: Losses, received: Losses, tolerance: Tolerance) -> bool:
    """Whether an epoch that both have is not allowed; `received` may have ended early."""
    deviations = compare_losses("", rows(expected), rows(received), tolerance)
    return any(each.what != "number of epochs" for each in deviations)


def train(change: Change, allowed: Callable[[Losses], bool]) -> Losses:
    """The losses of every epoch up to the one after which they are no longer `allowed`, or to the last."""
    params = load_params()
    run = find_run(params, RUN)
    settings = run_params(params, run)
    if change.learning_rate is not None:
        settings = replace(settings, learning_rate=change.learning_rate)
    (images, _), (test_images, _) = read_listed("train_images.npy"), read_listed("test_images.npy")
    learn, validated = learnt_and_validated(images, read_held_out(run)[0], test_images)
    kept: Losses = {}

    def on_epoch(state: loop.State) -> None:
        kept.update(columns([epoch.history for epoch in state.epochs]))
        print(f"  epoch {len(state.epochs)}: val_loss {kept['val_loss'][-1]}", flush=True)
        if not allowed(kept):
            raise FoundError

    with patch.object(loop, "build_vae", initialised(change)), suppress(FoundError):
        loop.train(settings, images, learn, validated, on_epoch)
    return kept


def main() -> None:
    params = load_params()
    run = find_run(params, RUN)
    tolerance = of_run(params.verify, asdict(run_params(params, run)))
    record = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {"changed": {}}
    record.setdefault("published", columns(read_json(run.files.history, made_by=run.stages[0])["epochs"]))
    if "unchanged" not in record:
        record["unchanged"] = train(Change(), lambda _: True)

    def allowed(losses: Losses) -> bool:
        """Beside the published run, or beside that of this machine."""
        return not all(leaves(record[which], losses, tolerance) for which in ("published", "unchanged"))

    for name, change in CHANGES.items():
        if name not in record["changed"]:
            print(name, flush=True)
            record["changed"][name] = train(change, allowed)
            write_bytes(KEPT, json_bytes(record))


if __name__ == "__main__":
    run_command(main)
