"""How likely the trained models find the test images, in tables and words: one of each for each protocol, since numbers
of different protocols measure different things.
"""

from collections.abc import Iterable, Mapping, Sequence

from digit_vae.params import BASELINE, FULL
from digit_vae.results import Results, at
from digit_vae.tables import Nats, Table, signed, typeset
from digit_vae.wording import count, folded, in_words, table_files, told_apart

PROTOCOLS = {
    "grey": "Grey pixels: values in [0, 1] stand in the cross-entropy as if they were probabilities, as in the "
    "training. That is the probability of no image; the entropy of the pixels themselves, {floor} nats, is the most "
    "that any model could reach.",
    "binarised": "Binarised pixels: those of at least 0.5 are 1, all others 0. This is a true log-likelihood, of black "
    "and white images; no model here was trained on such.",
}
BOUNDS = {f"IW bound, K = {k}": ("iw_bound", f"k{k}") for k in (1, 10, 100, 1000)}
COLUMNS = {"ELBO": ("elbo",), **BOUNDS, "log p(x)": ("log_likelihood",), "Inference gap": ("inference_gap",)}


def tables(results: Results) -> dict[str, Table]:
    """The tables by file name, as far as there is something in them."""
    made = {}
    for protocol in PROTOCOLS:
        made |= {f"likelihood_{protocol}": of_variants(results, protocol)} if results.variants else {}
        made |= {f"likelihood_{protocol}_runs": of_runs(results, protocol)} if _on_full(results, protocol) else {}
    return made


def of_variants(results: Results, protocol: str) -> Table:
    """Mean and standard deviation over the folds of each variant."""
    columns = _known(_runs(results, protocol).values())
    rows = [
        (name, variant["folds"], *(_over_folds(variant, protocol, path) for path in columns.values()))
        for name, variant in results.variants.items()
    ]
    return Table(("Variant", "Folds", *columns), tuple(rows))


def of_runs(results: Results, protocol: str) -> Table:
    """The runs on all training images, each number with the error of its estimate where that is known."""
    of_run = _on_full(results, protocol)
    columns = _known(of_run.values())
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
        f"{count(asked.elbo_samples, 'latent draw')} an image, its KL is exact. The importance-weighted bound (Burda "
        "et al. 2016) rises with K from the ELBO towards log p(x); by how much is estimated from "
        f"{count(asked.bound_images, 'image')}, hence its greater error. log p(x) is the integral over the latent "
        f"plane by quadrature, whose points are doubled until it changes by at most {asked.plane_tolerance:g} nats in "
        f"the mean, but no more than {count(asked.plane_refinements, 'time')}. The inference gap is what the ELBO is "
        "below it: how far the encoder's Gaussian is from the true posterior. Numbers of the two protocols measure "
        "different things and share no column. Numbers: `likelihood` in `reports/metrics/runs/<run>.json` and, over "
        "folds, in `reports/metrics/variants/<variant>.json`.",
    ]


def _protocol(results: Results, made: Mapping[str, Table], protocol: str) -> list[str]:
    floor = next(iter(_runs(results, protocol).values()))["entropy_floor"]
    over_folds, of_full = (f"likelihood_{protocol}{what}" for what in ("", "_runs"))
    parts = [f"### {protocol.capitalize()}", PROTOCOLS[protocol].format(floor=typeset(-floor))]
    if over_folds in made:
        parts += [made[over_folds].markdown(), _reading(results, protocol)]
    if of_full in made:
        parts += [folded("Runs on all training images, ± error of the estimate", made[of_full])]
        parts += [_best_run(_on_full(results, protocol))]
    return [*parts, f"As tables: {table_files(*(name for name in (over_folds, of_full) if name in made))}."]


def _reading(results: Results, protocol: str) -> str:
    """The best variant, the others, the gap of the baseline and the tightness of its bound, the errors."""
    of = {name: variant["likelihood"][protocol] for name, variant in results.variants.items()}
    path = best_known(next(iter(of.values())))
    best = max(of, key=lambda name: at(of[name], path)["mean"])
    said = f"Mean ± standard deviation over folds. Best is `{best}` with {signed(at(of[best], path)['mean'])}"
    said += f", {in_words(at(of[best], path))}. " if best in results.compared else ". "
    if others := {name: at(of[name], path) for name in results.compared if name != best}:
        said += f"The others: {told_apart(others)}. "
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


def _best_run(of_run: Mapping[str, Mapping]) -> str:
    path = best_known(next(iter(of_run.values())))
    values = {name: at(each, path) for name, each in of_run.items()}
    best, worst = max(values, key=values.get), min(values, key=values.get)
    title = next(title for title, its in COLUMNS.items() if its == path)
    return (
        f"Of {count(len(values), 'run')} on all training images `{best}` has the highest {title}, "
        f"{signed(values[best])}, and `{worst}` the lowest, {signed(values[worst])}."
    )


def _runs(results: Results, protocol: str) -> dict[str, Mapping]:
    return {name: metrics["likelihood"][protocol] for name, metrics in results.metrics.items()}


def _on_full(results: Results, protocol: str) -> dict[str, Mapping]:
    return {name: each for name, each in _runs(results, protocol).items() if name.endswith(f"-{FULL}")}


def _known(of_runs: Iterable[Mapping]) -> dict[str, Sequence[str]]:
    """The columns; of other latent dimensions than two there are only the bounds."""
    first = next(iter(of_runs))
    return {title: path for title, path in COLUMNS.items() if path[0] in first}


def _over_folds(variant: Mapping, protocol: str, path: Sequence[str]) -> Nats:
    leaf = at(variant["likelihood"][protocol], path)
    return Nats(leaf["mean"], leaf["std"], protocol)


def _estimate(metrics: Mapping, path: Sequence[str], protocol: str) -> Nats:
    first, *rest = path
    error = metrics.get(f"{first}_error")
    return Nats(at(metrics, path), error if error is None else at(error, rest), protocol)
