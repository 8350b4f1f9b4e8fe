"""What repetitions of the folds can tell: the smallest detectable difference and the margin, planned by simulation."""

from collections.abc import Mapping
from typing import Any

from digit_vae.analysis.repetitions import STUDY
from digit_vae.base.paths import POWER
from digit_vae.report.chapter_repetitions import plan_table, read_plan
from digit_vae.report.tables import typeset
from digit_vae.site.chapters import Chapter, Numbers, sentences
from digit_vae.site.charts import Axis, Chart, Panel, Point, Rule, Series, Shape
from digit_vae.site.pages import Project

NAME = "power"
TITLES = {"difference": "Smallest detectable difference", "margin": "Margin of equivalence that can be shown"}
SHAPES: tuple[Shape, ...] = ("ring", "diamond")  # of one repetition and of all


def chapters(project: Project) -> list[Chapter]:
    """None at all where no repetitions are declared, or nothing was there to plan them from."""
    if STUDY not in project.params.studies or not POWER.exists():
        return []
    planned = read_plan()
    return [chapter(planned, project.params.compare.margin_nats)] if planned["variants"] else []


def chapter(planned: Mapping[str, Any], margin: float) -> Chapter:
    return Chapter(
        name=NAME,
        short="Power",
        title="How small a difference can repetitions of the folds tell?",
        text=sentences(NAME, plan=planned, margin=margin),
        charts={NAME: ("In nats of the ELBO, simulated before the repetitions were trained.", chart(planned, margin))},
        numbers=[Numbers("beyond", NAME, "What one and all repetitions can tell", plan_table(planned))],
        sources=[POWER],
    )


def chart(planned: Mapping[str, Any], margin: float) -> Chart:
    """A panel for each of the two numbers, a row for each variant."""
    return Chart(
        [panel(planned["variants"], "difference"), panel(planned["variants"], "margin", Rule(margin, "margin set"))]
    )


def panel(variants: Mapping[str, Any], key: str, *rules: Rule) -> Panel:
    says = f"{TITLES[key]} of {', '.join(variants)}, with one repetition and with all"
    counts = next(iter(variants.values()))["repetitions"]
    found = [series(variants, key, count, shape) for count, shape in zip(counts, SHAPES, strict=True)]
    return Panel(says, Axis("nats"), Axis("", list(variants)), found, TITLES[key], rules)


def series(variants: Mapping[str, Any], key: str, count: str, shape: Shape) -> Series:
    """The numbers of all variants with so many repetitions."""
    legend = f"{count} repetition{'' if count == '1' else 's'}"
    points = [
        Point(number, row + 0.5, f"{name}, {legend}: {typeset(number)} nats")
        for row, (name, its) in enumerate(variants.items())
        for number in [its["repetitions"][count][key]]
    ]
    return Series(points, shape=shape, legend=legend)
