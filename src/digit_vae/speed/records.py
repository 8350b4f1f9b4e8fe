"""Measured speed: the arithmetic of a training step, and the recorded files that the measurements are kept in.

A *benchmark* is one file: the paper's run on one device of one machine in one precision, once for each seed. A
*comparison* is another: whole cross-validations by this project and by others, in rounds, one after the other. Both
hold the raw numbers and a summary that follows from them, which is checked when they are read.
"""

import math
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from digit_vae.base.errors import UserError
from digit_vae.base.files import read_json, sha256_of
from digit_vae.config.params import DEVICES, PRECISIONS, Check, number, one_of, optional, text, whole

REFERENCE = "keras-float32"  # Keras' own `fit`, which the others are compared with

_SECONDS = number(0, above=True)
_MACHINE = {
    "cpu": text,
    "cores": whole(1),
    "gpu": optional(text),
    "device": one_of(*DEVICES),
    "platform": text,
    "tensorflow": text,
}
_EPOCH = {
    "epoch": whole(1),
    **dict.fromkeys(("loss", "reconstruction_loss", "val_loss"), number(0)),
    **dict.fromkeys(("train_seconds", "validation_seconds", "finished_at"), _SECONDS),
}
_WHEN = {"started_at": _SECONDS, "finished_at": _SECONDS}
BENCHMARK = _WHEN | {
    "machine": _MACHINE | {"precision": one_of(*PRECISIONS)},
    "git_commit": optional(text),
    "params": {"epochs": whole(1), "latent_dim": whole(1)},
    "images": whole(1),
    "data": {"train_images": text, "validation": text},
    "runs": [
        _WHEN
        | {
            "seed": whole(0),
            "setup_seconds": _SECONDS,
            "peak_bytes": whole(1, 2**50),
            "matrix_gflops": _SECONDS,
            "epochs": [_EPOCH],
        }
    ],
    "summary": {},
}
COMPARISON = _WHEN | {
    "machine": _MACHINE,
    "git_commit": optional(text),
    "folds": whole(1),
    "steps": whole(1),
    "epochs": whole(2),
    "full_epochs": whole(1),
    "rounds": [{REFERENCE: {"seconds": _SECONDS, "epoch_seconds": _SECONDS, "val_loss": number(0)}}],
    "summary": {},
}


class Range(NamedTuple):
    """Median over repetitions, and the least and the greatest of them."""

    median: float
    low: float
    high: float


def value_range(values: Sequence[float]) -> Range:
    return Range(statistics.median(values), min(values), max(values))


def flops_an_image(latent_dim: int) -> int:
    """Floating-point operations of one training step for each of its images: matrix products alone, no biases,
    activations, losses or optimizer.

    A layer does 2 * kernel elements * places operations, where the places are the pixels that its kernel visits: those
    of a convolution's output, of a transposed convolution's input, one for a dense layer. Its backward pass does as
    much twice, for the gradients of kernel and input; the first layer's input needs none.
    """
    kernels = {
        "conv_1": (3 * 3 * 1 * 32, 14 * 14),
        "conv_2": (3 * 3 * 32 * 64, 7 * 7),
        "hidden": (7 * 7 * 64 * 16, 1),
        "z_mean": (16 * latent_dim, 1),
        "z_log_var": (16 * latent_dim, 1),
        "dense": (latent_dim * 7 * 7 * 64, 1),
        "conv_transpose_1": (3 * 3 * 64 * 64, 7 * 7),
        "conv_transpose_2": (3 * 3 * 64 * 32, 14 * 14),
        "logits": (3 * 3 * 32 * 1, 28 * 28),
    }
    forward = {layer: 2 * elements * places for layer, (elements, places) in kernels.items()}
    return 3 * sum(forward.values()) - forward["conv_1"]


def machine_name(machine: Mapping) -> str:
    """A machine in words: its GPU where one was used, or else its processor and cores."""
    processor = machine["gpu"] or f"{machine['cpu']}, {machine['cores']} cores"
    return re.sub(r"\((R|TM|C)\)", "", processor)


def file_name(machine: Mapping, *further: str) -> str:
    """The name, without suffix, of the file that holds what was measured on `machine`: letters, digits and hyphens."""
    words = " ".join((machine_name(machine), *further))
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")


def summary(benchmark: Mapping) -> dict[str, dict[str, float]]:
    """Median, least and greatest over the repetitions; of the losses, after the last epoch.

    Seconds are those of the training steps alone: `epoch_seconds` the median epoch's, `seconds` all epochs'.
    `matrix_share` is the rate of the steps' arithmetic over the machine's rate of a plain matrix product.
    """
    flops = flops_an_image(benchmark["params"]["latent_dim"])
    return _ranges([_repetition(run, benchmark["images"], flops) for run in benchmark["runs"]])


def _repetition(run: Mapping, images: int, flops: int) -> dict[str, float]:
    epochs = run["epochs"]
    epoch_seconds = statistics.median(epoch["train_seconds"] for epoch in epochs)
    return {
        "epoch_seconds": epoch_seconds,
        "seconds": math.fsum(epoch["train_seconds"] for epoch in epochs),
        "validation_seconds": statistics.median(epoch["validation_seconds"] for epoch in epochs),
        "setup_seconds": run["setup_seconds"],
        "images_a_second": images / epoch_seconds,
        "matrix_share": flops * images / epoch_seconds / (run["matrix_gflops"] * 1e9),
        "peak_bytes": run["peak_bytes"],
        **{key: epochs[-1][key] for key in ("loss", "reconstruction_loss", "val_loss")},
    }


def comparison_summary(comparison: Mapping) -> dict[str, dict[str, dict[str, float]]]:
    """For each contestant median, least and greatest over the rounds.

    seconds: as measured, from the start of the first process to the end of the last; epoch_seconds: of one more epoch
    of all folds, validation included; full_seconds: as measured for `epochs`, and extrapolated by epoch_seconds to
    `full_epochs`; step_milliseconds: epoch_seconds for each training step; times_as_fast: the reference's full_seconds
    over the contestant's, in the same round.
    """
    names = comparison["rounds"][0]
    rounds = [{name: _extrapolated(measured[name], comparison) for name in names} for measured in comparison["rounds"]]
    for each in rounds:
        reference = each[REFERENCE]["full_seconds"]
        for contestant in each.values():
            contestant["times_as_fast"] = reference / contestant["full_seconds"]
    return {name: _ranges([each[name] for each in rounds]) for name in names}


def _extrapolated(measured: Mapping, comparison: Mapping) -> dict[str, float]:
    further = comparison["full_epochs"] - comparison["epochs"]
    return {
        "seconds": measured["seconds"],
        "epoch_seconds": measured["epoch_seconds"],
        "full_seconds": measured["seconds"] + further * measured["epoch_seconds"],
        "step_milliseconds": 1000 * measured["epoch_seconds"] / comparison["steps"],
        "val_loss": measured["val_loss"],
    }


def _ranges(values: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    return {key: value_range([each[key] for each in values])._asdict() for key in values[0]}


def read_benchmarks(folder: Path) -> dict[str, dict]:
    """The benchmarks in `folder` by file name, sorted. Raises: UserError that names file and key."""
    return _read(folder, BENCHMARK, summary)


def read_comparisons(folder: Path) -> dict[str, dict]:
    """The comparisons in `folder` by file name, sorted. Raises: UserError that names file and key."""
    return _read(folder, COMPARISON, comparison_summary)


def _read(folder: Path, schema: dict, summarise: Callable[[Mapping], dict]) -> dict[str, dict]:
    recorded = {}
    for path in sorted(folder.glob("*.json")):
        content = read_json(path, made_by="benchmark")
        _check(content, schema, str(path))
        if content["summary"] != summarise(content):
            raise UserError(f"{path}: expected the summary that follows from its numbers; received another")
        recorded[path.stem] = content
    return recorded


def _check(value: object, schema: Check | dict | list, where: str) -> None:
    """`schema`: a check; or a mapping, whose keys have to be there; or a list with what each entry has to be."""
    kind = {dict: "a mapping", list: "a list that is not empty"}.get(type(schema))
    if isinstance(schema, Check):
        if not schema.accepts(value):
            raise UserError(f"{where}: expected {schema.expected}; received {value!r}")
    elif type(value) is not type(schema) or (isinstance(value, list) and not value):
        raise UserError(f"{where}: expected {kind}; received {value!r}")
    elif isinstance(schema, list):
        for position, entry in enumerate(value):
            _check(entry, schema[0], f"{where}[{position}]")
    else:
        for key, expected in schema.items():
            if key not in value:
                raise UserError(f"{where}: the key {key!r} is missing")
            _check(value[key], expected, f"{where}.{key}")


def repetitions(name: str, benchmark: Mapping) -> list[tuple[dict, dict]]:
    """The runs of the benchmark in the file called `name` as a history.json and a timings.json have them.

    The seed is no param of theirs: the repetitions of a benchmark have the same params.
    """
    shared = {key: benchmark[key] for key in ("machine", "git_commit")}
    inputs = {key: benchmark[key] for key in ("params", "data", "git_commit")}
    pairs = []
    for run in benchmark["runs"]:
        epochs = [dict(epoch) for epoch in run["epochs"]]
        clocks = ("train_seconds", "validation_seconds", "cpu_seconds", "finished_at")
        timings = [{key: epoch.pop(key) for key in clocks if key in epoch} for epoch in epochs]
        described = {"run": f"{name}-seed-{run['seed']}", "variant": name, "split": "full"}
        history = described | {"params": benchmark["params"], "data": benchmark["data"], "epochs": epochs}
        times = {key: run[key] for key in ("started_at", "finished_at")}
        hashed = {"inputs_sha256": sha256_of(inputs | {"seed": run["seed"]})}
        pairs.append((history, shared | times | hashed | {"epochs": timings}))
    return pairs


def of_same_machine(one: Mapping, other: Mapping) -> bool:
    """Whether two fingerprints are of one machine, as far as they tell."""
    return all(one.get(key) == other.get(key) for key in ("cpu", "cores", "platform"))


def median_epochs(benchmark: Mapping) -> list[dict[str, Range]]:
    """Epoch by epoch, the seconds and losses over the repetitions."""
    keys = ("train_seconds", "loss", "reconstruction_loss", "val_loss")
    by_epoch = zip(*(run["epochs"] for run in benchmark["runs"]), strict=True)
    return [{key: value_range([epoch[key] for epoch in each]) for key in keys} for each in by_epoch]
