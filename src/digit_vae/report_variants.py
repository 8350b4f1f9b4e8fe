"""What the variants are worth, in tables and words: differences over the folds, likelihood, latent space, beta."""

from collections.abc import Mapping, Sequence

import numpy as np

from digit_vae.params import BASELINE, FULL, runs
from digit_vae.results import Results
from digit_vae.statistics import Spread, spread
from digit_vae.tables import Cell, Interval, Nats, Probability, Table, signed, typeset
from digit_vae.wording import (
    count,
    detected,
    difference,
    folded,
    image,
    in_words,
    metrics_files,
    quoted,
    table_files,
    told_apart,
)

LOSSES = {"reconstruction_loss": "Recon. loss", "kl_loss": "KL", "elbo": "ELBO"}
PROTOCOLS = {
    "grey": "Grey pixels: values in [0, 1] stand in the cross-entropy as if they were probabilities, as in the "
    "training. That is the probability of no image; the entropy of the pixels themselves, {floor} nats, is the most "
    "that any model could reach.",
    "binarised": "Binarised pixels: those of at least 0.5 are 1, all others 0. This is a true log-likelihood, of black "
    "and white images; no model here was trained on such.",
}
BOUNDS = {f"IW bound, K = {k}": ("iw_bound", f"k{k}") for k in (1, 10, 100, 1000)}
TRUE, TIGHTEST = ("log p(x)", ("log_likelihood",)), ("bound", ("iw_bound", "k1000"))
LIKELIHOOD = {"ELBO": ("elbo",), **BOUNDS, "log p(x)": ("log_likelihood",), "Inference gap": ("inference_gap",)}
SECTIONS = {
    "latent": "What z_mean of the test images tells of their digits, which the model never saw: accuracy of the 10 "
    "nearest training images (knn) and of a linear classifier (probe), both fitted on training images; agreement of "
    "clusters with the digits (nmi, 0 to 1) and how compact these are (silhouette, at most 1). The KL term in nats is "
    "the sum of what z tells of the image (mutual information) and of the distance of all codes together from the "
    "prior (aggregate divergence). Beside it the KL of the least and of the most used latent dimension, and how many "
    "are active.",
    "quality": "A classifier that was trained on the labelled images judges digits decoded from the prior (samples) "
    "and from z_mean of the test images (reconstructions): how sure it is (confidence), how evenly it sees the ten "
    "digits (class balance, 1 is even), whether it sees the right one (agreement), and how far their features are from "
    "those of the test images (frechet, 0 is equal).",
}


def tables(results: Results) -> dict[str, Table]:
    """The tables by file name, as far as there is something in them."""
    made = {}
    if results.variants:
        made["ablation"] = ablation(results.variants)
    if results.compared:
        made["fold_differences"] = fold_differences(results)
    for protocol in PROTOCOLS:
        made |= likelihoods(results, protocol)
    made |= {name: spreads(results, name) for name in SECTIONS if _has(results.variants, name)}
    if results.betas():
        made["beta"] = betas(results)
    return made


def sections(results: Results, made: Mapping[str, Table]) -> list[list[str]]:
    """Their text."""
    return [
        _ablation(results, made),
        _likelihood(results, made),
        _latent(results, made),
        _beta(results, made),
    ]


def ablation(variants: Mapping[str, Mapping]) -> Table:
    """Each variant over its validation folds; `variants` holds what stage `compare` wrote, by variant."""
    units = {"Active units": "active_units", "Dead units": "dead_units"}
    rows = []
    for name, variant in variants.items():
        metrics = variant["validation"]
        compared = [cell for key in LOSSES for cell in (_spread(metrics[key]), _difference(metrics[key]))]
        rows.append((name, variant["folds"], *compared, *(_spread(metrics[key]) for key in units.values())))
    header = [title for name in LOSSES.values() for title in (name, f"{name}, difference")]
    return Table(("Variant", "Folds", *header, *units), tuple(rows))


def fold_differences(results: Results) -> Table:
    """A row for each loss and compared variant: its difference from the baseline on each fold, and the tests of it."""
    rows = []
    for key, title in LOSSES.items():
        for name, folds in results.fold_differences(key).items():
            metric = results.variants[name]["validation"][key]
            tests = (Probability(metric["p"]), Probability(metric["p_holm"]), metric.get("hedges_g"))
            bootstrap = Interval(metric["bootstrap_low"], metric["bootstrap_high"])
            rows.append((name, title, *folds.tolist(), difference(metric), *tests, bootstrap))
    numbers = (f"Fold {fold}" for fold in range(results.params.preprocess.folds))
    return Table(("Variant", "Metric", *numbers, "Difference", "p", "p (Holm)", "Hedges' g", "Bootstrap"), tuple(rows))


def likelihoods(results: Results, protocol: str) -> dict[str, Table]:
    """Log-likelihoods of the test images under one protocol: of the variants over their folds, and of the runs on
    `full`, where a deviation is the error of the estimate.
    """
    columns = {title: path for title, path in LIKELIHOOD.items() if _has(_likelihoods(results, protocol), *path)}
    if not columns:
        return {}
    made = {}
    if results.variants:
        of_variants = {name: each["likelihood"][protocol] for name, each in results.variants.items()}
        rows = [
            (name, results.variants[name]["folds"], *(_over_folds(each, path, protocol) for path in columns.values()))
            for name, each in of_variants.items()
        ]
        made[f"likelihood_{protocol}"] = Table(("Variant", "Folds", *columns), tuple(rows))
    full = {name: each for name, each in _likelihoods(results, protocol).items() if name.endswith(f"-{FULL}")}
    rows = [(name, *(_estimate(each, path, protocol) for path in columns.values())) for name, each in full.items()]
    return made | ({f"likelihood_{protocol}_runs": Table(("Run", *columns), tuple(rows))} if rows else {})


def spreads(results: Results, section: str) -> Table:
    """All numbers of one section of the metrics, over the folds of each variant; not the errors of their estimates."""
    variants = results.variants
    paths = [path for path in _paths(next(iter(variants.values()))[section]) if not path[-1].endswith("_error")]
    rows = [
        (
            name,
            *(_spread(_at(each[section], path)) for path in paths),
            *((*_kl_ends(results, name, "test"), _spread(each["test"]["active_units"])) if section == "latent" else ()),
        )
        for name, each in variants.items()
    ]
    further = ("least KL", "greatest KL", "active units") if section == "latent" else ()
    return Table(("Variant", *(_title(path) for path in paths), *further), tuple(rows), digits=3)


def betas(results: Results) -> Table:
    """The sweep over beta on the validation images of the folds; the true likelihood is of the test images."""
    rows = []
    for name, beta in results.betas().items():
        variant = results.variants[name]
        health = [results.last_health(run) for run in _fold_runs(results, name)]
        rows.append(
            (
                beta,
                name,
                variant["folds"],
                *(_spread(variant["validation"][key]) for key in ("kl_loss", "reconstruction_loss", "elbo")),
                *_kl_ends(results, name, "validation"),
                _over_folds(variant["likelihood"]["binarised"], _true(variant), "binarised"),
                spread([each["collapsed_dimensions"] for each in health]),
                spread([each["dead_units"]["hidden"] for each in health]),
            )
        )
    dimensions = ("KL of the least used dimension", "KL of the most used dimension")
    further = ("Binarised log-likelihood", "Collapsed dimensions", "Dead hidden units")
    return Table(("Beta", "Variant", "Folds", "KL", "Recon. loss", "ELBO", *dimensions, *further), tuple(rows))


def _ablation(results: Results, made: Mapping[str, Table]) -> list[str]:
    silence = "The paper announces this ablation and a five-fold cross-validation, and prints no number of either."
    if not results.compared:
        table = made["ablation"].markdown() if results.variants else ""
        nothing = f"Nothing to compare: no variant shares folds with `{BASELINE}`. {silence}"
        return ["## Variants over the folds", table, nothing]
    folds, compared = results.params.preprocess.folds, len(results.compared)
    return [
        "## Variants over the folds",
        made["ablation"].markdown(),
        image("ablation", "Differences from the baseline by fold, with 95 % intervals"),
        "Validation images of each fold; mean ± standard deviation over folds; in brackets the 95 % interval of the "
        "mean per-fold difference from the baseline. In the figure, a dot is a fold, the diamond their mean, the thick "
        "line that interval, the thin one the bootstrap's.",
        "\n".join(f"- {_verdict(name, results.variants[name])}" for name in results.compared),
        f"Folds share training images, so the interval is that of the corrected resampled t-test (Nadeau and Bengio "
        f"2003): its variance is (1/{folds} + 1/{folds - 1}) times that of a fold, instead of 1/{folds}. A difference "
        "is called detectable where its p, adjusted by Holm's method, is below 0.05; the family is one metric on one "
        f"set of images over {'the variant' if compared == 1 else f'all {compared} variants'} compared with "
        f"`{BASELINE}`. Metrics are not adjusted for each other. Every run has a single seed, which is drawn anew with "
        "neither fold nor variant: what a seed does stands below, under Seeds.",
        "Hedges' g is the mean difference in standard deviations of the per-fold differences, corrected for their "
        f"small number. The bootstrap resamples the {folds} folds as if they were independent, and of {folds} it can "
        "make no value beyond the least and the greatest: it shows how folds scatter, and is too narrow to judge by.",
        folded("Fold by fold, with p, Holm's p, effect size and bootstrap", made["fold_differences"]),
        f"{silence} Numbers: `reports/metrics/variants/<variant>.json`, from "
        f"`reports/metrics/runs/<variant>-<fold>.json`; as tables: {table_files('ablation', 'fold_differences')}.",
    ]


def _verdict(name: str, variant: Mapping) -> str:
    """A lower reconstruction loss may be bought with KL, so the ELBO is judged too."""
    metrics = variant["validation"]
    parts = (
        f"{title} {in_words(metrics[key])}"
        for key, title in (("reconstruction_loss", "reconstruction loss"), ("elbo", "ELBO"))
    )
    return f"`{name}`: {'; '.join(parts)}."


def _likelihood(results: Results, made: Mapping[str, Table]) -> list[str]:
    asked = results.params.evaluate
    parts = ["## Likelihood of the test images"]
    for protocol in PROTOCOLS:
        if f"likelihood_{protocol}_runs" in made or f"likelihood_{protocol}" in made:
            parts += _protocol(results, made, protocol)
    if len(parts) == 1:
        return [*parts, "Not measured."]
    return [
        *parts,
        f"All in nats per image, higher is better. The reconstruction term of the ELBO is the mean of "
        f"{count(asked.elbo_samples, 'latent draw')} an image, its KL exact; the importance-weighted bound (Burda et "
        f"al. 2016) rises with K towards log p(x), by how much is measured on {count(asked.bound_images, 'image')}, "
        "hence its greater error. log p(x) is the integral over the latent plane by quadrature, whose points are "
        f"doubled until it changes by at most {asked.plane_tolerance:g} nats in the mean, or "
        f"{count(asked.plane_refinements, 'time')}. The inference gap is what the ELBO is below it: how far the "
        "encoder's Gaussian is from the true posterior. Numbers of the two protocols measure different things and "
        "share no column. "
        "Numbers: `likelihood` in `reports/metrics/runs/<run>.json` and, over folds, "
        "`reports/metrics/variants/<variant>.json`.",
    ]


def _protocol(results: Results, made: Mapping[str, Table], protocol: str) -> list[str]:
    runs_of_it = _likelihoods(results, protocol)
    floor = -next(iter(runs_of_it.values()))["entropy_floor"]
    name = f"likelihood_{protocol}"
    parts = [f"### {protocol.capitalize()}", PROTOCOLS[protocol].format(floor=typeset(-abs(floor)))]
    if name in made:
        parts += [made[name].markdown(), _likelihood_reading(results, protocol)]
    if f"{name}_runs" in made:
        parts.append(folded("Runs on all training images, ± error of the estimate", made[f"{name}_runs"]))
        parts.append(_best_run(runs_of_it, protocol))
    return [*parts, f"As tables: {table_files(*(each for each in (name, f'{name}_runs') if each in made))}."]


def _likelihood_reading(results: Results, protocol: str) -> str:
    """The gap of the baseline, the tightness of its bound, and the best variant."""
    of = {name: each["likelihood"][protocol] for name, each in results.variants.items()}
    path = _true(next(iter(results.variants.values())))
    best = max(of, key=lambda name: _at(of[name], path)["mean"])
    said = [f"Mean ± standard deviation over folds. Best is `{best}` with {signed(_at(of[best], path)['mean'])}"]
    if best in results.compared:
        said[0] += f", {in_words(_at(of[best], path))}"
    others = {name: _at(of[name], path) for name in results.compared if name != best}
    if others:
        said.append(f"The others: {told_apart(others)}")
    if BASELINE in of and "log_likelihood" in of[BASELINE]:
        each = of[BASELINE]
        bound = each["iw_bound"]["k1000"]["mean"] - each["log_likelihood"]["mean"]
        said.append(
            f"Of `{BASELINE}` the ELBO is {each['inference_gap']['mean']:.2f} nats below the integral, and the bound "
            f"with K = 1000 {signed(bound)} nats from it"
        )
    return f"{'. '.join(said)}. {_likelihood_errors(results, protocol)}"


def _best_run(of: Mapping[str, Mapping], protocol: str) -> str:
    """Among the runs on all training images."""
    full = {name: each for name, each in of.items() if name.endswith(f"-{FULL}")}
    title, path = next((what, path) for what, path in (TRUE, TIGHTEST) if _has(full, *path))
    values = {name: _estimate(each, path, protocol).value for name, each in full.items()}
    best, worst = max(values, key=values.get), min(values, key=values.get)
    return (
        f"Of the {count(len(full), 'run')} on all training images `{best}` has the highest {title}, "
        f"{signed(values[best])}, and `{worst}` the lowest, {signed(values[worst])}."
    )


def _likelihood_errors(results: Results, protocol: str) -> str:
    """The greatest over all runs."""
    of = _likelihoods(results, protocol).values()
    elbo = max(each["elbo_error"] for each in of)
    bound = max(error for each in of for error in each["iw_bound_error"].values())
    said = f"Standard errors of a single run: at most {elbo:.2g} nats of the ELBO and {bound:.2g} of a bound"
    changes = [each for each in of if "log_likelihood" in each]
    if changes:
        mean, single = (max(each[f"log_likelihood_error{of_what}"] for each in changes) for of_what in ("", "_maximum"))
        said += f"; the last doublings of its points changed the integral by at most {mean:.2g} in the mean over the "
        said += f"images of a run, and by {single:.2g} for a single image"
    return f"{said}."


def _latent(results: Results, made: Mapping[str, Table]) -> list[str]:
    parts = ["## The latent space and the digits, in numbers"]
    for section, meaning in SECTIONS.items():
        if section in made:
            parts += [
                f"### {section.capitalize()}",
                made[section].markdown(),
                meaning,
                _section_reading(results, section),
            ]
    if len(parts) == 1:
        return [*parts, "Not measured over folds."]
    there = [section for section in SECTIONS if section in made]
    return [
        *parts,
        "All on the test images, mean ± standard deviation over folds. Numbers: `latent` and `quality` in "
        f"`reports/metrics/variants/<variant>.json`; as tables: {table_files(*there)}.",
    ]


def _section_reading(results: Results, section: str) -> str:
    """For each number the variants that differ from the baseline in it."""
    if not results.compared:
        return ""
    first = results.variants[results.compared[0]][section]
    found = {
        _title(path): {name: _at(results.variants[name][section], path) for name in results.compared}
        for path in _paths(first)
        if not path[-1].endswith("_error")
    }
    apart = {title: metrics for title, metrics in found.items() if any(map(detected, metrics.values()))}
    lines = [f"- {title}: {told_apart(metrics, digits=3)}." for title, metrics in apart.items()]
    if same := [title for title in found if title not in apart]:
        lines.append(f"- No detectable difference of any variant from `{BASELINE}` in: {', '.join(same)}.")
    return "\n".join(lines)


def _beta(results: Results, made: Mapping[str, Table]) -> list[str]:
    silence = "The paper names this trade-off in its abstract and prints no number of it."
    sweep, title = results.betas(), "## Reconstruction against KL over beta"
    if not sweep:
        return [title, *_beta_on_full(results), silence]
    (first, low), *_, (last, high) = sweep.items()
    mean = {key: {name: results.variants[name]["validation"][key]["mean"] for name in sweep} for key in LOSSES}
    return [
        title,
        made["beta"].markdown(),
        image("rate_distortion", "Reconstruction loss against KL over beta, on every fold"),
        f"From beta {low:g} to {high:g} the KL goes from {mean['kl_loss'][first]:.2f} to {mean['kl_loss'][last]:.2f} "
        f"and the reconstruction loss from {mean['reconstruction_loss'][first]:.2f} to "
        f"{mean['reconstruction_loss'][last]:.2f} nats on the validation images of the folds. In the figure a dot is a "
        "fold, the bars are standard deviations; along the dashed line the ELBO (at beta 1) is the same.",
        _best_beta(results, sweep),
        _collapse(results, sweep),
        f"{silence} Numbers: `reports/metrics/variants/<variant>.json`, health: `history.json` of the runs on folds; "
        f"as a table: {table_files('beta')}.",
    ]


def _beta_on_full(results: Results) -> list[str]:
    if not (sweep := results.betas_on_full()):
        return [f"No sweep: fewer than two variants differ from `{BASELINE}` in beta alone."]
    test = {name: results.metrics[name]["test"] for name in sweep}
    (first, low), *_, (last, high) = sweep.items()
    best = max(test, key=lambda name: test[name]["elbo"])
    return [
        image("rate_distortion", "Reconstruction loss against KL, a point for each beta"),
        f"From beta {low:g} to {high:g} the KL goes from {test[first]['kl_loss']:.2f} to {test[last]['kl_loss']:.2f} "
        f"and the reconstruction loss from {test[first]['reconstruction_loss']:.2f} to "
        f"{test[last]['reconstruction_loss']:.2f} nats on the test images. The ELBO is best at beta {sweep[best]:g} "
        f"({signed(test[best]['elbo'])}, the dashed line). These are single runs on all training images: how much of "
        f"it is chance is not known, and nothing is tested. Numbers: {metrics_files(sweep)}.",
    ]


def _best_beta(results: Results, sweep: Mapping[str, float]) -> str:
    """The beta of the best ELBO and of the best true likelihood, and whether that is more than chance."""
    said = []
    for what, keys in (("ELBO", ("validation", "elbo")), ("true (binarised) likelihood", ("likelihood", "binarised"))):
        path = keys if what == "ELBO" else (*keys, *_true(results.variants[BASELINE]))
        if not all(_has({name: results.variants[name]}, *path) for name in sweep):
            continue
        folds = np.stack([results.on_folds(name, *path) for name in sweep])
        best = list(sweep)[int(folds.mean(axis=1).argmax())]
        ahead = int((folds.argmax(axis=0) == list(sweep).index(best)).sum())
        against = "" if best == BASELINE else f"; against beta 1 {in_words(_at(results.variants[best], path))}"
        said.append(
            f"By {what} beta {sweep[best]:g} is best ({signed(folds.mean(axis=1).max())}), on {ahead} of "
            f"{folds.shape[1]} folds{against}"
        )
    return ". ".join(said) + "."


def _collapse(results: Results, sweep: Mapping[str, float]) -> str:
    """Where latent dimensions collapse, and how the dead units go with beta."""
    collapsed = {
        beta: [run for run in _fold_runs(results, name) if results.last_health(run)["collapsed_dimensions"]]
        for name, beta in sweep.items()
    }
    said = [f"at beta {beta:g} in {quoted(names)}" for beta, names in collapsed.items() if names]
    where = f"A latent dimension has collapsed (below 0.1 nats) {', '.join(said)}" if said else (
        "In none of these runs has a latent dimension collapsed (below 0.1 nats)"
    )  # fmt: skip
    names = list(sweep)
    least = [_kl_ends(results, name, "validation")[0].mean for name in names]
    dead = [
        np.mean([results.last_health(run)["dead_units"]["hidden"] for run in _fold_runs(results, name)])
        for name in names
    ]
    return (
        f"{where}; the least used dimension goes from {least[0]:.2f} to {least[-1]:.2f} nats, and of the 16 hidden "
        f"units {dead[0]:.1f} are dead at beta {sweep[names[0]]:g} and {dead[-1]:.1f} at beta {sweep[names[-1]]:g}."
    )


def _fold_runs(results: Results, variant: str) -> list[str]:
    return [run.name for run in runs(results.params) if run.variant == variant and run.split != FULL]


def _kl_ends(results: Results, variant: str, images: str) -> tuple[Spread, Spread]:
    """KL of the least and the most used latent dimension over the folds; which one that is differs from run to run."""
    used = [results.metrics[run][images]["kl_per_dimension"].values() for run in _fold_runs(results, variant)]
    return spread([min(each) for each in used]), spread([max(each) for each in used])


def _likelihoods(results: Results, protocol: str) -> dict[str, Mapping]:
    """By run, where it was measured."""
    return {name: each["likelihood"][protocol] for name, each in results.metrics.items() if "likelihood" in each}


def _true(variant: Mapping) -> tuple[str, ...]:
    """The best that is known of the log-likelihood: the integral, or the tightest bound."""
    return next(path for _, path in (TRUE, TIGHTEST) if path[0] in variant["likelihood"]["binarised"])


def _over_folds(metrics: Mapping, path: Sequence[str], protocol: str) -> Nats:
    leaf = _at(metrics, path)
    return Nats(leaf["mean"], leaf["std"], protocol)


def _estimate(metrics: Mapping, path: Sequence[str], protocol: str) -> Nats:
    first, *rest = path
    error = metrics.get(f"{first}_error")
    return Nats(_at(metrics, path), error if error is None else _at(error, rest), protocol)


def _paths(metrics: Mapping) -> list[tuple[str, ...]]:
    """The ways to all numbers over folds, which have a mean."""
    if "mean" in metrics:
        return [()]
    return [(key, *path) for key, value in metrics.items() for path in _paths(value)]


def _at(metrics: Mapping, path: Sequence[str]) -> object:
    for key in path:
        metrics = metrics[key]
    return metrics


def _has(of: Mapping[str, Mapping], *path: str) -> bool:
    """Whether the first of these mappings leads on along `path`."""
    metrics = next(iter(of.values()), {})
    for key in path:
        if key not in metrics:
            return False
        metrics = metrics[key]
    return True


def _title(path: Sequence[str]) -> str:
    return ": ".join(path).replace("_", " ")


def _spread(metric: Mapping) -> Spread:
    return Spread(metric["mean"], metric["std"])


def _difference(metric: Mapping) -> Cell:
    """None for the baseline, and where the baseline was not trained on folds."""
    return difference(metric) if "difference" in metric else None
