"""Health: dead units and collapsed latent dimensions of every run."""

from collections.abc import Sequence

from digit_vae.analysis.results import RunResult
from digit_vae.model.units import UNITS
from digit_vae.report import chapter_runs
from digit_vae.report.tables import typeset
from digit_vae.site.chapters import Chapter, Numbers, sentences
from digit_vae.site.charts import Axis, Chart, Panel, Point, Series
from digit_vae.site.pages import Project
from digit_vae.training.health import COLLAPSED_NATS

NAME = "health"
LOWEST, STEP = 0.42, 0.115  # where a row has the first of several runs with the same count, and the next
STACKED, BESIDE = 5, 0.18  # runs of one count above each other, and how far to the right further ones stand


def chapters(project: Project) -> list[Chapter]:
    runs = list(project.results.runs.values())
    ill = [each.name for each in runs if each.collapsed]
    text = sentences(NAME, runs=len(runs), ill=ill, limit=COLLAPSED_NATS, units=UNITS["hidden"])
    numbers = [
        Numbers(
            "beyond",
            "health",
            "Dead units by variant: median [least, greatest]",
            chapter_runs.health(project.results, runs),
        ),
        Numbers("beyond", "health_runs", "Health of each run", chapter_runs.health_runs(project.results, runs)),
    ]
    caption = "Dead units of the encoder's hidden layer after the last epoch. Dots of one count stand close together."
    sources = [each.run.files.history for each in runs]
    return [Chapter(NAME, "Health", "Health of the trainings", text, {NAME: (caption, chart(runs))}, numbers, sources)]


def chart(runs: Sequence[RunResult]) -> Chart:
    by_variant = chapter_runs.by_variant(runs)
    awake, asleep = list[Point](), list[Point]()
    for row, its in enumerate(by_variant.values()):
        seen: dict[int, int] = {}
        for each in its:
            place = seen[each.dead_units] = seen.get(each.dead_units, -1) + 1
            y = row + LOWEST + STEP * (place % STACKED)
            (asleep if each.collapsed else awake).append(_point(each, BESIDE * (place // STACKED), y))
    says = f"Dead hidden units of each run, by variant: {', '.join(by_variant)}"
    series = [
        Series(awake, legend="all latent dimensions in use"),
        *([Series(asleep, colour=2, shape="diamond", legend="a latent dimension collapsed")] if asleep else []),
    ]
    return Chart(
        [Panel(says, Axis(f"dead of {UNITS['hidden']} hidden units", whole=True), Axis("", list(by_variant)), series)]
    )


def _point(result: RunResult, aside: float, y: float) -> Point:
    least = min(result.health["kl_per_dimension"].values())
    says = f"{result.name}: {result.dead_units} dead, least used dimension {typeset(least)} nats"
    return Point(result.dead_units + aside, y, says)
