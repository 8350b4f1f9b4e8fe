"""Page `longer`: what more epochs change, by the runs that there are."""

from collections.abc import Iterable
from dataclasses import dataclass

from digit_vae.analysis.results import LeftOut, Results, RunResult
from digit_vae.config.schema import FULL
from digit_vae.model.units import UNITS
from digit_vae.report import figures
from digit_vae.report.origins import origins
from digit_vae.report.pages import Page
from digit_vae.report.paper import paper_curves, paper_losses
from digit_vae.report.tables import Table

STUDY, IMPROVED = "longer", "longer_improved"
NATS = 1.0  # by so much the validation loss rises after its least value before it is said to turn


@dataclass(frozen=True)
class Longer:
    """A long run, beside the one of the same seed that differs from it in the number of epochs alone (None: no such).

    best: the epoch of the least validation loss, and that loss. falls: whether the training loss is lower at the end
    than then. asleep: the epochs after which a dimension was collapsed. dead: hidden units that are dead after the last
    epoch of the short run (None: no such), and of this one.
    """

    name: str
    epochs: int
    best: tuple[int, float]
    falls: bool
    last: float
    gap: float
    asleep: list[int]
    dead: tuple[int | None, int]
    short: RunResult | None

    @property
    def turns(self) -> bool:
        """Whether the validation loss ends clearly above its least value."""
        return self.last - self.best[1] > NATS

    @property
    def lost(self) -> bool:
        """Whether a dimension was still collapsed when the short run had ended, as in the paper's GPU run."""
        return self.short is not None and len(self.short.epochs) in self.asleep

    @property
    def gained(self) -> float | None:
        """Validation loss of the short run less that of this one."""
        return self.short.loss - self.last if self.short else None


def page(results: Results) -> Page:
    """Without figure and table where no long run has results."""
    lacking = {name: why for name in (STUDY, IMPROVED) if (why := _lacking(results, name)) is not None}
    runs = long_runs(results)
    if not runs:
        return Page({"runs": [], "lacking": lacking})
    shown = {each.run.variant: [run for run in runs if run.run.variant == each.run.variant] for each in runs}
    short = [each for run in runs if (each := short_run(results, run)) is not None]
    shown |= {"the same, short": short} if short else {}  # at most three labels
    found = [longer(each, short_run(results, each)) for each in runs]
    values = {
        "runs": found,
        "lacking": lacking,
        "units": UNITS["hidden"],
        "paper": paper_losses(),
        "origins": origins([*runs, *short]),
    }
    drawn = figures.health(
        {name: [list(each.epochs) for each in its] for name, its in shown.items()},
        paper_curves(),
        units=UNITS["hidden"],
    )
    return Page(values, {"longer": table(found)}, {"longer": drawn})


def long_runs(results: Results) -> list[RunResult]:
    return [each for each in results.runs.values() if each.run.study in (STUDY, IMPROVED)]


def short_run(results: Results, long: RunResult) -> RunResult | None:
    """The run on the same split with the same seed and params, but for the number of epochs."""
    asked = {**long.history["params"], "epochs": results.params.train.epochs}
    same = (each for each in results.runs.values() if each.history["params"] == asked and each.run.split == FULL)
    return next(same, None)


def longer(long: RunResult, short: RunResult | None) -> Longer:
    losses = [float(epoch["val_loss"]) for epoch in long.epochs]
    best = min(range(len(losses)), key=losses.__getitem__)
    return Longer(
        name=long.name,
        epochs=len(losses),
        best=(best + 1, losses[best]),
        falls=long.epochs[-1]["loss"] < long.epochs[best]["loss"],
        last=losses[-1],
        gap=losses[-1] - float(long.epochs[-1]["loss"]),
        asleep=[int(epoch["epoch"]) for epoch in long.epochs if epoch["health"]["collapsed_dimensions"]],
        dead=(short.dead_units if short else None, long.dead_units),
        short=short,
    )


def table(runs: Iterable[Longer]) -> Table:
    rows = tuple(
        (
            *(each.name, each.epochs, each.short.loss if each.short else None, each.last, each.best[1], each.best[0]),
            *(each.gap, *each.dead),
        )
        for each in runs
    )
    losses = ("Loss, short run", "Loss, last epoch", "Least loss", "in epoch", "Validation less training")
    return Table(("Run", "Epochs", *losses, "Dead hidden units, short", "Dead hidden units, last"), rows)


def _lacking(results: Results, study: str) -> LeftOut | None:
    return results.left_out.get(study) or results.partial.get(study)
