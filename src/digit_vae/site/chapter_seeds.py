"""Seeds: how far apart runs end that differ in nothing else, and the paper's two runs among them."""

from collections.abc import Sequence
from pathlib import Path

from digit_vae.analysis.results import FEWEST_SEEDS, RunResult
from digit_vae.analysis.statistics import spread, trend
from digit_vae.base.paths import BENCHMARKS
from digit_vae.config.schema import BASELINE
from digit_vae.model.units import UNITS
from digit_vae.report import chapter_recipe, chapter_seeds
from digit_vae.report.tables import typeset
from digit_vae.site.chapters import Chapter, Numbers, sentences
from digit_vae.site.charts import Axis, Band, Chart, Panel, Point, Rule, Series
from digit_vae.site.pages import Project
from digit_vae.speed.records import read_benchmarks

NAME = chapter_seeds.STUDY
ON_GPU = f"{BASELINE}, GPU"
MIDDLE = 0.6  # where a row has its dots


def chapters(project: Project) -> list[Chapter]:
    """None at all where the study is left out, or has too few seeds to say something."""
    runs = chapter_seeds.baseline_seeds(project.results)
    return [chapter(project, runs)] if len(runs) >= FEWEST_SEEDS else []


def chapter(project: Project, runs: Sequence[RunResult]) -> Chapter:
    losses = [each.loss for each in runs]
    found = chapter_seeds.points(runs)
    paper = chapter_seeds.among(losses)
    text = sentences(
        NAME,
        losses=losses,
        spread=spread(losses),
        paper=paper,
        device=on_both_devices(runs),
        trend=trend([point.dead_units for point in found], [point.loss for point in found]),
        units=UNITS["hidden"],
    )
    charts = {
        "seeds": (
            "Loss on the test images after the last epoch, nats per image; a dot is a run.",
            by_seed(project, runs),
        ),
        "dead_units": (
            "Dead units of the encoder's hidden layer and loss (\u2212ELBO) on the test images.",
            by_dead_units(runs),
        ),
    }
    numbers = [
        Numbers("beyond", "seeds", "The seeds and the paper's two runs, by rising loss", chapter_seeds.seeds(runs)),
        Numbers("beyond", "dead_units", "Loss by the number of dead hidden units", chapter_seeds.dead_units(found)),
    ]
    sources = [each.run.files.history for each in runs]
    if better := chapter_seeds.recipe_runs(project.results):
        numbers.append(
            Numbers("beyond", "recipe_seeds", "The seeds of each recipe", chapter_recipe.seeds(project.results))
        )
        sources += [each.run.files.history for its in better.values() for each in its]
    if pairs := on_both_devices(runs).pairs:
        numbers.append(
            Numbers("beyond", "devices", "The same seeds on a CPU and on a GPU", chapter_seeds.devices(pairs))
        )
        sources += benchmarks_of(pairs)
    return Chapter(NAME, "Seeds", "Seeds: the paper's two runs among ours", text, charts, numbers, sources)


def by_seed(project: Project, runs: Sequence[RunResult]) -> Chart:
    """A row for the baseline, one for each recipe and one for the baseline's seeds on a GPU, where these are
    there, with the paper's two runs as lines.
    """
    paper = chapter_seeds.among([each.loss for each in runs])
    rows = {BASELINE: list(runs)} | chapter_seeds.recipe_runs(project.results)
    series = [
        Series(
            [Point(each.loss, row + MIDDLE, f"{each.name}: {typeset(each.loss)} nats") for each in its], colour=row + 1
        )
        for row, its in enumerate(rows.values())
    ]
    if pairs := on_both_devices(runs).pairs:
        rows[ON_GPU] = []
        dots = [(f"{pair.cpu.name} on a GPU", pair.losses[1]) for pair in pairs]
        row = len(series)
        series.append(
            Series([Point(loss, row + MIDDLE, f"{name}: {typeset(loss)} nats") for name, loss in dots], colour=row + 1)
        )
    rules = [Rule(each.loss, f"paper, {each.label}: {typeset(each.loss)}") for each in paper]
    band = Band(paper[0].place.low, paper[0].place.high, f"where one more seed of {BASELINE} is expected (95\u00a0%)")
    says = f"Loss on the test images of each seed of {', '.join(rows)}, and of the paper's two runs"
    return Chart([Panel(says, Axis("test loss (nats)"), Axis("", list(rows)), series, rules=rules, band=band)])


def benchmarks_of(pairs: Sequence[chapter_seeds.Pair]) -> list[Path]:
    """The committed files that have these repetitions on a GPU."""
    repetitions = [pair.gpu for pair in pairs]
    recorded = read_benchmarks(BENCHMARKS)
    return [
        BENCHMARKS / f"{name}.json" for name, its in recorded.items() if any(run in repetitions for run in its["runs"])
    ]


def on_both_devices(runs: Sequence[RunResult]) -> chapter_seeds.Device:
    """The committed benchmarks on a GPU with the same seeds."""
    return chapter_seeds.on_both_devices(runs, read_benchmarks(BENCHMARKS).values())


def by_dead_units(runs: Sequence[RunResult]) -> Chart:
    points = [
        Point(dead, loss, f"{each.name}: {dead} of {UNITS['hidden']} units dead, loss {typeset(loss)}")
        for each, (dead, loss) in zip(runs, chapter_seeds.points(runs), strict=True)
    ]
    says = "Loss against the number of dead hidden units, a dot for each seed"
    return Chart([Panel(says, Axis("dead hidden units", whole=True), Axis("\u2212ELBO (nats)"), [Series(points)])])
