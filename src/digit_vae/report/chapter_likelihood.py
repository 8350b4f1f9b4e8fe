"""Page `likelihood`: how likely the trained models find the test images.

Each of the two protocols has tables of its own, since their numbers measure different things.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from digit_vae.analysis.results import Json, Results, RunResult, at
from digit_vae.config.schema import FULL, Params
from digit_vae.report.pages import Page
from digit_vae.report.tables import Cell, Nats, Table, difference_tests
from digit_vae.report.verdicts import Compared

INTEGRAL = {"grey": "Log of the integral", "binarised": "log p(x)"}  # by protocol
PROTOCOLS = tuple(INTEGRAL)
BOUNDS = {f"IW bound, K = {k}": ("iw_bound", f"k{k}") for k in (1, 10, 100, 1000)}
Path = tuple[str, ...]


def page(results: Results, compared: Sequence[Compared]) -> Page:
    runs = list(results.runs.values())
    values = {
        "protocols": [_protocol(runs, compared, name) for name in PROTOCOLS],
        "evaluate": results.params.evaluate,
        "integral": any("log_likelihood" in likelihood(each, "grey") for each in runs),
        "unsettled": unsettled(results.params, runs),
    }
    return Page(values, tables(runs, compared))


def tables(runs: Sequence[RunResult], compared: Iterable[Compared]) -> dict[str, Table]:
    """By file name, for each protocol: each study's variants and their differences, and the runs on all images."""
    made: dict[str, Table] = {}
    full = on_full(runs)
    for protocol in PROTOCOLS:
        columns = known(of_all(runs, protocol), protocol)
        made |= {f"likelihood_{protocol}_runs": of_runs(full, protocol, columns)} if full else {}
        for each in compared:
            name = f"{each.name}_likelihood_{protocol}"
            columns = known(each.variants[each.against]["likelihood"][protocol], protocol)
            made |= {name: of_variants(each, protocol, columns)}
            made |= {f"{name}_differences": difference_tests(_differences(each, protocol, columns))}
    return made


def of_variants(compared: Compared, protocol: str, columns: Mapping[str, Path]) -> Table:
    """Mean and standard deviation over the folds of each variant."""
    rows = []
    for name, variant in compared.variants.items():
        leaves = [at(variant, ("likelihood", protocol, *path)) for path in columns.values()]
        rows.append((name, variant["folds"], *(Nats(leaf["mean"], leaf["std"], protocol) for leaf in leaves)))
    return Table(("Variant", "Folds", *columns), tuple(rows))


def of_runs(runs: Iterable[RunResult], protocol: str, columns: Mapping[str, Path]) -> Table:
    """Single runs, each number with the error of its estimate where that is known."""
    rows = [
        (each.name, *(_estimate(likelihood(each, protocol), path, protocol) for path in columns.values()))
        for each in runs
    ]
    return Table(("Run", *columns), tuple(rows))


def on_full(runs: Iterable[RunResult]) -> list[RunResult]:
    return [each for each in runs if each.run.split == FULL]


def likelihood(result: RunResult, protocol: str) -> Json:
    """What stage `evaluate` wrote of a run's likelihood by one protocol."""
    return dict(result.metrics["likelihood"][protocol])


def of_all(runs: Sequence[RunResult], protocol: str) -> Json:
    """The first run's, with the numbers that all have: without a latent plane there is no integral."""
    of = [likelihood(each, protocol) for each in runs]
    return {key: value for key, value in of[0].items() if all(key in each for each in of)}


def known(metrics: Json, protocol: str) -> dict[str, Path]:
    """The columns, and the ways to their numbers; of other latent dimensions than two there are only the bounds."""
    return {title: path for title, path in _columns(protocol).items() if path[0] in metrics}


def best_known(metrics: Json) -> Path:
    """The way to the best that is known of the log-likelihood: the integral, or else the tightest bound."""
    return ("log_likelihood",) if "log_likelihood" in metrics else ("iw_bound", "k1000")


def title_of(protocol: str, path: Path) -> str:
    """The column of the number that `path` leads to."""
    return next(title for title, its in _columns(protocol).items() if its == path)


def unsettled(params: Params, runs: Iterable[RunResult]) -> dict[str, float]:
    """The runs whose integral still changed by more than the tolerance, and by how much; mean over the protocols."""
    key = "log_likelihood_error"
    errors = {
        each.name: float(np.mean([likelihood(each, protocol).get(key, 0.0) for protocol in PROTOCOLS])) for each in runs
    }
    return {name: error for name, error in errors.items() if error > params.evaluate.plane_tolerance}


def greatest_errors(runs: Iterable[RunResult], protocol: str) -> dict[str, float | None]:
    """The errors of single runs, the greatest of all, in nats per image; None where there is no integral.

    integral, image: by how much the last doubling of the points changed the integral, in the mean over the images of a
    run and of a single image.
    """
    of = [likelihood(each, protocol) for each in runs]
    integrals = [each for each in of if "log_likelihood" in each]
    return {
        "elbo": max(each["elbo_error"] for each in of),
        "bound": max(error for each in of for error in each["iw_bound_error"].values()),
        "integral": max((each["log_likelihood_error"] for each in integrals), default=None),
        "image": max((each["log_likelihood_error_maximum"] for each in integrals), default=None),
    }


def of_study(compared: Compared, protocol: str) -> dict[str, object]:
    """What the template says of a study. gap: how far the ELBO of `against` is below the integral; bound: how far its
    bound with K = 1000 is from it; None where there is no integral.
    """
    of = {name: variant["likelihood"][protocol] for name, variant in compared.variants.items()}
    theirs = of[compared.against]
    path, integral = best_known(theirs), "log_likelihood" in theirs
    best = max(of, key=lambda name: float(at(of[name], path)["mean"]))
    verdicts = {each.variant: each for each in compared.verdicts("likelihood", protocol, *path)}
    return {
        "name": compared.name,
        "against": compared.against,
        "best": best,
        "best_mean": at(of[best], path)["mean"],
        "best_verdict": verdicts.pop(best, None),
        "others": list(verdicts.values()),
        "gap": theirs["inference_gap"]["mean"] if integral else None,
        "bound": theirs["iw_bound"]["k1000"]["mean"] - theirs["log_likelihood"]["mean"] if integral else None,
    }


def _protocol(runs: Sequence[RunResult], compared: Iterable[Compared], name: str) -> dict[str, object]:
    """What the template says of one protocol. full: the runs on all training images, by rising `measure`."""
    shared = of_all(runs, name)
    path = best_known(shared)
    return {
        "name": name,
        "entropy": shared["entropy_floor"],
        "measure": title_of(name, path),
        "errors": greatest_errors(runs, name),
        "studies": [of_study(each, name) for each in compared],
        "full": sorted((each.number("likelihood", name, *path), each.name) for each in on_full(runs)),
    }


def _columns(protocol: str) -> dict[str, Path]:
    return {"ELBO": ("elbo",), **BOUNDS, INTEGRAL[protocol]: ("log_likelihood",), "Inference gap": ("inference_gap",)}


def _differences(compared: Compared, protocol: str, columns: Mapping[str, Path]) -> dict[str, dict[str, Json]]:
    return {
        title: {name: at(each, ("likelihood", protocol, *path)) for name, each in compared.others.items()}
        for title, path in columns.items()
    }


def _estimate(metrics: Json, path: Path, protocol: str) -> Cell:
    first, *rest = path
    error = metrics.get(f"{first}_error")
    return Nats(at(metrics, path), error if error is None else at(error, rest), protocol)
