"""The results in words: what the stages wrote in, reports/README.md as Markdown out.

Every number in the text comes from those files, or from the paper's own in digit_vae.report.paper.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from digit_vae.report.report import report_latent
from digit_vae.report.report import report_likelihood
from digit_vae.report.report import report_recipes
from digit_vae.report.report import report_runs
from digit_vae.report.report import report_variants
from digit_vae.report.report import tables
from digit_vae.report.paper import SAMPLES_RECONSTRUCTED, TABLE_1
from digit_vae.config.params import BASELINE, FULL, Params
from digit_vae.analysis.results import FEWEST_SEEDS, Results
from digit_vae.report.tables import Table, typeset
from digit_vae.report.wording import beside, count, folded, image, metrics_files, paragraphs, quoted


def all_tables(results: Results) -> dict[str, Table]:
    """The tables by file name."""
    here = results.timings[results.params.plot.first_run]["machine"]
    histories = {name: results.histories[name] for name in results.shown}
    sources = tables.sources(histories, results.benchmarks, here)
    made = {"table_1": tables.table_1(sources), "table_1_last": tables.last_epochs(sources)}
    if results.benchmarks:
        made["benchmarks"] = tables.benchmarks_table(results.benchmarks, here)
    if results.comparisons:
        made["side_by_side"] = tables.side_by_side(results.comparisons)
    for part in (report_variants, report_likelihood, report_runs, report_recipes):
        made |= part.tables(results)
    return made | {"runs": tables.all_runs(results.metrics, results.timings)}


def report(results: Results, made: Mapping[str, Table], figures: Iterable[str]) -> str:
    """The whole of reports/README.md. made: the tables by file name; figures: the file names of those drawn."""
    sections = (
        _opening(results),
        _table_1(results, made),
        _speed(results, made),
        _paper_figures(results),
        _latent_plane(results, "latent_plane" in figures),
        report_latent.section(results, "latent_map" in figures),
        report_variants.differences(results, made),
        report_likelihood.section(results, made),
        report_variants.latent_space(results, made),
        report_variants.beta(results, made),
        *report_runs.sections(results, made),
        report_recipes.section(results, made),
        _all_runs(results, made),
    )
    return paragraphs(sections)


def _opening(results: Results) -> list[str]:
    missing = "Not in this report, since they are not trained with the present params (`make extended` does that): "
    return [
        "# Results",
        "Made by `python -m pipeline.plot` from the files that the other stages wrote; every number below is read from "
        "the file named beside it. Losses are nats per image, seconds are those of the training steps alone. A run is "
        "called `<variant>-<split>`: on `full` it learns from all training images and is validated on the test images, "
        "on a fold it learns from the other folds and is validated on that one. The ELBO is at beta 1 throughout. "
        "Losses and ELBOs are of grey pixels where nothing else is said; likelihoods name their protocol. "
        "`models/` is what `make repro` leaves on your disk; git has the histories and timings of its runs in "
        "[published](published), those of extended runs in [extended/runs](extended/runs). Definitions, with formulas, "
        "units and sources, are the docstrings of [likelihood.py](../src/digit_vae/likelihood.py), "
        "[latent.py](../src/digit_vae/latent.py), [quality.py](../src/digit_vae/quality.py) and "
        "[statistics.py](../src/digit_vae/statistics.py).",
        f"{missing}{quoted(results.missing)}." if results.missing else "",
    ]


def _table_1(results: Results, made: Mapping[str, Table]) -> list[str]:
    return [
        "## Table I: loss and time of the two runs, beside the paper's",
        made["table_1_last"].markdown(),
        " ".join(_against_paper(results, name, source) for name, source in zip(results.shown, TABLE_1, strict=True)),
        _second_run(results),
        _fewer_images(results.params),
        "The seconds of our two runs are left out, since they shared the machine with others; benchmarks had it for "
        "themselves: median [least, greatest] over seeds.",
        f"Ours: {_files(results.shown, 'history.json')}; benchmarks: [their files](benchmarks/README.md). The paper's: "
        "its Table I; it does not say whether its seconds include validation, which ours do not. "
        "All epochs: [table_1.csv](tables/table_1.csv), or:",
        folded("Table I, epoch by epoch", made["table_1"]),
    ]


def _speed(results: Results, made: Mapping[str, Table]) -> list[str]:
    parts = ["## Speed"]
    if results.benchmarks:
        parts += [
            made["benchmarks"].markdown(),
            image("epoch_seconds", "Seconds an epoch by device and precision, beside the paper's"),
            "The paper's run, with nothing beside it: median [least, greatest] over the seeds. Seconds are those of "
            "the training steps; validation and set-up (tracing and compilation) stand beside. "
            "The share of the matrix product is the arithmetic of the steps over what the same device did in the same "
            "minutes on a plain product of matrices, in the same precision. As a table: "
            "[benchmarks.csv](tables/benchmarks.csv).",
            _precision(results),
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


def _precision(results: Results) -> str:
    """How the losses of benchmarks in mixed_bfloat16 stand to those of float32 runs that differ in their seed."""
    ends = [
        (each["summary"]["val_loss"]["low"], each["summary"]["val_loss"]["high"])
        for each in results.benchmarks.values()
        if each["machine"]["precision"] == "mixed_bfloat16"
    ]
    seeds = list(results.last_losses(results.seeds(BASELINE)).values())
    if not ends or len(seeds) < FEWEST_SEEDS:
        return ""
    low, high = min(low for low, _ in ends), max(high for _, high in ends)
    inside = "inside" if min(seeds) <= low and high <= max(seeds) else "not all inside"
    return (
        f"In mixed_bfloat16 the validation loss ends between {low:.2f} and {high:.2f}, {inside} what {len(seeds)} "
        f"seeds in float32 give ({min(seeds):.2f} to {max(seeds):.2f})."
    )


def _full_epochs(results: Results) -> str:
    return " or ".join(sorted({str(each["full_epochs"]) for each in results.comparisons.values()}))


def _against_paper(results: Results, name: str, source: str) -> str:
    epochs, paper = results.histories[name]["epochs"], TABLE_1[source]
    ours, theirs = epochs[-1]["val_loss"], paper[-1].val_loss
    return (
        f"After {count(len(epochs), 'epoch')} `{name}` has a validation loss of {ours:.2f}, {beside(ours, theirs)} "
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
        f"repeated here. Numbers: {metrics_files(results.shown)}.",
        "## Figures 3 and 4: the latent space",
        *_pictures(results, 3, "latent", "z_mean of the test images by digit, of"),
        "Each point is z_mean of one test image, its colour the digit; a numeral stands at the median of its class. "
        "The model never sees a label. On the test images: "
        + _of_each(results, _latent_use)
        + f". Numbers: {metrics_files(results.shown)}.",
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
        f"active, and {count(test['dead_units'], 'dead unit')} in the encoder's hidden layer"
    )


def _course(name: str, epochs: Sequence[Mapping]) -> str:
    first, last = epochs[0], epochs[-1]
    best = min(epochs, key=lambda epoch: epoch["val_loss"])
    return (
        f"`{name}`: validation loss {first['val_loss']:.2f} after the first and {last['val_loss']:.2f} after the last "
        f"of {count(len(epochs), 'epoch')}, lowest ({best['val_loss']:.2f}) after epoch {best['epoch']}; training "
        f"loss {last['loss']:.2f} at the end."
    )


def _latent_plane(results: Results, drawn: bool) -> list[str]:
    name, grid = results.shown[0], results.params.evaluate.grid
    if not drawn:
        latent_dim = results.params.train.latent_dim
        return ["## The latent plane", f"Not drawn: `train.latent_dim` is {latent_dim}, and a plane needs 2."]
    return [
        "## The latent plane",
        image("latent_plane", f"Digits decoded over the latent plane of {name}"),
        f"What `{name}` decodes at {grid} x {grid} points of the latent plane, spaced by the quantiles of the standard "
        "normal prior: each picture stands for the same share of what the model would generate. "
        f"From `models/{name}/samples.npz`. Where neighbours pass into one another, what lies between two digits may "
        f"be neither: of digits drawn from the prior the classifier is "
        f"{results.metrics[name]['quality']['samples']['confidence']:.2f} sure in the mean, of test images "
        f"{results.classifier['confidence']:.2f} ([{name}.json](metrics/runs/{name}.json), "
        "[classifier.json](metrics/classifier.json)).",
    ]


def _all_runs(results: Results, made: Mapping[str, Table]) -> list[str]:
    elbos = {name: metrics["test"]["elbo"] for name, metrics in results.metrics.items()}
    best, worst = max(elbos, key=elbos.get), min(elbos, key=elbos.get)
    return [
        "## All runs",
        folded("Every run on its validation images and on the test images", made["runs"]),
        f"Of {count(len(elbos), 'run')} `{best}` has the best ELBO on the test images, {typeset(elbos[best])} nats, "
        f"and `{worst}` the worst, {typeset(elbos[worst])}. Runs on folds learn from fewer images than "
        f"those on `{FULL}`: compare them with each other. Dead units are here those of the hidden layer over all "
        "images, under Health those over the first 2,000. The ELBO is that under Likelihood, for grey pixels; "
        "`val_loss` is of other draws of the latent samples. "
        "Seconds are of a machine that other runs shared. Numbers: "
        "`reports/metrics/runs/<run>.json` and `models/<run>/timings.json` (published as the histories are); as a "
        "table: [runs.csv](tables/runs.csv).",
    ]


def _pictures(results: Results, number: int, kind: str, what: str) -> list[str]:
    return [
        image(f"figure_{number + position}_{kind}", f"Figure {number + position}: {what} {name}")
        for position, name in enumerate(results.shown)
    ]


def _files(names: Iterable[str], file: str) -> str:
    return ", ".join(f"`models/{name}/{file}`" for name in dict.fromkeys(names))
