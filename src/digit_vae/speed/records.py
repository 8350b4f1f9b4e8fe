"""The arithmetic of a training step, and the files of recorded measurements.

A *benchmark* is one file: the paper's run on one device of one machine in one precision, once for each seed. A
*comparison* is another: whole cross-validations by this project and by others, in rounds, one after the other. Both
hold the raw numbers and a summary that follows from them, which is checked when they are read.
"""

import math
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from digit_vae.base.errors import first_misfit
from digit_vae.base.files import damaged, read_json, sha256_of
from digit_vae.base.shapes import NUMBERS, Shape, misfits
from digit_vae.config.schema import Precision
from digit_vae.config.values import Device

Measurement = dict[str, Any]  # a measurement as its JSON file has it

MADE_BY = "make bench"
REFERENCE = "keras-float32"  # Keras' own `fit`, which the others are compared with

Seconds = Annotated[float, Field(gt=0)]
Loss = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]


class _Checked(BaseModel):
    """The keys that a record needs; it may have more."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class _Machine(_Checked):
    cpu: str
    cores: Count
    gpu: str | None
    device: Device
    precision: Precision
    platform: str
    tensorflow: str


class _Epoch(_Checked):
    epoch: Count
    loss: Loss
    reconstruction_loss: Loss
    val_loss: Loss
    train_seconds: Seconds
    validation_seconds: Seconds
    finished_at: Seconds


class _Repetition(_Checked):
    seed: Annotated[int, Field(ge=0)]
    started_at: Seconds
    finished_at: Seconds
    setup_seconds: Seconds
    peak_bytes: Count
    matrix_gflops: Seconds
    epochs: Annotated[list[_Epoch], Field(min_length=1)]


class _Params(_Checked):
    epochs: Count
    latent_dim: Count
    precision: Precision


class _Data(_Checked):
    train_images: str
    validation: str


class _Recorded(_Checked):
    started_at: Seconds
    finished_at: Seconds
    machine: _Machine
    git_commit: str | None
    summary: dict[str, Any]


class _Benchmark(_Recorded):
    params: _Params
    images: Count
    data: _Data
    runs: Annotated[list[_Repetition], Field(min_length=1)]

    @model_validator(mode="after")
    def _of_all_epochs(self) -> Self:
        numbers = list(range(1, self.params.epochs + 1))
        if any([epoch.epoch for epoch in run.epochs] != numbers for run in self.runs):
            raise ValueError(f"expected the epochs from 1 to {self.params.epochs} of each run")
        return self


class _Measured(_Checked):
    seconds: Seconds
    epoch_seconds: Seconds
    val_loss: Loss


def _with_reference(measured: dict[str, _Measured]) -> dict[str, _Measured]:
    if REFERENCE not in measured:
        raise ValueError(f"the key {REFERENCE!r} is missing")
    return measured


class _Comparison(_Recorded):
    folds: Count
    steps: Count
    epochs: Annotated[int, Field(ge=2)]
    full_epochs: Count
    rounds: Annotated[list[Annotated[dict[str, _Measured], AfterValidator(_with_reference)]], Field(min_length=1)]

    @model_validator(mode="after")
    def _of_all_contestants(self) -> Self:
        if any(each.keys() != self.rounds[0].keys() for each in self.rounds):
            raise ValueError("expected the same contestants in every round")
        return self


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


def machine_name(machine: Mapping[str, Any]) -> str:
    """A machine in words: its GPU where one was used, or else its processor and cores."""
    processor = machine["gpu"] or f"{machine['cpu']}, {machine['cores']} cores"
    return re.sub(r"\((R|TM|C)\)", "", processor)


def file_name(machine: Mapping[str, Any], *further: str) -> str:
    """The name, without suffix, of the file that holds what was measured on `machine`: letters, digits and hyphens."""
    words = " ".join((machine_name(machine), *further))
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")


def summary(benchmark: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Median, least and greatest over the repetitions; of the losses, after the last epoch.

    Seconds are those of the training steps alone: `epoch_seconds` the median epoch's, `seconds` all epochs'.
    `matrix_share` is the rate of the steps' arithmetic over the machine's rate of a plain matrix product.
    """
    flops = flops_an_image(benchmark["params"]["latent_dim"])
    return _ranges([_repetition(run, benchmark["images"], flops) for run in benchmark["runs"]])


def _repetition(run: Mapping[str, Any], images: int, flops: int) -> dict[str, float]:
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


def comparison_summary(comparison: Mapping[str, Any]) -> dict[str, dict[str, dict[str, float]]]:
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


def _extrapolated(measured: Mapping[str, Any], comparison: Mapping[str, Any]) -> dict[str, float]:
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


def read_benchmarks(folder: Path) -> dict[str, Measurement]:
    """The benchmarks in `folder` by file name, sorted. Raises: UserError that names file and key."""
    return _read(folder, _Benchmark, summary, {"runs": [{"epochs": [NUMBERS]}]})


def read_comparisons(folder: Path) -> dict[str, Measurement]:
    """The comparisons in `folder` by file name, sorted. Raises: UserError that names file and key."""
    return _read(folder, _Comparison, comparison_summary, {})


def _read(
    folder: Path, kind: type[_Recorded], summarise: Callable[[Measurement], object], shape: Shape
) -> dict[str, Measurement]:
    """shape: of what is passed on as it stands."""
    recorded = {}
    for path in sorted(folder.glob("*.json")):
        content = read_json(path, made_by=MADE_BY)
        try:
            kind.model_validate(content)
        except ValidationError as error:
            raise damaged(path, MADE_BY, first_misfit(error)) from error
        for problem in misfits(content, shape):
            raise damaged(path, MADE_BY, problem)
        if content["summary"] != summarise(content):
            raise damaged(path, MADE_BY, "expected the summary that follows from its numbers; received another")
        recorded[path.stem] = content
    return recorded


def repetitions(name: str, benchmark: Mapping[str, Any]) -> list[tuple[Measurement, Measurement]]:
    """The runs of the benchmark in the file called `name` as a history.json and a timings.json have them.

    Their params lack the seed: the repetitions of a benchmark have the same params.
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


def of_same_machine(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two fingerprints can be of the same machine."""
    return all(one.get(key) == other.get(key) for key in ("cpu", "cores", "platform"))


def median_epochs(benchmark: Mapping[str, Any]) -> list[dict[str, Range]]:
    """Epoch by epoch, the seconds and losses over the repetitions."""
    keys = ("train_seconds", "loss", "reconstruction_loss", "val_loss")
    by_epoch = zip(*(run["epochs"] for run in benchmark["runs"]), strict=True)
    return [{key: value_range([epoch[key] for epoch in each]) for key in keys} for each in by_epoch]
