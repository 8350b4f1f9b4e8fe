"""The studies that compare variants on folds: each fold, the interval of the mean, and what is detectable."""

from digit_vae.analysis.results import at
from digit_vae.base.paths import comparisons
from digit_vae.config.runs import Graph
from digit_vae.report import chapter_folds
from digit_vae.report.tables import bootstrap_of, difference_of, signed
from digit_vae.report.verdicts import Compared
from digit_vae.site.chapters import Chapter, Numbers, sentences
from digit_vae.site.charts import Axis, Chart, Panel, Point, Rule, Series
from digit_vae.site.pages import Project

# Where a row has its marks: folds, the interval by the corrected test, the bootstrap's.
FOLDS, INTERVAL, BOOTSTRAP = 0.48, 0.68, 0.86


def chapters(project: Project) -> list[Chapter]:
    return [chapter(each, graph) for graph, studies in project.compared.items() for each in studies]


def chapter(compared: Compared, graph: Graph) -> Chapter:
    made = chapter_folds.tables([compared])
    captions = {
        compared.name: "Losses on the validation images of the folds",
        f"{compared.name}_by_fold": "Differences fold by fold, with their tests",
    }
    return Chapter(
        name=compared.name,
        short=compared.name.replace("_", " ").capitalize(),
        title=compared.study.question,
        text=sentences("folds", study=compared),
        charts={compared.name: (f"Differences from {compared.against}, in nats per image.", chart(compared))},
        numbers=[Numbers(graph, name, captions[name], table) for name, table in made.items()],
        sources=[comparisons(graph) / f"{compared.name}.json"],
    )


def chart(compared: Compared) -> Chart:
    """A panel for each loss, a row for each variant."""
    return Chart([panel(compared, key, title) for key, title in chapter_folds.PANELS.items()])


def panel(compared: Compared, key: str, title: str) -> Panel:
    names = list(compared.others)
    says = f"{chapter_folds.LOSSES[key]}: differences of {', '.join(names)} from {compared.against} on each fold"
    return Panel(says, Axis("difference (nats)"), Axis("", names), series(compared, key), title, rules=[Rule(0.0)])


def series(compared: Compared, key: str) -> list[Series]:
    folds, means, bootstrap = list[Point](), list[Point](), list[Point]()
    for row, (name, variant) in enumerate(compared.others.items()):
        titles = chapter_folds.fold_titles(compared.study.pairs(name))
        differences = compared.study.differences(name, "validation", key)
        folds += [
            Point(value, row + FOLDS, f"{name}, {title}: {signed(value)} nats")
            for title, value in zip(titles, differences, strict=True)
        ]
        metric = at(variant, ("validation", key))
        mean, low, high = difference_of(metric)
        means.append(_interval(name, "95 % interval", mean, low, high, row + INTERVAL))
        bootstrap.append(_interval(name, "bootstrap", mean, *bootstrap_of(metric), row + BOOTSTRAP))
    return [
        Series(folds, colour=0, legend="a fold", shape="ring"),
        Series(means, colour=1, shape="diamond", legend="mean, 95 % interval of the corrected test"),
        Series(bootstrap, colour=2, shape="diamond", legend="mean, bootstrap over folds (too narrow)", size=3),
    ]


def _interval(name: str, what: str, mean: float, low: float, high: float, y: float) -> Point:
    return Point(mean, y, f"{name}: {signed(mean)} nats\n{what} [{signed(low)}, {signed(high)}]", low, high)
