"""What the variants are worth over the folds, in tables and words: losses, latent space, generated digits, and beta."""

from collections.abc import Mapping, Sequence

import numpy as np

from digit_vae.training.health import COLLAPSED_NATS, UNITS
from digit_vae.config.params import BASELINE
from digit_vae.report.report_likelihood import best_known, title_of
from digit_vae.analysis.results import Results, at, question
from digit_vae.analysis.statistics import LEVEL, Spread, spread
from digit_vae.report.tables import Interval, Nats, Probability, Table, difference_tests, signed
from digit_vae.report.wording import (
    HISTORIES,
    detected,
    difference,
    folded,
    image,
    in_words,
    over_folds,
    quoted,
    table_files,
    told_apart,
)

LOSSES = {"reconstruction_loss": "Recon. loss", "kl_loss": "KL", "elbo": "ELBO"}
SECTIONS = {
    "latent": "What z_mean of the test images tells of their digits, which the model never saw: accuracy of the 10 "
    "nearest training images (kNN) and of a linear classifier (probe), both fitted on training images; agreement of "
    "clusters with the digits (NMI, 0 to 1) and how compact the digits are (silhouette, at most 1). The KL term is the "
    "sum, in nats, of what z tells of the image (mutual information) and of the distance of all codes together from "
    "the prior (aggregate divergence). Beside it the KL of the least and of the most used latent dimension, in nats, "
    "and how many dimensions are active.",
    "quality": "A classifier that was trained on the labelled images judges digits decoded from the prior (samples) "
    "and from z_mean of the test images (reconstructions): how sure it is (confidence), how evenly it sees the ten "
    "digits (class balance, 1 is even), whether it sees the right one (agreement), and how far their features are from "
    "those of the test images (Frechet distance, 0 is equal). Confidence by itself is no merit: of samples that are "
    "all the same sure digit it would be 1.",
}
TITLES = {"latent": "The latent space", "quality": "Generated and reconstructed digits"}
TITLED = {  # the keys of the metrics that are no words
    "knn_accuracy": "kNN accuracy",
    "nmi": "NMI",
    "frechet": "Frechet distance",
    "mutual_information": "mutual information (nats)",
    "aggregate_divergence": "aggregate divergence (nats)",
}
SILENCE = "The paper announces this ablation and a five-fold cross-validation, and prints no number of either."


def tables(results: Results) -> dict[str, Table]:
    """The tables by file name, as far as there is something in them."""
    if not results.variants:
        return {}
    shown = [name for name in results.variants if name == BASELINE or question(results.params, name) != "beta"]
    made = {"ablation": ablation({name: results.variants[name] for name in shown})}
    made |= {"latent": latent(results), "quality": quality(results)}
    if results.compared:
        made |= {"fold_differences": fold_differences(results)}
        made |= {f"{section}_differences": difference_tests(_found(results, section), digits=3) for section in SECTIONS}
    return made | ({"beta": betas(results)} if results.betas() else {})


def ablation(variants: Mapping[str, Mapping]) -> Table:
    """Each variant over its validation folds; `variants` holds what stage `compare` wrote, by variant. There is no
    difference of the baseline from itself, nor of any variant where the baseline was not trained on folds.
    """
    rows = []
    for name, variant in variants.items():
        metrics = variant["validation"]
        cells = []
        for key in LOSSES:
            cells += [over_folds(metrics[key]), difference(metrics[key]) if "difference" in metrics[key] else None]
        rows.append(
            (name, variant["folds"], *cells, *(over_folds(metrics[f"{key}_units"]) for key in ("active", "dead")))
        )
    header = [title for name in LOSSES.values() for title in (name, f"{name}, difference")]
    return Table(("Variant", "Folds", *header, "Active units", "Dead units"), tuple(rows))


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


def latent(results: Results) -> Table:
    """All numbers of the latent space, with what its dimensions are used for."""
    further = {
        name: (*_kl_ends(results, name, "test"), over_folds(variant["test"]["active_units"]))
        for name, variant in results.variants.items()
    }
    return _spreads(results, "latent", further, ("least KL", "greatest KL", "active units"))


def quality(results: Results) -> Table:
    """All numbers of the generated digits."""
    return _spreads(results, "quality", dict.fromkeys(results.variants, ()), ())


def betas(results: Results) -> Table:
    """The sweep over beta on the validation images of the folds; the log-likelihood is that of the test images."""
    rows = []
    for name, beta in results.betas().items():
        variant = results.variants[name]
        true = at(variant, _way(results))
        health = [results.last_health(run) for run in results.fold_runs(name)]
        rows.append(
            (
                beta,
                name,
                variant["folds"],
                *(over_folds(variant["validation"][key]) for key in ("kl_loss", "reconstruction_loss", "elbo")),
                None if name == BASELINE else difference(variant["validation"]["elbo"]),
                *_kl_ends(results, name, "validation"),
                Nats(true["mean"], true["std"], "binarised"),
                spread([each["collapsed_dimensions"] for each in health]),
                spread([each["dead_units"]["hidden"] for each in health]),
            )
        )
    header = ("Beta", "Variant", "Folds", "KL", "Recon. loss", "ELBO", "ELBO, difference")
    dimensions = ("KL of the least used dimension", "KL of the most used dimension")
    further = (f"{_likeliest(results)}, test images", "Collapsed dimensions", "Dead hidden units")
    return Table((*header, *dimensions, *further), tuple(rows))


def differences(results: Results, made: Mapping[str, Table]) -> list[str]:
    """The text of the comparison over the folds."""
    if not results.compared:
        table = made["ablation"].markdown() if results.variants else ""
        nothing = f"Nothing to compare: no variant shares folds with `{BASELINE}`. {SILENCE}"
        return ["## Variants over the folds", table, nothing]
    folds = results.params.preprocess.folds
    seeds = sorted({results.settings(name).seed for name in (BASELINE, *results.compared)})
    return [
        "## Variants over the folds",
        made["ablation"].markdown(),
        image("ablation", "Differences from the baseline by fold, with 95 % intervals") if results.judged else "",
        "Validation images of each fold; mean ± standard deviation over folds; in brackets the 95 % interval of the "
        "mean per-fold difference from the baseline. In the figure, a dot is a fold, the diamond their mean, the thick "
        "line that interval, the thin one the bootstrap's.",
        "\n".join(f"- {_verdict(results, name)}" for name in results.judged),
        f"No detectable difference does not mean that there is none: one smaller than half the interval would hardly "
        f"show. And all runs on folds have the seed {' or '.join(map(str, seeds))}: the interval tells what other "
        "images would change, not what another seed would (see Seeds, and for the better recipe its own section).",
        f"Folds share training images, so the interval is that of the corrected resampled t-test (Nadeau and Bengio "
        f"2003): its variance is (1/{folds} + 1/{folds - 1}) times that of a fold, instead of 1/{folds}. A difference "
        f"is called detectable where its p, adjusted by Holm's method, is below {LEVEL:g}. Adjusted together are the p "
        "of one metric, on one set of images, of the variants that ask the same question, by changing: "
        f"{_families(results)}. Intervals are not adjusted, nor are metrics for each other.",
        "Hedges' g is the mean difference in standard deviations of the per-fold differences, corrected for their "
        f"small number. The bootstrap resamples the {folds} folds as if they were independent, and of {folds} it can "
        "make no value beyond the least and the greatest: it shows how folds scatter, and is too narrow to judge by.",
        folded("Fold by fold, with p, Holm's p, effect size and bootstrap", made["fold_differences"]),
        f"{SILENCE} Numbers: `reports/metrics/variants/<variant>.json`, from "
        f"`reports/metrics/runs/<variant>-<fold>.json`; as tables: {table_files('ablation', 'fold_differences')}.",
    ]


def latent_space(results: Results, made: Mapping[str, Table]) -> list[str]:
    """The text of the latent space and of what is generated from it."""
    title = "## The latent space and the digits over the folds"
    if not results.variants:
        return [title, "Not measured over folds."]
    parts, files = [title], []
    for section, meaning in SECTIONS.items():
        parts += [f"### {TITLES[section]}", made[section].markdown(), meaning]
        parts += [_for_comparison(results.classifier)] if section == "quality" else []
        files += [section]
        if results.compared:
            tests = f"{section}_differences"
            parts += [_section_reading(results, section), folded("Every difference and its tests", made[tests])]
            files += [tests]
    return [
        *parts,
        "All on the test images, which are the same for all folds: deviations and p-values are about other trainings, "
        "not about other test images. Numbers: `latent`, `quality` and `test` in "
        f"`reports/metrics/variants/<variant>.json`; as tables: {table_files(*files)}.",
    ]


def beta(results: Results, made: Mapping[str, Table]) -> list[str]:
    """The text of the sweep over beta."""
    silence = "The paper names this trade-off in its abstract and prints no number of it."
    sweep, title = results.betas(), "## Reconstruction against KL over beta"
    if not sweep:
        needed = f"it takes `{BASELINE}` on folds, and a variant that differs from it in beta alone"
        return [title, f"No sweep: {needed}. {silence}"]
    (first, low), *_, (last, high) = sweep.items()
    mean = {key: {name: results.variants[name]["validation"][key]["mean"] for name in sweep} for key in LOSSES}
    return [
        title,
        made["beta"].markdown(),
        image("rate_distortion", "Reconstruction loss against KL over beta, on every fold"),
        f"From beta {low:g} to {high:g} the KL goes from {mean['kl_loss'][first]:.2f} to {mean['kl_loss'][last]:.2f} "
        f"and the reconstruction loss from {mean['reconstruction_loss'][first]:.2f} to "
        f"{mean['reconstruction_loss'][last]:.2f} nats on the validation images of the folds. In the figure a dot is a "
        "fold, the thin lines join the dots of a fold; along the dashed line the ELBO (at beta 1) is the same.",
        _best_beta(results, sweep),
        _collapse(results, sweep),
        f"{silence} Numbers: `reports/metrics/variants/<variant>.json`, health: {HISTORIES}; as tables: "
        f"{table_files('beta', 'fold_differences')}.",
    ]


def _verdict(results: Results, name: str) -> str:
    """A lower reconstruction loss may be bought with KL, so the ELBO is judged too."""
    metrics = results.variants[name]["validation"]
    parts = (
        f"{title} {in_words(metrics[key])}"
        for key, title in (("reconstruction_loss", "reconstruction loss"), ("elbo", "ELBO"))
    )
    return f"`{name}`: {'; '.join(parts)}{_without_collapsed(results, name)}."


def _without_collapsed(results: Results, name: str) -> str:
    """How the ELBO differs on those folds where neither the variant nor the baseline has a collapsed dimension."""
    pairs = list(zip(results.fold_runs(name), results.fold_runs(BASELINE), strict=True))
    ill = [[run for run in pair if results.last_health(run)["collapsed_dimensions"]] for pair in pairs]
    rest = [float(each) for each, of in zip(results.fold_differences("elbo")[name], ill, strict=True) if not of]
    if len(rest) in (0, len(pairs)):
        return ""
    return (
        f"; on the folds but those of {quoted(run for of in ill for run in of)}, where a latent dimension has "
        f"collapsed, the ELBO is {signed(min(rest))} to {signed(max(rest))} from the baseline's"
    )


def _families(results: Results) -> str:
    """The variants whose p-values are adjusted together, by what they change."""
    asked = {name: question(results.params, name) for name in results.compared}
    families = {family: [name for name in asked if asked[name] == family] for family in dict.fromkeys(asked.values())}
    return "; ".join(f"the {family} ({quoted(names)})" for family, names in families.items())


def _for_comparison(classifier: Mapping) -> str:
    """What the classifier says of the test images themselves."""
    return (
        f"For comparison, test images themselves: agreement {classifier['accuracy']:.3f}, confidence "
        f"{classifier['confidence']:.3f}, class balance {classifier['class_balance']:.3f}; Frechet distance of as many "
        f"training images {classifier['frechet_train']:.3f} ([classifier.json](metrics/classifier.json))."
    )


def _spreads(results: Results, section: str, further: Mapping[str, Sequence[Spread]], titles: Sequence[str]) -> Table:
    """Everything of one section of the metrics, over the folds of each variant, and what stands `further` to it."""
    paths = _paths(next(iter(results.variants.values()))[section])
    rows = [
        (name, *(over_folds(at(variant[section], path)) for path in paths), *further[name])
        for name, variant in results.variants.items()
    ]
    return Table(("Variant", *map(_title, paths), *titles), tuple(rows), digits=3)


def _section_reading(results: Results, section: str) -> str:
    """For each number the variants that differ from the baseline in it."""
    found = _found(results, section)
    apart = {title: metrics for title, metrics in found.items() if any(map(detected, metrics.values()))}
    lines = [f"- {title}: {told_apart(metrics, digits=3)}." for title, metrics in apart.items()]
    if same := [title for title in found if title not in apart]:
        lines.append(f"- No detectable difference of any variant from `{BASELINE}` in: {', '.join(same)}.")
    return "\n".join(lines)


def _found(results: Results, section: str) -> dict[str, dict[str, Mapping]]:
    """Each number of one section of the metrics, by its title, of every compared variant."""
    return {
        _title(path): {name: at(results.variants[name][section], path) for name in results.compared}
        for path in _paths(results.variants[BASELINE][section])
    }


def _best_beta(results: Results, sweep: Mapping[str, float]) -> str:
    """The beta of the highest ELBO and of the highest log-likelihood, and which betas differ from the baseline's."""
    likeliest = f"{_likeliest(results)} of the test images"
    ways = {"ELBO": ("validation", "elbo"), likeliest: _way(results)}
    said = [
        f"{_highest(results, sweep, what, path)} {_against(results, sweep, what, path)}" for what, path in ways.items()
    ]
    rates = {"KL": "kl_loss", "Reconstruction loss": "reconstruction_loss"}
    said += [_against(results, sweep, what, ("validation", key)) for what, key in rates.items()]
    return "\n".join(f"- {each}." for each in said)


def _highest(results: Results, sweep: Mapping[str, float], what: str, path: Sequence[str]) -> str:
    folds = np.stack([results.on_folds(name, *path) for name in sweep])
    best = int(folds.mean(axis=1).argmax())
    ahead = int((folds.argmax(axis=0) == best).sum())
    return (
        f"The highest mean {what} is that of beta {list(sweep.values())[best]:g}, {signed(folds[best].mean())}; it is "
        f"the highest on {ahead} of {folds.shape[1]} folds."
    )


def _against(results: Results, sweep: Mapping[str, float], what: str, path: Sequence[str]) -> str:
    """The other betas against the baseline's in one number."""
    others = {name: at(results.variants[name], path) for name in sweep if name in results.compared}
    return f"{what[0].upper()}{what[1:]} against beta {sweep[BASELINE]:g}: {told_apart(others)}"


def _way(results: Results) -> tuple[str, ...]:
    """The way to the best that is known of the log-likelihood of binarised images in a run's metrics."""
    return ("likelihood", "binarised", *best_known(results.variants[BASELINE]["likelihood"]["binarised"]))


def _likeliest(results: Results) -> str:
    """What that is."""
    return f"{title_of('binarised', _way(results)[2:])} (binarised)"


def _collapse(results: Results, sweep: Mapping[str, float]) -> str:
    """Where latent dimensions collapse, and how the dead units go with beta."""
    health = {name: {run: results.last_health(run) for run in results.fold_runs(name)} for name in sweep}
    collapsed = {name: [run for run, last in of.items() if last["collapsed_dimensions"]] for name, of in health.items()}
    said = [f"at beta {sweep[name]:g} in {quoted(of)}" for name, of in collapsed.items() if of]
    limit = f"(below {COLLAPSED_NATS:g} nats)"
    where = f"In none of these runs has a latent dimension collapsed {limit}"
    if said:
        where = f"A latent dimension has collapsed {limit} {', '.join(said)}"
    ends = [next(iter(sweep)), list(sweep)[-1]]
    least = [_kl_ends(results, name, "validation")[0].mean for name in ends]
    dead = [np.mean([last["dead_units"]["hidden"] for last in health[name].values()]) for name in ends]
    return (
        f"{where}; the least used dimension goes from {least[0]:.2f} to {least[1]:.2f} nats, and of the "
        f"{UNITS['hidden']} hidden units {dead[0]:.1f} are dead at beta {sweep[ends[0]]:g} and {dead[1]:.1f} at beta "
        f"{sweep[ends[1]]:g}."
    )


def _kl_ends(results: Results, variant: str, images: str) -> tuple[Spread, Spread]:
    """KL of the least and the most used latent dimension over the folds; which one that is differs from run to run."""
    used = [results.metrics[run][images]["kl_per_dimension"].values() for run in results.fold_runs(variant)]
    return spread([min(each) for each in used]), spread([max(each) for each in used])


def _paths(metrics: Mapping) -> list[tuple[str, ...]]:
    """The ways to all numbers over folds, which have a mean; not to the errors of their estimates."""
    if "mean" in metrics:
        return [()]
    return [(key, *path) for key, each in metrics.items() if not key.endswith("_error") for path in _paths(each)]


def _title(path: Sequence[str]) -> str:
    return ": ".join(TITLED.get(key, key).replace("_", " ") for key in path)
