"""Samples: what the classifier says of generated images, by the density that they are drawn from, and of variants."""

from collections.abc import Mapping

from digit_vae.analysis.results import Json
from digit_vae.base.paths import comparisons
from digit_vae.report import chapter_latent
from digit_vae.report.tables import typeset
from digit_vae.site.chapters import Chapter, Numbers, sentences
from digit_vae.site.charts import Axis, Chart, Panel, Point, Series
from digit_vae.site.pages import Project, by_variant, fold_studies

NAME = "samples"
# Of a section of the metrics: the look of its marks, and where they stand in a row.
LOOKS = {
    "samples": (Series([], colour=2, legend="images drawn from the prior"), 0.46),
    "mixture": (Series([], colour=1, shape="diamond", legend="drawn from a mixture fitted to the latents"), 0.64),
    "reconstructions": (Series([], colour=0, shape="ring", legend="reconstructions of test images"), 0.82),
}
MEASURES = {
    "frechet": "Fréchet distance (\u2190 better)",
    "precision": "precision (better \u2192)",
    "recall": "recall (better \u2192)",
}


def chapters(project: Project) -> list[Chapter]:
    """None at all where no study compares variants, or without labels."""
    studies = list(fold_studies(project))
    if not studies or not project.results.dataset.labelled:
        return []
    variants = by_variant(studies, "quality")
    caption = "Mean over the folds of each variant, \u00b1 standard deviation."
    charts = {NAME: (caption, chart(variants))}
    numbers = [
        Numbers(
            graph,
            f"{each.name}_quality",
            f"{each.study.question} Mean \u00b1 standard deviation over the folds",
            chapter_latent.tables([each])[f"{each.name}_quality"],
        )
        for graph, each in studies
    ]
    results = project.results
    text = sentences(NAME, classifier=results.classifier, dataset=results.dataset)
    sources = [comparisons(graph) / f"{each.name}.json" for graph, each in studies]
    return [Chapter(NAME, "Samples", "What is generated, as a classifier sees it", text, charts, numbers, sources)]


def chart(variants: Mapping[str, Json]) -> Chart:
    """A panel for each number that is known, a row for each variant."""
    known = [key for key in MEASURES if any(key in its["samples"] for its in variants.values())]
    return Chart([panel(variants, key) for key in known])


def panel(variants: Mapping[str, Json], key: str) -> Panel:
    says = f"{MEASURES[key]} of generated images of {', '.join(variants)}"
    found = [_series(variants, section, key) for section in LOOKS]
    title = MEASURES[key].partition(" (")[0]
    return Panel(says, Axis(title), Axis("", list(variants)), [each for each in found if each.points], MEASURES[key])


def _series(variants: Mapping[str, Json], section: str, key: str) -> Series:
    look, place = LOOKS[section]
    points = [
        _point(f"{name}, {look.legend}", its[section][key], row + place)
        for row, (name, its) in enumerate(variants.items())
        if key in its.get(section, {})
    ]
    return Series(points, look.colour, shape=look.shape, legend=look.legend)


def _point(name: str, number: Mapping[str, float], y: float) -> Point:
    mean, std = number["mean"], number["std"]
    return Point(mean, y, f"{name}: {typeset(mean)} \u00b1 {typeset(std)}", mean - std, mean + std)
