"""Likelihood: from the ELBO to the integral over the latent plane, by each of the two protocols for pixels."""

from collections.abc import Mapping

from digit_vae.analysis.results import at
from digit_vae.base.paths import comparisons
from digit_vae.report import chapter_likelihood
from digit_vae.report.tables import typeset
from digit_vae.site.chapters import Chapter, Numbers, sentences
from digit_vae.site.charts import Axis, Chart, Panel, Point, Series
from digit_vae.site.pages import Project, by_variant, fold_studies

MIDDLE = 0.6  # where a row has its marks
TITLES = {"grey": "Likelihood of grey pixels", "binarised": "Likelihood of black and white pixels"}
SHORT = {"grey": "Likelihood, grey", "binarised": "Likelihood, black and white"}
STEPS = ("elbo", "iw_bound", "log_likelihood")


def chapters(project: Project) -> list[Chapter]:
    return (
        [chapter(project, protocol) for protocol in chapter_likelihood.PROTOCOLS] if any(fold_studies(project)) else []
    )


def chapter(project: Project, protocol: str) -> Chapter:
    studies = list(fold_studies(project))
    columns = chapter_likelihood.known(
        next(iter(by_variant(fold_studies(project), "likelihood", protocol).values())), protocol
    )
    numbers = [
        Numbers(
            graph,
            f"{each.name}_likelihood_{protocol}",
            f"{each.study.question} Mean \u00b1 standard deviation over the folds",
            chapter_likelihood.of_variants(each, protocol, columns),
        )
        for graph, each in studies
    ]
    name = f"likelihood_{protocol}"
    text = sentences(
        "likelihood", protocol=protocol, studies=[chapter_likelihood.of_study(each, protocol) for _, each in studies]
    )
    caption = "Test images, mean over the folds of each variant, nats per image; further right is better."
    sources = [comparisons(graph) / f"{each.name}.json" for graph, each in studies]
    return Chapter(
        name, SHORT[protocol], TITLES[protocol], text, {name: (caption, chart(project, protocol))}, numbers, sources
    )


def chart(project: Project, protocol: str) -> Chart:
    """A row for each variant: the ELBO, the bounds that rise with K, and the integral."""
    known = by_variant(fold_studies(project), "likelihood", protocol)
    columns = chapter_likelihood.known(next(iter(known.values())), protocol)
    of: dict[str, list[Point]] = {path[0]: [] for path in columns.values() if path[0] in STEPS}
    for row, (name, numbers) in enumerate(known.items()):
        for title, path in columns.items():
            if path[0] in STEPS and path != ("iw_bound", "k1"):  # which is the ELBO
                of[path[0]].append(_point(name, title, at(numbers, path), row + MIDDLE))
    looks = {
        "elbo": Series(of["elbo"], colour=2, legend="ELBO"),
        "iw_bound": Series(
            of["iw_bound"], colour=0, shape="ring", legend="importance-weighted bound, K = 10, 100, 1000"
        ),
    }
    if "log_likelihood" in of:
        integral = chapter_likelihood.INTEGRAL[protocol]
        looks["log_likelihood"] = Series(
            of["log_likelihood"], shape="diamond", legend=integral[0].lower() + integral[1:]
        )
    says = f"ELBO, bounds and integral of {', '.join(known)}"
    return Chart([Panel(says, Axis("nats per image"), Axis("", list(known)), list(looks.values()))])


def _point(name: str, title: str, number: Mapping[str, float], y: float) -> Point:
    return Point(number["mean"], y, f"{name}: {title} {typeset(number['mean'])} \u00b1 {typeset(number['std'])}")
