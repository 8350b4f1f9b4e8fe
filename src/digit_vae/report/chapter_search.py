"""The section of page `recipe` on the search of a better recipe, made of reports/beyond/search.json."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate

from digit_vae.config.schema import Params
from digit_vae.report import figures
from digit_vae.report.tables import Table
from digit_vae.search.record import Search, Trial, best, loss_of, read_search
from digit_vae.search.space import Value
from digit_vae.speed.records import machine_name

SHOWN = 10  # trials in the table of the page
LAYER = "hidden"


@dataclass(frozen=True)
class Searched:
    """What the template says of a search. fold: whose validation images judge; wanted: how many trials it is to have.

    first: the variants that it began with, each with its loss (None: without a result); drawn: trials at random, these
    among them. options: of the best trial, what it changes, from what to what. variant: the variant with the best
    trial's params (None: there is none). machines: their names.
    """

    fold: str
    seed: int
    trials: int
    wanted: int
    drawn: int
    failed: int
    hours: float
    best: Trial
    loss: float
    first: dict[str, float | None]
    options: dict[str, tuple[object, object]]
    variant: str | None
    machines: tuple[str, ...]
    shown: int


def section(params: Params) -> tuple[Searched, dict[str, Table], dict[str, figures.Figure]] | None:
    """What the page says of the search, its tables and its figure; None where no trial has a result."""
    search = read_search()
    if (chosen := best(search.trials)) is None:
        return None
    tables = {"search": table(search.trials), "search_best": table(ranked(search.trials)[:SHOWN])}
    return searched(search, chosen, params), tables, {"search": figure(search)}


def searched(search: Search, chosen: Trial, params: Params) -> Searched:
    inputs, trials, train = search.inputs, search.trials, search.inputs["train"]
    by_number = {trial.number: trial for trial in trials}
    first = {name: by_number.get(number) for number, name in enumerate(params.search.first)}
    return Searched(
        fold=inputs["search.fold"],
        seed=inputs["search.seed"],
        trials=len(trials),
        wanted=max(params.search.trials, len(trials)),
        drawn=sum(trial.round < inputs["search.startup_rounds"] for trial in trials),
        failed=sum(trial.result is None for trial in trials),
        hours=sum(sum(trial.made.epochs["train_seconds"]) for trial in trials) / 3600,
        best=chosen,
        loss=loss_of(chosen),
        first={name: trial.result.loss if trial and trial.result else None for name, trial in first.items()},
        options={key: (train[key], value) for key, value in chosen.options.items() if value != train[key]},
        variant=_variant(params, train | chosen.options),
        machines=tuple(dict.fromkeys(machine_name(trial.made.machine) for trial in trials)),
        shown=min(SHOWN, sum(trial.result is not None for trial in trials)),
    )


def ranked(trials: Sequence[Trial]) -> list[Trial]:
    """Those with a result, the least loss first."""
    return sorted((trial for trial in trials if trial.result), key=lambda trial: (loss_of(trial), trial.number))


def table(trials: Sequence[Trial]) -> Table:
    """A row for each trial; without a result the last cells are empty."""
    options = list(trials[0].options)
    header = ("Trial", "Round", *options, "Validation loss", "KL", "Dead hidden units", "Collapsed dimensions")
    return Table(header, tuple((each.number, each.round, *_values(each, options), *_ended(each)) for each in trials))


def figure(search: Search) -> figures.Figure:
    ended = [trial for trial in search.trials if trial.result]
    losses = [loss_of(trial) for trial in ended]
    space = {option: its for option, its in search.inputs["search.space"].items() if its is not None}
    choices = {option: its for option, its in space.items() if isinstance(its, list)}
    options = {option: [_place(trial.options[option], choices.get(option)) for trial in ended] for option in space}
    named = {option: [str(each) for each in its] for option, its in choices.items()}
    logarithmic = [option for option, its in space.items() if option not in choices and its.get("log")]
    drawn = sum(trial.round < search.inputs["search.startup_rounds"] for trial in search.trials)
    numbers = [trial.number for trial in ended]
    return figures.search(numbers, losses, list(accumulate(losses, min)), options, named, logarithmic, drawn)


def _place(value: Value, choices: Sequence[Value] | None) -> float:
    """The number that a value is, or its place among the choices."""
    return float(value) if choices is None else choices.index(value)


def _values(trial: Trial, options: Sequence[str]) -> tuple[str, ...]:
    """As they are: numbers of other sizes than losses."""
    return tuple(f"{value:g}" if isinstance(value := trial.options[each], float) else str(value) for each in options)


def _ended(trial: Trial) -> tuple[float | int | None, ...]:
    if (result := trial.result) is None:
        return (None,) * 4
    return (result.loss, result.kl, result.dead_units[LAYER], result.collapsed_dimensions)


def _variant(params: Params, wanted: Mapping[str, object]) -> str | None:
    train = asdict(params.train)
    return next((name for name, options in params.variants.items() if train | dict(options) == wanted), None)
