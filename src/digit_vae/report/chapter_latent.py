"""Page `latent`: what the latent spaces tell of the images, and what is generated from them."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from digit_vae.analysis.results import Json, Results, RunResult, at
from digit_vae.analysis.statistics import Spread, spread
from digit_vae.config.runs import Graph
from digit_vae.report.pages import Page
from digit_vae.report.sample_figures import digits_beside, shown_beside
from digit_vae.report.tables import Cell, Table, difference_tests, spread_of
from digit_vae.report.verdicts import Compared, Verdict

SECTIONS = ("latent", "quality")  # the second with labels only
TITLED = {  # the keys of the metrics that are no words
    "knn_accuracy": "kNN accuracy",
    "nmi": "NMI",
    "frechet": "Frechet distance",
    "mutual_information": "mutual information (nats)",
    "aggregate_divergence": "aggregate divergence (nats)",
    "log_density": "held-out log-density (nats)",
}


def page(results: Results, graph: Graph, compared: Sequence[Compared]) -> Page:
    beside = shown_beside(results, graph)
    first = results.runs[results.params.report.first_run] if graph == "paper" else None
    values = {
        "beside": beside if beside.runs else None,
        "first": first,
        "evaluate": results.params.evaluate,
        "latent_dim": results.params.train.latent_dim,
        "classifier": results.classifier,
        "dataset": results.dataset,
        "studies": [readings(each) for each in compared],
    }
    of_first = {"first_samples": samples_of(first, results.classifier)} if first and "quality" in first.metrics else {}
    return Page(values, tables(compared) | of_first, digits_beside(beside.runs))


def samples_of(result: RunResult, classifier: Json) -> Table:
    """What the classifier says of digits of prior and mixture, beside as many training images."""
    keys = ("confidence", "class_balance", "frechet", "precision", "recall")
    rows: list[tuple[Cell, ...]] = [
        (title, *(result.number("quality", section, key) for key in keys))
        for title, section in {"prior": "samples", "mixture": "mixture"}.items()
    ]
    real = [classifier.get(key, classifier.get(f"{key}_train")) for key in keys]
    header = map(_title, keys)
    return Table(("Images from", *header), (*rows, ("real images", *real)), digits=3)


def tables(compared: Iterable[Compared]) -> dict[str, Table]:
    """By file name, for each study and section: every number over the folds, and the differences with their tests."""
    made: dict[str, Table] = {}
    for each in compared:
        made |= {f"{each.name}_latent": latent(each)}
        made |= _of_images(each) if "quality" in sections(each) else {}
        for section in sections(each):
            found = {
                title: {name: at(its, (section, *path)) for name, its in each.others.items()}
                for title, path in titled(each, section).items()
            }
            made |= {f"{each.name}_{section}_differences": difference_tests(found, digits=3)}
    return made


def _of_images(compared: Compared) -> dict[str, Table]:
    """The numbers of digits from the mixture in a table of their own."""
    paths = titled(compared, "quality")
    mixture = {title: path for title, path in paths.items() if path[0] == "mixture"}
    others = {title: path for title, path in paths.items() if path[0] != "mixture"}
    return {
        f"{compared.name}_quality": _spreads(compared, "quality", others),
        f"{compared.name}_mixture": _spreads(compared, "quality", mixture),
    }


def sections(compared: Compared) -> list[str]:
    """The sections that the metrics of a study have."""
    return [section for section in SECTIONS if section in compared.variants[compared.against]]


def latent(compared: Compared) -> Table:
    """All numbers of the latent space, with what its dimensions are used for."""
    further = {
        name: (*kl_ends(runs_of(compared, name), "test"), spread_of(variant["test"]["active_units"]))
        for name, variant in compared.variants.items()
    }
    return _spreads(
        compared, "latent", titled(compared, "latent"), further, ("least KL", "greatest KL", "active units")
    )


def runs_of(compared: Compared, variant: str) -> list[RunResult]:
    """The runs that the study compares of a variant."""
    return [compared.study.runs[variant][pair] for pair in compared.study.pairs(variant)]


def kl_ends(runs: Iterable[RunResult], images: str) -> tuple[Spread, Spread]:
    """KL of the least and the most used latent dimension over the folds; which one that is differs from run to run."""
    used = [list(each.metrics[images]["kl_per_dimension"].values()) for each in runs]
    return spread([min(each) for each in used]), spread([max(each) for each in used])


def readings(compared: Compared) -> dict[str, object]:
    """What the template says of a study, by section of the metrics. apart: the numbers in which a variant differs, with
    what is said of each variant; same: those in which none does, with the smallest detectable difference.
    """
    verdicts = {
        section: {title: compared.verdicts(section, *path) for title, path in titled(compared, section).items()}
        for section in sections(compared)
    }
    differ = {
        section: [title for title, each in of.items() if any(verdict.outcome != "same" for verdict in each)]
        for section, of in verdicts.items()
    }
    return {
        "name": compared.name,
        "against": compared.against,
        "origins": compared.origins,
        "apart": {
            section: {title: verdicts[section][title] for title in differ[section]} for section in sections(compared)
        },
        "same": {
            section: {title: greatest_seen(of[title]) for title in of if title not in differ[section]}
            for section, of in verdicts.items()
        },
    }


def greatest_seen(verdicts: Iterable[Verdict]) -> float | None:
    """The least difference that is detectable in every variant; None where it is not known."""
    return max((each.detectable for each in verdicts if each.detectable is not None), default=None)


def titled(compared: Compared, section: str) -> dict[str, tuple[str, ...]]:
    """The ways to all numbers of one section of the metrics, by their titles."""
    paths = _paths(compared.variants[compared.against][section])
    return {": ".join(map(_title, path)): path for path in paths}


def _title(key: str) -> str:
    return TITLED.get(key, key).replace("_", " ")


def _spreads(
    compared: Compared,
    section: str,
    columns: Mapping[str, Sequence[str]],
    further: Mapping[str, Sequence[Cell]] = MappingProxyType({}),
    titles: Sequence[str] = (),
) -> Table:
    """Numbers of one section of the metrics, over the folds of each variant, and what stands `further` to them."""
    rows = [
        (name, *(spread_of(at(each[section], path)) for path in columns.values()), *further.get(name, ()))
        for name, each in compared.variants.items()
    ]
    return Table(("Variant", *columns, *titles), tuple(rows), digits=3)


def _paths(metrics: Json) -> list[tuple[str, ...]]:
    """The ways to all numbers over folds, which have a mean; not to the errors of their estimates."""
    if "mean" in metrics:
        return [()]
    return [(key, *path) for key, each in metrics.items() if not key.endswith("_error") for path in _paths(each)]
