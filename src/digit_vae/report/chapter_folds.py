"""The studies that compare variants over folds: page `ablation`, and a section of the pages about other studies."""

from collections.abc import Iterable, Sequence

from digit_vae.analysis.fold_comparison import Pair
from digit_vae.analysis.results import Json, at
from digit_vae.report import figures
from digit_vae.report.pages import Page
from digit_vae.report.tables import Cell, Table, bootstrap_of, difference_of, spread_of, tests_of
from digit_vae.report.verdicts import Compared

LOSSES = {"reconstruction_loss": "Recon. loss", "kl_loss": "KL", "elbo": "ELBO"}
PANELS = {"reconstruction_loss": "recon. loss (← better)", "kl_loss": "KL", "elbo": "ELBO (better →)"}


def page(compared: Sequence[Compared]) -> Page:
    return Page({"studies": compared}, tables(compared), pictures(compared))


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
    pairs = compared.pairs
    rows = []
    for key, title in LOSSES.items():
        for name, variant in compared.others.items():
            metric = at(variant, ("validation", key))
            of_pair = dict(zip(compared.study.pairs(name), _differences(compared, name, key), strict=True))
            tests = (difference_of(metric), *tests_of(metric), bootstrap_of(metric))
            rows.append((name, title, *map(of_pair.get, pairs), *tests))
    titles = fold_titles(pairs)
    return Table(("Variant", "Metric", *titles, "Difference", "p", "p (Holm)", "Hedges' g", "Bootstrap"), tuple(rows))


def fold_titles(pairs: Iterable[Pair]) -> list[str]:
    """ "Fold 2"; of several seeds "Fold 2, seed 1"."""
    found = list(pairs)
    several = len({seed for _, seed in found}) > 1
    return [f"{split.replace('fold', 'Fold ')}{f', seed {seed}' if several else ''}" for split, seed in found]


def _differences(compared: Compared, variant: str, key: str) -> list[float]:
    return compared.study.differences(variant, "validation", key)


def _panels(compared: Compared) -> dict[str, dict[str, figures.Differences]]:
    return {
        title: {name: _of_figure(compared, name, key, each) for name, each in compared.others.items()}
        for key, title in PANELS.items()
    }


def _of_figure(compared: Compared, name: str, key: str, variant: Json) -> figures.Differences:
    metric = at(variant, ("validation", key))
    ill = compared.study.collapsed(name)
    return _differences(compared, name, key), ill, difference_of(metric), bootstrap_of(metric)
