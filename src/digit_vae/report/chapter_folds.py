"""The studies that compare variants over folds: page `ablation`, and a section of the pages about other studies."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from digit_vae.analysis.comparison import Pair
from digit_vae.analysis.results import Json, RunResult, at
from digit_vae.report import figures
from digit_vae.report.origins import Origins, origins
from digit_vae.report.pages import Page
from digit_vae.report.tables import Cell, Interval, Probability, Table, difference_of, spread_of
from digit_vae.report.verdicts import Compared, Verdict

LOSSES = {"reconstruction_loss": "Recon. loss", "kl_loss": "KL", "elbo": "ELBO"}
PANELS = {"reconstruction_loss": "recon. loss (← better)", "kl_loss": "KL", "elbo": "ELBO (better →)"}


class Rest(NamedTuple):
    """The runs of some folds in which a latent dimension has collapsed; how many other folds there are, and between
    which ends their differences in ELBO are.
    """

    ill: list[str]
    folds: int
    low: float
    high: float


@dataclass(frozen=True)
class FoldSection:
    """What the templates say of a study. folds: how many runs, on folds with their seeds, the tests are made of."""

    name: str
    question: str
    against: str
    folds: int
    parts: int
    seeds: list[int]
    verdicts: dict[str, list[Verdict]]
    rest: dict[str, Rest | None]
    origins: Origins


def page(compared: Iterable[Compared], questions: dict[str, str]) -> Page:
    studies = list(compared)
    sections = [section(each, questions[each.name]) for each in studies]
    made, drawn = tables(studies), pictures(studies)
    return Page({"sections": sections}, made, drawn)


def section(compared: Compared, question: str) -> FoldSection:
    study = compared.study
    pairs = study.pairs(study.against)
    return FoldSection(
        name=study.name,
        question=question,
        against=study.against,
        folds=len(pairs),
        parts=study.parts,
        seeds=sorted({seed for _, seed in pairs}),
        verdicts={key: compared.verdicts(("validation", key)) for key in LOSSES},
        rest={name: without_collapsed(compared, name) for name in study.compared},
        origins=origins(each for runs in study.runs.values() for each in runs.values()),
    )


def tables(compared: Iterable[Compared]) -> dict[str, Table]:
    """By file name: each study's losses, and the same fold by fold."""
    made: dict[str, Table] = {}
    for each in compared:
        made |= {each.name: losses(each), f"{each.name}_by_fold": fold_by_fold(each)}
    return made


def pictures(compared: Iterable[Compared]) -> dict[str, figures.Figure]:
    return {each.name: figures.ablation(_panels(each)) for each in compared}


def losses(compared: Compared) -> Table:
    """Each variant on the validation images of its folds."""
    rows = []
    for name, variant in compared.variants.items():
        metrics, cells = variant["validation"], list[Cell]()
        for key in LOSSES:
            cells += [spread_of(metrics[key]), None if name == compared.against else difference_of(metrics[key])]
        units = (spread_of(metrics[f"{key}_units"]) for key in ("active", "dead"))
        rows.append((name, variant["folds"], *cells, *units))
    header = [title for name in LOSSES.values() for title in (name, f"{name}, difference")]
    return Table(("Variant", "Folds", *header, "Active units", "Dead units"), tuple(rows))


def fold_by_fold(compared: Compared) -> Table:
    """A row for each loss and compared variant: its difference on each fold, and the tests of it."""
    pairs = compared.study.pairs(compared.against)
    rows = []
    for key, title in LOSSES.items():
        for name, variant in compared.others.items():
            metric = at(variant, ("validation", key))
            of_pair = dict(zip(compared.study.pairs(name), _differences(compared, name, key), strict=True))
            tests = (Probability(metric["p"]), Probability(metric["p_holm"]), metric.get("hedges_g"))
            bootstrap = Interval(metric["bootstrap_low"], metric["bootstrap_high"])
            rows.append((name, title, *map(of_pair.get, pairs), difference_of(metric), *tests, bootstrap))
    titles = fold_titles(pairs)
    return Table(("Variant", "Metric", *titles, "Difference", "p", "p (Holm)", "Hedges' g", "Bootstrap"), tuple(rows))


def fold_titles(pairs: Iterable[Pair]) -> list[str]:
    """ "Fold 2"; of several seeds "Fold 2, seed 1"."""
    found = list(pairs)
    several = len({seed for _, seed in found}) > 1
    return [f"{split.replace('fold', 'Fold ')}{f', seed {seed}' if several else ''}" for split, seed in found]


def without_collapsed(compared: Compared, variant: str) -> Rest | None:
    """How the ELBO differs on the folds where neither run has a collapsed dimension; None where that is all or none."""
    study = compared.study
    runs = [[study.runs[name][pair] for name in (variant, study.against)] for pair in study.pairs(variant)]
    ill = [_collapsed(pair) for pair in runs]
    differences = zip(_differences(compared, variant, "elbo"), ill, strict=True)
    rest = [difference for difference, names in differences if not names]
    if len(rest) in (0, len(runs)):
        return None
    return Rest([name for names in ill for name in names], len(rest), min(rest), max(rest))


def _collapsed(results: Iterable[RunResult]) -> list[str]:
    return [each.name for each in results if each.collapsed]


def _differences(compared: Compared, variant: str, key: str) -> list[float]:
    return compared.study.differences(variant, "validation", key)


def _panels(compared: Compared) -> dict[str, dict[str, figures.Differences]]:
    return {
        title: {name: _of_figure(compared, name, key, each) for name, each in compared.others.items()}
        for key, title in PANELS.items()
    }


def _of_figure(compared: Compared, name: str, key: str, variant: Json) -> figures.Differences:
    metric = at(variant, ("validation", key))
    bootstrap = (metric["bootstrap_low"], metric["bootstrap_high"])
    return _differences(compared, name, key), difference_of(metric), bootstrap
