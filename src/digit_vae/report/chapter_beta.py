"""Page `beta`: how the weight of the KL trades reconstruction against the rate, over the folds."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from digit_vae.analysis.results import Results, RunResult, at
from digit_vae.analysis.statistics import spread
from digit_vae.model.units import UNITS
from digit_vae.report import chapter_folds, figures
from digit_vae.report.chapter_latent import kl_ends, runs_of
from digit_vae.report.chapter_likelihood import best_known, title_of
from digit_vae.report.pages import Page
from digit_vae.report.tables import Cell, Nats, Table, difference_of, spread_of
from digit_vae.report.verdicts import Compared
from digit_vae.training.health import COLLAPSED_NATS

STUDY, FULL_STUDY = "beta", "beta_full"
RATES = ("kl_loss", "reconstruction_loss")


@dataclass(frozen=True)
class Highest:
    """The beta with the highest mean of one number, and on how many of the folds it is the highest."""

    beta: float
    mean: float
    ahead: int
    folds: int


class Swept(NamedTuple):
    """One beta: its KL and reconstruction loss on each fold, and whether a dimension collapsed there; each (folds,)."""

    beta: float
    kl: np.ndarray
    reconstruction: np.ndarray
    collapsed: np.ndarray


@dataclass(frozen=True)
class End:
    """The least or the greatest beta: means over its folds. dead: hidden units, over the first 2,000 images."""

    beta: float
    kl: float
    reconstruction: float
    least_kl: float
    dead: float


def page(results: Results, compared: Compared | None) -> Page:
    """Without what a study says that is left out."""
    full = on_full(results)
    of_full = {"full": full, "full_left_out": results.left_out.get(FULL_STUDY)}
    full_tables = {"beta_full": full_table(full)} if full else {}
    if compared is None:
        return Page(of_full | {"study": None, "left_out": results.left_out.get(STUDY)}, full_tables)
    swept, way = betas(compared), likeliest(compared)
    paths = {"elbo": ("validation", "elbo"), "likelihood": way}
    values = of_full | {
        "study": compared,
        "first": end(compared, next(iter(swept))),
        "last": end(compared, list(swept)[-1]),
        "highest": {key: highest(compared, path) for key, path in paths.items()},
        "verdicts": {key: compared.verdicts(*path) for key, path in paths.items()}
        | {key: compared.verdicts("validation", key) for key in RATES},
        "measure": title_of("binarised", way[2:]),
        "base": swept[compared.against],
        "collapsed": {swept[name]: names for name in swept if (names := collapsed(compared, name))},
        "limit": COLLAPSED_NATS,
        "units": UNITS["hidden"],
        "left_out": None,
    }
    tables = {"beta_sweep": sweep(compared)} | chapter_folds.tables([compared]) | full_tables
    drawn = {"rate_distortion": figures.rate_distortion(points(compared))} | chapter_folds.pictures([compared])
    return Page(values, tables, drawn)


def on_full(results: Results) -> list[RunResult]:
    """The study's runs on all training images and the paper's first one, by rising beta; none where it is left out."""
    own = [each for each in results.runs.values() if each.run.study == FULL_STUDY]
    first = results.runs[results.params.report.first_run]
    return sorted([*own, first], key=lambda each: float(each.history["params"]["beta"])) if own else []


def full_table(runs: Sequence[RunResult]) -> Table:
    """Each run on the test images, at beta 1."""
    rows: list[tuple[Cell, ...]] = [
        (
            *(float(each.history["params"]["beta"]), each.name),
            *(each.number("test", key) for key in (*RATES, "elbo")),
            *_least_and_most(each),
            *(each.collapsed, int(each.number("test", "dead_units"))),
        )
        for each in runs
    ]
    header = ("Beta", "Run", "KL", "Recon. loss", "ELBO", "KL of the least used dimension")
    return Table((*header, "KL of the most used dimension", "Collapsed dimensions", "Dead hidden units"), tuple(rows))


def _least_and_most(run: RunResult) -> tuple[float, float]:
    used = list(run.metrics["test"]["kl_per_dimension"].values())
    return min(used), max(used)


def betas(compared: Compared) -> dict[str, float]:
    """The variants by rising beta."""
    found = {name: float(runs_of(compared, name)[0].history["params"]["beta"]) for name in compared.variants}
    return dict(sorted(found.items(), key=lambda item: item[1]))


def likeliest(compared: Compared) -> tuple[str, ...]:
    """The way to the best that is known of the log-likelihood of binarised images."""
    return ("likelihood", "binarised", *best_known(compared.variants[compared.against]["likelihood"]["binarised"]))


def sweep(compared: Compared) -> Table:
    """The sweep over beta on the validation images of the folds; the log-likelihood is that of the test images."""
    way, rows = likeliest(compared), []
    for name, beta in betas(compared).items():
        variant, runs = compared.variants[name], runs_of(compared, name)
        true = at(variant, way)
        rows.append(
            (
                beta,
                name,
                variant["folds"],
                *(spread_of(variant["validation"][key]) for key in (*RATES, "elbo")),
                None if name == compared.against else difference_of(variant["validation"]["elbo"]),
                *kl_ends(runs, "validation"),
                Nats(true["mean"], true["std"], "binarised"),
                spread([each.collapsed for each in runs]),
                spread([each.dead_units for each in runs]),
            )
        )
    header = ("Beta", "Variant", "Folds", "KL", "Recon. loss", "ELBO", "ELBO, difference")
    dimensions = ("KL of the least used dimension", "KL of the most used dimension")
    measured = f"{title_of('binarised', way[2:])} (binarised), test images"
    return Table(
        (*header, *dimensions, measured, "Collapsed dimensions", "Dead hidden units, first 2,000 images"), tuple(rows)
    )


def points(compared: Compared) -> list[Swept]:
    """By rising beta."""
    kl, reconstruction = (
        {name: np.array(compared.study.values(name, "validation", key)) for name in compared.variants} for key in RATES
    )
    ill = {name: np.array([each.collapsed > 0 for each in runs_of(compared, name)]) for name in compared.variants}
    return [Swept(beta, kl[name], reconstruction[name], ill[name]) for name, beta in betas(compared).items()]


def highest(compared: Compared, path: Iterable[str]) -> Highest:
    keys, swept = tuple(path), betas(compared)
    folds = np.array([compared.study.values(name, *keys) for name in swept])
    best = int(folds.mean(axis=1).argmax())
    ahead = int((folds.argmax(axis=0) == best).sum())
    return Highest(list(swept.values())[best], float(folds[best].mean()), ahead, folds.shape[1])


def end(compared: Compared, name: str) -> End:
    validation, runs = compared.variants[name]["validation"], runs_of(compared, name)
    return End(
        beta=betas(compared)[name],
        kl=validation["kl_loss"]["mean"],
        reconstruction=validation["reconstruction_loss"]["mean"],
        least_kl=kl_ends(runs, "validation")[0].mean,
        dead=float(np.mean([each.dead_units for each in runs])),
    )


def collapsed(compared: Compared, name: str) -> list[str]:
    """The runs of a variant that ended with a collapsed dimension."""
    return [each.name for each in runs_of(compared, name) if each.collapsed]
