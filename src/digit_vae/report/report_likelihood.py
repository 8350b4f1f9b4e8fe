"""How likely the trained models find the test images, in tables and words: one of each for each protocol, since numbers
of different protocols measure different things.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from digit_vae.config.params import BASELINE, FULL
from digit_vae.analysis.results import Results, at
from digit_vae.report.tables import Nats, Table, difference_tests, signed, typeset
from digit_vae.report.wording import count, folded, in_words, table_files, told_apart

PROTOCOLS = {
    "grey": "Grey pixels: values in [0, 1] stand in the cross-entropy as if they were probabilities, as in the "
    "training. That is the probability of no image, and its integral over the latent space no likelihood; the pixels' "
    "own entropy is {entropy} nats, so that no model can reach more than {floor}.",
    "binarised": "Binarised pixels: those of at least 0.5 are 1, all others 0. This is a true log-likelihood, of black "
    "and white images; no model here was trained on such.",
}
INTEGRAL = {"grey": "Log of the integral", "binarised": "log p(x)"}
BOUNDS = {f"IW bound, K = {k}": ("iw_bound", f"k{k}") for k in (1, 10, 100, 1000)}


def tables(results: Results) -> dict[str, Table]:
    """The tables by file name, as far as there is something in them."""
    made = {}
    for protocol in PROTOCOLS:
        made |= {f"likelihood_{protocol}": of_variants(results, protocol)} if results.variants else {}
        made |= {f"likelihood_{protocol}_runs": of_runs(results, protocol)} if _on_full(results, protocol) else {}
        if results.compared:
            made |= {f"likelihood_{protocol}_differences": difference_tests(_compared(results, protocol))}
    return made


def of_variants(results: Results, protocol: str) -> Table:
    """Mean and standard deviation over the folds of each variant."""
    columns = _known(results, protocol)
    rows = [
        (name, variant["folds"], *(_over_folds(variant, protocol, path) for path in columns.values()))
        for name, variant in results.variants.items()
    ]
    return Table(("Variant", "Folds", *columns), tuple(rows))


def of_runs(results: Results, protocol: str) -> Table:
    """The runs on all training images, each number with the error of its estimate where that is known."""
    of_run = _on_full(results, protocol)
    columns = _known(results, protocol)
    rows = [(name, *(_estimate(each, path, protocol) for path in columns.values())) for name, each in of_run.items()]
    return Table(("Run", *columns), tuple(rows))


def best_known(metrics: Mapping) -> tuple[str, ...]:
    """The way to the best that is known of the log-likelihood: the integral, or else the tightest bound."""
    return ("log_likelihood",) if "log_likelihood" in metrics else ("iw_bound", "k1000")


def section(results: Results, made: Mapping[str, Table]) -> list[str]:
    """Their text."""
    asked = results.params.evaluate
    return [
        "## Likelihood of the test images",
        *(part for protocol in PROTOCOLS for part in _protocol(results, made, protocol)),
        "All in nats per image, higher is better. The reconstruction term of the ELBO is a mean over "
        f"{count(asked.samples, 'latent draw')} an image, its KL is exact. The importance-weighted bound (Burda "
        "et al. 2016) is the ELBO at K = 1 and rises with K towards the integral, slowly where the encoder's Gaussian "
        "leaves out a part of the true posterior that its draws then seldom reach; by how much it rises is estimated "
        f"from {count(asked.bound_images, 'image')}, hence its greater error, itself an estimate.",
        _integral(results) if "log_likelihood" in next(iter(_runs(results, "grey").values())) else "",
        "Numbers of the two protocols measure different things and share no column. All folds are measured on the same "
        "test images: deviations and p-values are about other trainings, not about other test images. Formulas and "
        "sources: [likelihood.py](../src/digit_vae/likelihood.py). Numbers: `likelihood` in "
        "`reports/metrics/runs/<run>.json` and, over folds, in `reports/metrics/variants/<variant>.json`.",
    ]


def _integral(results: Results) -> str:
    """What the quadrature is, and what stands beside it."""
    asked = results.params.evaluate
    return (
        f"The integral over the latent plane is by quadrature, whose points are doubled until it changes by at most "
        f"{asked.plane_tolerance:g} nats in the mean over images and protocols, but no more than "
        f"{count(asked.plane_refinements, 'time')}{_unsettled(results)}. The inference gap is what the ELBO is below "
        "it: how far the encoder's Gaussian is from the true posterior."
    )


def _unsettled(results: Results) -> str:
    """The runs whose integral still changed by more than the tolerance."""
    errors = {
        name: np.mean([metrics["likelihood"][protocol].get("log_likelihood_error", 0.0) for protocol in PROTOCOLS])
        for name, metrics in results.metrics.items()
    }
    limit = results.params.evaluate.plane_tolerance
    left = [f"`{name}` ({error:.3f})" for name, error in errors.items() if error > limit]
    return f", after which it still changed by more in {', '.join(left)}" if left else ""


def _protocol(results: Results, made: Mapping[str, Table], protocol: str) -> list[str]:
    entropy = next(iter(_runs(results, protocol).values()))["entropy_floor"]
    over_folds, of_full, tests = (f"likelihood_{protocol}{what}" for what in ("", "_runs", "_differences"))
    parts = [
        f"### {protocol.capitalize()}",
        PROTOCOLS[protocol].format(entropy=typeset(entropy), floor=typeset(-entropy)),
    ]
    if over_folds in made:
        parts += [made[over_folds].markdown(), _reading(results, protocol)]
    if tests in made:
        parts += [folded("Every difference and its tests", made[tests])]
    if of_full in made:
        parts += [folded("Runs on all training images, ± error of the estimate", made[of_full])]
        parts += [_best_run(_on_full(results, protocol), protocol)]
    return [*parts, f"As tables: {table_files(*(name for name in (over_folds, tests, of_full) if name in made))}."]


def _reading(results: Results, protocol: str) -> str:
    """The best variant, the others, the gap of the baseline and the tightness of its bound, the errors."""
    of = {name: variant["likelihood"][protocol] for name, variant in results.variants.items()}
    path = best_known(next(iter(of.values())))
    best = max(of, key=lambda name: at(of[name], path)["mean"])
    said = f"Mean ± standard deviation over folds. Highest is `{best}` with {signed(at(of[best], path)['mean'])}"
    said += f", {in_words(at(of[best], path))}. " if best in results.compared else ". "
    if others := {name: at(of[name], path) for name in results.compared if name != best}:
        said += f"Of the others: {told_apart(others)}. "
    baseline = of.get(BASELINE, {})
    if "log_likelihood" in baseline:
        bound = baseline["iw_bound"]["k1000"]["mean"] - baseline["log_likelihood"]["mean"]
        said += f"Of `{BASELINE}` the ELBO is {baseline['inference_gap']['mean']:.2f} nats below the integral, and "
        said += f"the bound with K = 1000 {signed(bound)} nats from it. "
    return said + _errors(_runs(results, protocol).values())


def _errors(of_runs: Iterable[Mapping]) -> str:
    """The greatest over all runs."""
    elbo = max(each["elbo_error"] for each in of_runs)
    bound = max(error for each in of_runs for error in each["iw_bound_error"].values())
    said = f"Standard errors of a single run: at most {elbo:.2g} nats of the ELBO and {bound:.2g} of a bound"
    if integrals := [each for each in of_runs if "log_likelihood" in each]:
        mean = max(each["log_likelihood_error"] for each in integrals)
        single = max(each["log_likelihood_error_maximum"] for each in integrals)
        said += f"; the last doublings of its points changed the integral by at most {mean:.2g} in the mean over the "
        said += f"images of a run, and by {single:.2g} for a single image"
    return f"{said}."


def _best_run(of_run: Mapping[str, Mapping], protocol: str) -> str:
    path = best_known(next(iter(of_run.values())))
    values = {name: at(each, path) for name, each in of_run.items()}
    best, worst = max(values, key=values.get), min(values, key=values.get)
    title = title_of(protocol, path)
    return (
        f"Of {count(len(values), 'run')} on all training images `{best}` has the highest {title}, "
        f"{signed(values[best])}, and `{worst}` the lowest, {signed(values[worst])}."
    )


def _runs(results: Results, protocol: str) -> dict[str, Mapping]:
    return {name: metrics["likelihood"][protocol] for name, metrics in results.metrics.items()}


def _on_full(results: Results, protocol: str) -> dict[str, Mapping]:
    return {name: each for name, each in _runs(results, protocol).items() if name.endswith(f"-{FULL}")}


def _compared(results: Results, protocol: str) -> dict[str, dict[str, Mapping]]:
    """What stage `compare` wrote of each column's number, by column and compared variant."""
    return {
        title: {name: at(results.variants[name]["likelihood"][protocol], path) for name in results.compared}
        for title, path in _known(results, protocol).items()
    }


def title_of(protocol: str, path: Sequence[str]) -> str:
    """The column of the number that `path` leads to."""
    return next(title for title, its in _columns(protocol).items() if its == path)


def _columns(protocol: str) -> dict[str, tuple[str, ...]]:
    return {"ELBO": ("elbo",), **BOUNDS, INTEGRAL[protocol]: ("log_likelihood",), "Inference gap": ("inference_gap",)}


def _known(results: Results, protocol: str) -> dict[str, tuple[str, ...]]:
    """The columns; of other latent dimensions than two there are only the bounds."""
    first = next(iter(_runs(results, protocol).values()))
    return {title: path for title, path in _columns(protocol).items() if path[0] in first}


def _over_folds(variant: Mapping, protocol: str, path: Sequence[str]) -> Nats:
    leaf = at(variant["likelihood"][protocol], path)
    return Nats(leaf["mean"], leaf["std"], protocol)


def _estimate(metrics: Mapping, path: Sequence[str], protocol: str) -> Nats:
    first, *rest = path
    error = metrics.get(f"{first}_error")
    return Nats(at(metrics, path), error if error is None else at(error, rest), protocol)
