"""The search of a better recipe: the loss of every trial, and the least so far."""

from itertools import accumulate

from digit_vae.base.paths import SEARCH
from digit_vae.report import chapter_search
from digit_vae.report.tables import typeset
from digit_vae.search.record import Trial, loss_of, read_search
from digit_vae.site.chapters import Chapter, Numbers, sentences
from digit_vae.site.charts import Axis, Chart, Panel, Point, Series
from digit_vae.site.pages import Project

NAME = "search"
OUT_OF_SIGHT = 15.0  # nats above the least loss: a trial that diverged says nothing about the others


def chapters(project: Project) -> list[Chapter]:
    """None at all where no trial has a result."""
    if (section := chapter_search.section(project.params)) is None:
        return []
    found, tables, _ = section
    captions = {"search": "Every trial, in their order", "search_best": "The best trials"}
    numbers = [Numbers("beyond", name, captions[name], table) for name, table in tables.items()]
    caption = "A dot is a trial: its loss on the validation images of one fold. The line is the least so far."
    charts = {NAME: (caption, chart([trial for trial in read_search().trials if trial.result]))}
    return [
        Chapter(NAME, "Search", "A search of a better recipe", sentences(NAME, search=found), charts, numbers, [SEARCH])
    ]


def chart(trials: list[Trial]) -> Chart:
    """trials: those with a result, by their numbers."""
    least = list(accumulate(map(loss_of, trials), min))
    seen = [trial for trial in trials if loss_of(trial) <= least[-1] + OUT_OF_SIGHT]
    dots = Series([Point(trial.number, loss_of(trial), says(trial)) for trial in seen], legend="a trial")
    line = [
        Point(trial.number, loss, f"least loss after trial {trial.number}: {typeset(loss)} nats")
        for trial, loss in zip(trials, least, strict=True)
        if loss <= least[-1] + OUT_OF_SIGHT
    ]
    title = f"Validation loss of {len(seen)} of {len(trials)} trials in their order, and the least so far"
    panel = Panel(
        title,
        Axis("trial", whole=True),
        Axis("validation loss (nats)"),
        [Series(line, 2, "line", legend="least so far"), dots],
    )
    return Chart([panel])


def says(trial: Trial) -> str:
    options = "\n".join(
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in trial.options.items()
    )
    return f"trial {trial.number}: {typeset(loss_of(trial))} nats\n{options}"
