"""More epochs: loss, dead units and the least used latent dimension of the long runs, epoch by epoch."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from digit_vae.analysis.results import RunResult
from digit_vae.model.units import UNITS
from digit_vae.report import chapter_longer
from digit_vae.report.tables import typeset
from digit_vae.site.chapters import Chapter, Numbers, sentences
from digit_vae.site.charts import Axis, Chart, Panel, Point, Series
from digit_vae.site.pages import Project

NAME = chapter_longer.STUDY
COLOURS = (1, 2, 3, 4, 6)
CURVES: Mapping[str, tuple[str, Callable[[Mapping[str, Any]], float]]] = {
    "Test loss": ("nats", lambda epoch: epoch["val_loss"]),
    "Dead hidden units": (f"of {UNITS['hidden']}", lambda epoch: epoch["health"]["dead_units"]["hidden"]),
    "Least used dimension": ("KL (nats)", lambda epoch: min(epoch["health"]["kl_per_dimension"].values())),
}


def chapters(project: Project) -> list[Chapter]:
    """None at all where no long run has results."""
    long = chapter_longer.long_runs(project.results)
    return [chapter([(each, chapter_longer.short_run(project.results, each)) for each in long])] if long else []


def chapter(runs: Sequence[tuple[RunResult, RunResult | None]]) -> Chapter:
    """runs: each long one with the short one of its seed, where there is one."""
    found = [chapter_longer.longer(long, short) for long, short in runs]
    text = sentences(NAME, runs=found, units=UNITS["hidden"])
    table = Numbers("beyond", NAME, "The long runs beside the short ones", chapter_longer.table(found))
    caption = "A line is a run, dashed where it has fewer epochs. A dot is an epoch."
    sources = dict.fromkeys(run.run.files.history for pair in runs for run in pair if run)
    return Chapter(NAME, "More epochs", "More epochs", text, {NAME: (caption, chart(runs))}, [table], list(sources))


def chart(runs: Sequence[tuple[RunResult, RunResult | None]]) -> Chart:
    names = ", ".join(long.name for long, _ in runs)
    return Chart(
        [
            Panel(
                f"{title} of {names} after every epoch",
                Axis("epoch", whole=True),
                Axis(unit),
                series(runs, title),
                title,
            )
            for title, (unit, _) in CURVES.items()
        ]
    )


def series(runs: Sequence[tuple[RunResult, RunResult | None]], title: str) -> list[Series]:
    """A run has one colour with the short one of its seed."""
    return [
        Series(_points(run, title), COLOURS[place % len(COLOURS)], "line", legend=run.name, dashed=run is not pair[0])
        for place, pair in enumerate(runs)
        for run in pair
        if run
    ]


def _points(run: RunResult, title: str) -> list[Point]:
    _, value = CURVES[title]
    return [
        Point(
            int(epoch["epoch"]), value(epoch), f"{run.name}, epoch {epoch['epoch']}\n{title}: {typeset(value(epoch))}"
        )
        for epoch in run.epochs
    ]
