"""Page `beta`: how the weight of the KL trades reconstruction against the rate, over the folds."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from digit_vae.analysis.results import Results, at
from digit_vae.analysis.statistics import spread
from digit_vae.model.units import UNITS
from digit_vae.report import chapter_folds, figures
from digit_vae.report.chapter_latent import kl_ends, runs_of
from digit_vae.report.chapter_likelihood import best_known, title_of
from digit_vae.report.pages import Page
from digit_vae.report.tables import Nats, Table, difference_of, spread_of
from digit_vae.report.verdicts import Compared
from digit_vae.training.health import COLLAPSED_NATS

STUDY = "beta"
RATES = ("kl_loss", "reconstruction_loss")


@dataclass(frozen=True)
class Highest:
    """The beta with the highest mean of one number, and on how many of the folds it is the highest."""

    beta: float
    mean: float
    ahead: int
    folds: int


@dataclass(frozen=True)
class End:
    """The least or the greatest beta: means over its folds. dead: hidden units, over the first 2,000 images."""

    beta: float
    kl: float
    reconstruction: float
    least_kl: float
    dead: float


def page(results: Results, compared: Compared | None) -> Page:
    """Without figures and tables where the study is left out."""
    if compared is None:
        return Page({"study": None, "left_out": results.left_out.get(STUDY)})
    swept, way = betas(compared), likeliest(compared)
    paths = {"elbo": ("validation", "elbo"), "likelihood": way}
    values = {
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
    tables = {"beta_sweep": sweep(compared)} | chapter_folds.tables([compared])
    drawn = {"rate_distortion": figures.rate_distortion(points(compared))} | chapter_folds.pictures([compared])
    return Page(values, tables, drawn)


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


def points(compared: Compared) -> list[tuple[float, np.ndarray, np.ndarray]]:
    """By rising beta its KL and reconstruction loss on each fold."""
    kl, reconstruction = (
        {name: np.array(compared.study.values(name, "validation", key)) for name in compared.variants} for key in RATES
    )
    return [(beta, kl[name], reconstruction[name]) for name, beta in betas(compared).items()]


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
