"""The results in words: what the stages wrote in, reports/README.md as Markdown out.

Every number in the text comes from those files, or from the paper's own in digit_vae.paper.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from digit_vae import tables
from digit_vae.paper import SAMPLES_RECONSTRUCTED, TABLE_1
from digit_vae.params import BASELINE, FULL, Params, run_params, runs
from digit_vae.statistics import Difference, by_fold
from digit_vae.tables import Table, signed


@dataclass(frozen=True, kw_only=True)
class Results:
    """Contents of the runs' JSON files by run name; `histories` of the two shown runs alone; `variants` by variant;
    `classifier`: of its one file; `benchmarks` and `comparisons` by file name.
    """

    params: Params
    histories: Mapping[str, Mapping]
    timings: Mapping[str, Mapping]
    metrics: Mapping[str, Mapping]
    variants: Mapping[str, Mapping]
    classifier: Mapping
    benchmarks: Mapping[str, Mapping]
    comparisons: Mapping[str, Mapping]

    @property
    def shown(self) -> tuple[str, str]:
        """The runs that stand for the paper's two."""
        return self.params.plot.first_run, self.params.plot.second_run

    @property
    def compared(self) -> list[str]:
        """The variants that share their folds with the baseline."""
        return [name for name, variant in self.variants.items() if "difference" in variant["validation"]["elbo"]]

    def fold_differences(self, metric: str) -> dict[str, tuple[np.ndarray, tuple[float, float]]]:
        """For each compared variant its difference from the baseline on each fold, and the 95 % interval."""
        folds = by_fold(runs(self.params), self.metrics)
        values = {name: np.array([fold["validation"][metric] for fold in folds[name]]) for name in folds}
        intervals = {name: self.variants[name]["validation"][metric] for name in self.compared}
        return {
            name: (values[name] - values[BASELINE], (interval["difference_low"], interval["difference_high"]))
            for name, interval in intervals.items()
        }

    def beta_sweep(self) -> dict[str, float]:
        """Runs on `full` that differ from the baseline in nothing but beta, and their betas in rising order.

        Empty where there are not two different betas.
        """
        full = [run for run in runs(self.params) if run.split == FULL]
        settings = {run.name: run_params(self.params, run) for run in full}
        base = settings.get(f"{BASELINE}-{FULL}")
        swept = {name: each.beta for name, each in settings.items() if base and replace(each, beta=base.beta) == base}
        swept = dict(sorted(swept.items(), key=lambda item: item[1]))
        return swept if len(set(swept.values())) > 1 else {}

    def tables(self) -> dict[str, Table]:
        """The tables by file name."""
        here = self.timings[self.params.plot.first_run]["machine"]
        sources = tables.sources(self.histories, self.benchmarks, here)
        made = {"table_1": tables.table_1(sources), "table_1_last": tables.last_epochs(sources)}
        if self.benchmarks:
            made["benchmarks"] = tables.benchmarks_table(self.benchmarks, here)
        if self.comparisons:
            made["side_by_side"] = tables.side_by_side(self.comparisons)
        if self.variants:
            made["ablation"] = tables.ablation(self.variants)
        if self.compared:
            compared = ("reconstruction_loss", "kl_loss", "elbo")
            made["fold_differences"] = tables.fold_differences({key: self.fold_differences(key) for key in compared})
        return made | {"runs": tables.all_runs(self.metrics, self.timings)}


def report(results: Results, made: Mapping[str, Table], figures: Iterable[str]) -> str:
    """The whole of reports/README.md. made: the tables by file name; figures: the file names of those drawn."""
    sections = (
        _opening(),
        _table_1(results, made),
        _speed(results, made),
        _paper_figures(results),
        _latent_plane(results, "latent_plane" in figures),
        _latent_space(results, "latent_map" in figures),
        _ablation(results, made),
        _rate_distortion(results),
        _all_runs(made),
    )
    return "\n\n".join(part.strip() for section in sections for part in section if part) + "\n"


def _opening() -> list[str]:
    return [
        "# Results",
        "Made by `python -m pipeline.plot` from the files that the other stages wrote; every number below is read from "
        "the file named beside it. Losses are nats per image, seconds are those of the training steps alone. A run is "
        "called `<variant>-<split>`: on `full` it learns from all training images and is validated on the test images, "
        "on a fold it learns from the other folds and is validated on that one. The ELBO is at beta 1 throughout.",
    ]


def _table_1(results: Results, made: Mapping[str, Table]) -> list[str]:
    return [
        "## Table I: loss and time of the two runs, beside the paper's",
        made["table_1_last"].markdown(),
        " ".join(_against_paper(results, name, source) for name, source in zip(results.shown, TABLE_1, strict=True)),
        _second_run(results),
        _fewer_images(results.params),
        "Our two runs shared the machine with others and are not timed; benchmarks had it for themselves: median "
        "[least, greatest] over seeds.",
        f"Ours: {_files(results.shown, 'history.json')}; benchmarks: [their files](benchmarks/README.md). The paper's: "
        "its Table I; it does not say whether its seconds include validation, which ours do not. "
        "All epochs: [table_1.csv](tables/table_1.csv), or:",
        f"<details><summary>Table I, epoch by epoch</summary>\n\n{made['table_1'].markdown()}\n</details>",
    ]


def _speed(results: Results, made: Mapping[str, Table]) -> list[str]:
    parts = ["## Speed"]
    if results.benchmarks:
        parts += [
            made["benchmarks"].markdown(),
            _image("epoch_seconds", "Seconds an epoch by device and precision, beside the paper's"),
            "The paper's run, with nothing beside it: median [least, greatest] over the seeds. Seconds are those of "
            "the training steps; validation and set-up (tracing and compilation) stand beside. "
            "The share of the matrix product is the arithmetic of the steps over what the same device did in the same "
            "minutes on a plain product of matrices, in the same precision. As a table: "
            "[benchmarks.csv](tables/benchmarks.csv).",
        ]
    if results.comparisons:
        parts += [
            made["side_by_side"].markdown(),
            "The baseline's cross-validation, all folds, by each in turn in one call, on all cores: median [least, "
            "greatest] over the rounds. The time is from the start of the first process to the end of the last, with "
            "imports, tracing and validation, for as many epochs as stand there. Extrapolated: with the further epochs "
            f"up to {_full_epochs(results)}, each as long as the last that was run. A step is that last epoch, its "
            "validation in, over its training steps. Times as fast: as Keras' own fit on the extrapolated times, round "
            "by round. As a table: [side_by_side.csv](tables/side_by_side.csv).",
        ]
    if len(parts) == 1:
        parts.append("Nothing was measured: `make bench` does, and files of other machines can be put beside it.")
    return parts


def _full_epochs(results: Results) -> str:
    return " or ".join(sorted({str(each["full_epochs"]) for each in results.comparisons.values()}))


def _against_paper(results: Results, name: str, source: str) -> str:
    epochs, paper = results.histories[name]["epochs"], TABLE_1[source]
    ours, theirs = epochs[-1]["val_loss"], paper[-1].val_loss
    return (
        f"After {_count(len(epochs), 'epoch')} `{name}` has a validation loss of {ours:.2f}, {_beside(ours, theirs)} "
        f"the {theirs:.2f} of the paper's {source} run after {len(paper)}."
    )


def _second_run(results: Results) -> str:
    """How the second run differs from the first, and whether it is a GPU's as the paper's is."""
    first, second = results.shown
    old, new = (results.histories[name]["params"] for name in results.shown)
    changes = [f"{key} {new[key]} instead of {old[key]}" for key in old if new[key] != old[key]]
    changed = f"`{second}` differs from `{first}` in: {', '.join(changes) or 'nothing'}."
    devices = [results.histories[name]["params"]["device"].upper() for name in results.shown]
    if "GPU" in devices:
        where = " and ".join(f"`{name}` on a {device}" for name, device in zip(results.shown, devices, strict=True))
        return f"The paper's second run was on a GPU; here {where}. {changed}"
    return (
        f"The paper's second run was on a GPU; here both were on the CPU. {changed} "
        f"Read `{second}` beside the paper's GPU run as another run's losses, not as a GPU's speed."
    )


def _fewer_images(params: Params) -> str:
    kept = params.preprocess.train_images
    if kept is None:
        return ""
    return f"These runs had {kept:,} training images (`preprocess.train_images`), the paper's had all of MNIST's."


def _paper_figures(results: Results) -> list[str]:
    counts = " and ".join(str(count) for count in SAMPLES_RECONSTRUCTED.values())
    return [
        "## Figures 1 and 2: reconstructed and generated digits",
        *_pictures(results, 1, "reconstructions", "originals over reconstructions, and generated digits, of"),
        f"The first {results.params.evaluate.digits} test images over what the model makes of them, and digits decoded "
        "from draws of the prior. Over all test images the reconstruction loss is "
        + _of_each(results, lambda test: f"{test['reconstruction_loss']:.2f}")
        + f". The paper judges by eye that at least {counts} of its 10 samples are reconstructed; that is not "
        f"repeated here. Numbers: {_metrics_files(results.shown)}.",
        "## Figures 3 and 4: the latent space",
        *_pictures(results, 3, "latent", "z_mean of the test images by digit, of"),
        "Each point is z_mean of one test image, its colour the digit; a numeral stands at the median of its class. "
        "The model never sees a label. On the test images: "
        + _of_each(results, _latent_use)
        + f". Numbers: {_metrics_files(results.shown)}.",
        "## Figures 5 and 6: loss while training",
        *_pictures(results, 5, "loss", "loss by epoch of"),
        " ".join(_course(name, results.histories[name]["epochs"]) for name in dict.fromkeys(results.shown))
        + " Training losses are means over an epoch in which the model changes, validation losses are taken at its "
        f"end. Numbers: {_files(results.shown, 'history.json')}; dotted: the paper's Table I.",
    ]


def _of_each(results: Results, say: Callable[[Mapping], str]) -> str:
    return "; ".join(f"{say(results.metrics[name]['test'])} (`{name}`)" for name in dict.fromkeys(results.shown))


def _latent_use(test: Mapping) -> str:
    kl = test["kl_per_dimension"].values()
    return (
        f"KL of {min(kl):.2f} to {max(kl):.2f} nats in a latent dimension, {test['active_units']} of {len(kl)} of them "
        f"active, and {_count(test['dead_units'], 'dead unit')} in the encoder's hidden layer"
    )


def _course(name: str, epochs: Sequence[Mapping]) -> str:
    first, last = epochs[0], epochs[-1]
    best = min(epochs, key=lambda epoch: epoch["val_loss"])
    return (
        f"`{name}`: validation loss {first['val_loss']:.2f} after the first and {last['val_loss']:.2f} after the last "
        f"of {_count(len(epochs), 'epoch')}, lowest ({best['val_loss']:.2f}) after epoch {best['epoch']}; training "
        f"loss {last['loss']:.2f} at the end."
    )


def _latent_plane(results: Results, drawn: bool) -> list[str]:
    name, grid = results.shown[0], results.params.evaluate.grid
    if not drawn:
        latent_dim = results.params.train.latent_dim
        return ["## The latent plane", f"Not drawn: `train.latent_dim` is {latent_dim}, and a plane needs 2."]
    return [
        "## The latent plane",
        _image("latent_plane", f"Digits decoded over the latent plane of {name}"),
        f"What `{name}` decodes at {grid} x {grid} points of the latent plane, spaced by the quantiles of the standard "
        "normal prior: each picture stands for the same share of what the model would generate. "
        f"From `models/{name}/samples.npz`.",
    ]


def _ablation(results: Results, made: Mapping[str, Table]) -> list[str]:
    silence = "The paper announces this ablation and a five-fold cross-validation, and prints no number of either."
    if not results.compared:
        table = made["ablation"].markdown() if results.variants else ""
        nothing = f"Nothing to compare: no variant shares folds with `{BASELINE}`. {silence}"
        return ["## Ablation over folds", table, nothing]
    return [
        "## Ablation over folds",
        made["ablation"].markdown(),
        _image("ablation", "Differences from the baseline by fold, with 95 % intervals"),
        "Validation images of each fold; mean ± standard deviation over folds; in brackets the 95 % t-interval of the "
        "mean per-fold difference from the baseline. In the figure, a dot is a fold, the diamond their mean.",
        "\n".join(f"- {_verdict(name, results.variants[name])}" for name in results.compared),
        "Folds share most of their training images and every run has a single seed, so the intervals are rather too "
        f"narrow than too wide. {silence}",
        "Numbers: `reports/metrics/variants/<variant>.json`; as a table: [ablation.csv](tables/ablation.csv), and "
        "fold by fold: [fold_differences.csv](tables/fold_differences.csv).",
    ]


def _verdict(name: str, variant: Mapping) -> str:
    """In words what the intervals say; a lower reconstruction loss may be bought with KL, so the ELBO is judged too."""
    distortion = tables.difference(variant["validation"]["reconstruction_loss"])
    elbo = tables.difference(variant["validation"]["elbo"])
    return (
        f"`{name}`: reconstruction loss {_interval(distortion)}, {_outcome(distortion)} the "
        f"baseline; ELBO {_interval(elbo)}, {_outcome(elbo)} the baseline "
        f"({variant['folds']} folds)."
    )


def _interval(difference: Difference) -> str:
    return f"{signed(difference.mean)} nats [{signed(difference.low)}, {signed(difference.high)}]"


def _outcome(difference: Difference) -> str:
    """What the interval says of zero."""
    if difference.low > 0:
        return "higher than"
    return "lower than" if difference.high < 0 else "not to be told from"


def _rate_distortion(results: Results) -> list[str]:
    silence = "The paper names this trade-off in its abstract and prints no number of it."
    if not (sweep := results.beta_sweep()):
        return [
            "## Reconstruction against KL over beta",
            f"No sweep: fewer than two runs on `{FULL}` differ from `{BASELINE}-{FULL}` in beta alone. {silence}",
        ]
    test = {name: results.metrics[name]["test"] for name in sweep}
    (first, low), *_, (last, high) = sweep.items()
    best = max(test, key=lambda name: test[name]["elbo"])
    return [
        "## Reconstruction against KL over beta",
        _image("rate_distortion", "Reconstruction loss against KL, a point for each beta"),
        f"From beta {low:g} to {high:g} the KL goes from {test[first]['kl_loss']:.2f} to {test[last]['kl_loss']:.2f} "
        f"and the reconstruction loss from {test[first]['reconstruction_loss']:.2f} to "
        f"{test[last]['reconstruction_loss']:.2f} on the test images. The ELBO is best at beta {sweep[best]:g} "
        f"({signed(test[best]['elbo'])}, the dashed line). One run each: no interval is known. {_seed_effect(results)}",
        f"{silence} Numbers: {_metrics_files(sweep)}.",
    ]


def _seed_effect(results: Results) -> str:
    """The two shown runs as a yardstick, where only the seed tells them apart."""
    first, second = (results.histories[name]["params"] for name in results.shown)
    if first == second or first | {"seed": second["seed"]} != second:
        return ""
    elbo = [results.metrics[name]["test"]["elbo"] for name in results.shown]
    names = " and ".join(f"`{name}`" for name in results.shown)
    return f"For scale: {names}, which differ in their seed alone, are {abs(elbo[0] - elbo[1]):.2f} nats of ELBO apart."


def _all_runs(made: Mapping[str, Table]) -> list[str]:
    return [
        "## All runs",
        made["runs"].markdown(),
        "Numbers: `reports/metrics/runs/<run>.json` and `models/<run>/timings.json`; as a table: "
        "[runs.csv](tables/runs.csv).",
    ]


def _pictures(results: Results, number: int, kind: str, what: str) -> list[str]:
    return [
        _image(f"figure_{number + position}_{kind}", f"Figure {number + position}: {what} {name}")
        for position, name in enumerate(results.shown)
    ]


def _image(file: str, text: str) -> str:
    return f"![{text}](figures/{file}.png)"


def _metrics_files(names: Iterable[str]) -> str:
    return ", ".join(f"[{name}.json](metrics/runs/{name}.json)" for name in dict.fromkeys(names))


def _files(names: Iterable[str], file: str) -> str:
    return ", ".join(f"`models/{name}/{file}`" for name in dict.fromkeys(names))


def _beside(value: float, reference: float) -> str:
    return f"{abs(value - reference):.2f} {'below' if value < reference else 'above'}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _latent_space(results: Results, mapped: bool) -> list[str]:
    name = results.shown[0]
    picture = f"![The latent plane of {name} by what the classifier sees there](figures/latent_map.png)"
    legend = (
        "The latent plane in the colours of the digits that the classifier sees in what is decoded there, paler where "
        "it is less sure. Contours hold 50 % and 90 % of the aggregate posterior, where test images are encoded to, "
        "dashed circles 50 % and 90 % of the prior, where generated digits are decoded from: inside the circles and "
        "outside the contours they come from points that the decoder hardly learnt from. "
        f"From `models/{name}/samples.npz`."
    )
    return [
        "## What the latent space tells, and what is generated from it",
        *((picture, legend) if mapped else ()),
        _information(name, results.metrics[name]),
        _judgement(results.metrics[name]["quality"], results.classifier)
        + f" Numbers: [{name}.json](metrics/runs/{name}.json), [classifier.json](metrics/classifier.json).",
        "![What runs make of the same test images and the same latent points](figures/digits_beside.png)",
        "A run of each variant that differs in more than its seed. Left: the first test image of each digit, and its "
        "reconstructions. Right: what is decoded at ten points of the latent space, the same for all, evenly on the "
        "circle that holds half of the prior in the first two dimensions. Nothing fixes which digit a run puts where, "
        "but a run that covers the prior has them all around the circle, and no single one along half of it. From "
        "`digits.npz` in the folder of each run, of extended ones in `extended/runs`.",
    ]


def _information(name: str, metrics: Mapping) -> str:
    latent = metrics["latent"]
    return (
        f"Of the {metrics['test']['kl_loss']:.2f} nats of KL of `{name}` on the test images, "
        f"{latent['mutual_information']:.2f} are information about the image, and {latent['aggregate_divergence']:.2f} "
        f"the divergence of the aggregate posterior from the prior (± {latent['information_error']:.2f}). No label was "
        f"shown to the model, and yet the ten nearest training images name the digit of {_percent(latent, 'knn')} of "
        f"the test images and a linear probe that of {_percent(latent, 'probe')}. A mixture of ten Gaussians finds "
        f"clusters that share {latent['nmi']:.2f} of their information with the digits (normalised; 1: they are the "
        f"digits); the silhouette of the digits is {signed(latent['silhouette'])} (1: far apart, 0: they overlap)."
    )


def _judgement(quality: Mapping, judge: Mapping) -> str:
    samples, rebuilt = quality["samples"], quality["reconstructions"]
    return (
        f"The classifier is right on {_percent(judge)} of the test images, and agrees with the label on "
        f"{100 * rebuilt['agreement']:.1f} % of their reconstructions. Its confidence is {judge['confidence']:.2f} in "
        f"test images, {rebuilt['confidence']:.2f} in reconstructions and {samples['confidence']:.2f} in digits from "
        f"the prior, whose classes have a balance of {samples['class_balance']:.2f} (1: all equally many). In its "
        f"features the Frechet distance from the test images is {samples['frechet']:.1f} for digits from the prior and "
        f"{rebuilt['frechet']:.1f} for reconstructions; for as many training images it is {judge['frechet_train']:.1f}."
    )


def _percent(shares: Mapping, kind: str = "") -> str:
    return f"{100 * shares[f'{kind}_accuracy'.lstrip('_')]:.1f} %"
