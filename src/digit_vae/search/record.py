"""The record of a search: reports/beyond/search.json, a line for each trial.

In each trial what repeats bit for bit, `options` and `result`, stands apart from what the machine decides, `made`.
Without trials no search has begun.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from types import NoneType
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from digit_vae.base.errors import first_misfit
from digit_vae.base.files import damaged, read_json, write_text
from digit_vae.base.paths import SEARCH
from digit_vae.base.shapes import DEAD_UNITS, PROCESSOR, Every, misfits
from digit_vae.config.runs import Run

LOSSES = ("loss", "val_loss", "val_reconstruction_loss", "val_kl_loss")  # of each epoch of a history.json that are kept
CLOCKS = ("train_seconds", "validation_seconds", "finished_at")  # of each epoch of a timings.json
# Inputs that tell what a trial is, and of a machine what is kept.
INPUTS = {
    "search.fold": str,
    "search.seed": int,
    "search.space": Every((dict, list, NoneType)),
    "search.startup_rounds": int,
    "train": dict,
    "data": {"train_images": str, "validation": str},
}
PLACE = PROCESSOR | {"precision": str}
ANEW_COMMAND = "digit-vae search --anew"
ANEW = f"`{ANEW_COMMAND}` begins anew"

Whole = Annotated[int, Field(ge=0)]


class _Checked(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, frozen=True)


class Result(_Checked):
    """What a training ended with. epochs: by the loss's name, in nats per image, one an epoch. dead_units: by layer."""

    epochs: dict[str, Annotated[list[float], Field(min_length=1)]]
    collapsed_dimensions: Whole
    dead_units: dict[str, Whole]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if set(self.epochs) != set(LOSSES) or len(set(map(len, self.epochs.values()))) != 1:
            raise ValueError(f"expected {', '.join(LOSSES)} of each epoch")
        for problem in misfits(self.dead_units, DEAD_UNITS, "dead_units"):
            raise ValueError(problem)
        return self

    @property
    def loss(self) -> float:
        """The negative ELBO of the validation images after the last epoch, in nats per image: what a search lowers."""
        return round(self.epochs["val_reconstruction_loss"][-1] + self.kl, 4)

    @property
    def kl(self) -> float:
        return self.epochs["val_kl_loss"][-1]


class Made(_Checked):
    """When, where and with which commit. epochs: by name of the clock, one an epoch; without any, it did not end.

    started_at, finished_at: seconds since 1970. machine: of its fingerprint what names it.
    """

    started_at: float
    finished_at: float
    machine: dict[str, str | int | None]
    commit: str | None
    epochs: dict[str, list[float]]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if set(self.epochs) != set(CLOCKS) or len(set(map(len, self.epochs.values()))) != 1:
            raise ValueError(f"expected {', '.join(CLOCKS)} of each epoch")
        for problem in misfits(self.machine, PLACE, "machine"):
            raise ValueError(problem)
        return self


class Trial(_Checked):
    """One training of a search. failed: why it gave no result, such as a loss that stopped being a number."""

    number: Whole
    round: Whole
    options: dict[str, int | float | str]
    result: Result | None
    failed: str | None
    made: Made

    @model_validator(mode="after")
    def _ended(self) -> Self:
        if (self.result is None) == (self.failed is None):
            raise ValueError("expected a result, or why there is none")
        if self.result and len(self.result.epochs[LOSSES[0]]) != len(self.made.epochs[CLOCKS[0]]):
            raise ValueError("expected losses and seconds of the same epochs")
        return self


class Search(_Checked):
    """inputs: what decides the trials, as `digit_vae.search.inputs` tells it; trials: in the order of their numbers."""

    inputs: dict[str, Any]
    trials: list[Trial]

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        numbers = [trial.number for trial in self.trials]
        if numbers != sorted(set(numbers)):
            raise ValueError("expected each trial once, in the order of their numbers")
        for problem in self._misfits() if self.trials else ():
            raise ValueError(problem)
        return self

    def _misfits(self) -> Iterator[str]:
        """What of the inputs has another shape, then what of the trials' options is not what these vary."""
        yield from misfits(self.inputs, INPUTS, "inputs")
        space = {option: its for option, its in self.inputs["search.space"].items() if its is not None}
        for trial in self.trials:
            if trial.options.keys() != space.keys() or not space.keys() <= self.inputs["train"].keys():
                yield f"expected trial {trial.number} to have the options of search.space and of train"
            for option, its in space.items():
                if isinstance(its, list) and trial.options.get(option) not in its:
                    yield f"expected {option} of trial {trial.number} to be among those of search.space"

    def with_trial(self, trial: Trial) -> "Search":
        return Search(inputs=self.inputs, trials=sorted([*self.trials, trial], key=lambda each: each.number))


NOTHING = Search(inputs={}, trials=[])


def read_search() -> Search:
    """The record; without trials where there is no file. Raises: UserError when it is damaged."""
    if not SEARCH.exists():
        return NOTHING
    content = read_json(SEARCH, made_by=ANEW_COMMAND)
    try:
        return Search.model_validate(content)
    except ValidationError as error:
        raise damaged(SEARCH, ANEW_COMMAND, first_misfit(error)) from error


def write_search(search: Search) -> None:
    """Writes the record whole or not at all. Raises: UserError."""
    trials = ",\n".join(json.dumps(each.model_dump(), sort_keys=True, allow_nan=False) for each in search.trials)
    inputs = json.dumps(search.inputs, sort_keys=True, allow_nan=False)
    write_text(SEARCH, f'{{"inputs": {inputs},\n"trials": [{chr(10) * bool(trials)}{trials}\n]}}\n')


def trial_run(number: int, fold: str, seed: int) -> Run:
    """A trial as a run, which no study declares: its name is that of its checkpoint, and in MLflow."""
    return Run(f"search_{number:02}", fold, seed, "search", "beyond")


def best(trials: Sequence[Trial]) -> Trial | None:
    """The trial with the least loss, of equal ones the first; None where none has a result."""
    ended = [trial for trial in trials if trial.result]
    return min(ended, key=lambda trial: (loss_of(trial), trial.number)) if ended else None


def loss_of(trial: Trial) -> float:
    """The loss of a trial; infinite without a result."""
    return trial.result.loss if trial.result else float("inf")


def result_of(history: Mapping[str, Any]) -> Result:
    """What is kept of a history.json."""
    epochs, health = history["epochs"], history["epochs"][-1]["health"]
    return Result(
        epochs={name: [epoch[name] for epoch in epochs] for name in LOSSES},
        collapsed_dimensions=health["collapsed_dimensions"],
        dead_units=health["dead_units"],
    )


def made_of(timings: Mapping[str, Any], finished_at: float) -> Made:
    """What is kept of a timings.json, or of what there is of it at the start. Seconds are rounded to hundredths."""
    machine, epochs = timings["machine"], timings["epochs"]
    return Made(
        started_at=round(timings["started_at"], 2),
        finished_at=round(finished_at, 2),
        machine={key: machine[key] for key in ("cpu", "cores", "gpu", "device", "precision")},
        commit=timings["git_commit"],
        epochs={name: [round(epoch[name], 2) for epoch in epochs] for name in CLOCKS},
    )
