"""Stage `plot`: the paper's figures and tables, those beyond it, and reports/README.md, which reads them.

python -m pipeline.plot
"""

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from digit_vae.report.report import figures
from digit_vae.report.report import report_recipes
from digit_vae.report.report import report_runs
from digit_vae.speed.records import machine_name, read_benchmarks, read_comparisons
from digit_vae.base.errors import UserError, exit_status
from digit_vae.base.files import read_json, read_listed_npy, read_npz, write_folder, write_text
from digit_vae.training.health import UNITS
from digit_vae.report.paper import TABLE_1
from digit_vae.config.params import BASELINE, Params, Run, load_params, runs
from digit_vae.report.report import all_tables, report
from digit_vae.analysis.results import FEWEST_SEEDS, IMPROVED, Results
from digit_vae.analysis.statistics import Difference, by_fold, placed
from digit_vae.report.wording import difference
from digit_vae.analysis.publish import DIGITS, EVALUATED, reported, reported_file, shown_beside

PROCESSED = Path("data/processed")
MODELS = Path("models")
METRICS = Path("reports/metrics")
BENCHMARKS = Path("reports/benchmarks")
REPORTS = Path("reports")
COMPARED = {"reconstruction_loss": "recon. loss (← better)", "kl_loss": "KL", "elbo": "ELBO (better →)"}


def load_results(params: Params, missing: tuple[str, ...] = ()) -> Results:
    """What the stages wrote about the declared runs. missing: variants that are not among them."""
    declared = runs(params)
    names = [run.name for run in declared]
    metrics = {
        name: read_json(METRICS / f"runs/{name}.json", made_by=f"evaluate@{name}", keys=EVALUATED) for name in names
    }
    return Results(
        params=params,
        histories=trained(declared, "history.json", ("params", "epochs")),
        timings=trained(declared, "timings.json", ("machine", "epochs")),
        metrics=metrics,
        variants={
            variant: read_json(METRICS / f"variants/{variant}.json", made_by="compare", keys=("folds", "validation"))
            for variant in by_fold(declared, metrics)
        },
        classifier=read_json(METRICS / "classifier.json", made_by="classifier", keys=("accuracy", "frechet_train")),
        benchmarks=read_benchmarks(BENCHMARKS),
        comparisons=read_comparisons(BENCHMARKS / "side_by_side"),
        missing=missing,
    )


def trained(declared: Iterable[Run], file: str, keys: Sequence[str]) -> dict[str, dict]:
    """A JSON file that training left, by run name."""
    return {run.name: read_json(reported_file(run, file), made_by=f"train@{run.name}", keys=keys) for run in declared}


def paper_figures(results: Results, labels: np.ndarray) -> dict[str, figures.Figure]:
    """Figures 1 to 6, and the latent plane of the first run where there is one."""
    drawn = {}
    for position, (name, source) in enumerate(zip(results.shown, TABLE_1, strict=True)):
        samples = read_npz(MODELS / name / "samples.npz", made_by=f"evaluate@{name}")
        if len(samples["z_mean"]) != len(labels):
            raise UserError(
                f"models/{name}/samples.npz: expected one z_mean for each of the {len(labels)} test images, "
                f"received {len(samples['z_mean'])}: `dvc repro evaluate@{name}` makes it again"
            )
        published = [epoch.val_loss for epoch in TABLE_1[source]]
        shown = (samples[key] for key in ("originals", "reconstructions", "generated"))
        drawn[f"figure_{position + 1}_reconstructions"] = figures.digits(*shown, title=name)
        drawn[f"figure_{position + 3}_latent"] = figures.latent_scatter(samples["z_mean"], labels, title=name)
        drawn[f"figure_{position + 5}_loss"] = figures.loss_curves(
            results.histories[name]["epochs"], title=name, published=published, source=f"paper's {source} run"
        )
        if position == 0 and "plane" in samples:
            drawn["latent_plane"] = figures.latent_plane(samples["plane"], title=name)
            drawn["latent_map"] = figures.latent_map(samples, title=name)
    return drawn


def digits_beside(declared: Sequence[Run]) -> figures.Figure:
    """What each of these runs makes of the same test images and the same latent points."""
    files = {run.name: read_npz(reported_file(run, DIGITS), made_by=f"evaluate@{run.name}") for run in declared}
    originals = next(iter(files.values()))["originals"]
    return figures.digits_beside(
        originals, {name: (each["reconstructions"], each["decoded"]) for name, each in files.items()}
    )


def further_figures(results: Results) -> dict[str, figures.Figure]:
    """Beyond the paper: seconds an epoch, where they were measured; the comparison of variants, the sweep over beta and
    the seeds, where there are such runs; health.
    """
    drawn = {}
    if results.benchmarks:
        drawn["epoch_seconds"] = figures.epoch_seconds(epoch_seconds(results.benchmarks))
    if results.judged:
        panels = {title: differences(results, metric) for metric, title in COMPARED.items()}
        drawn["ablation"] = figures.ablation(panels)
    if sweep := results.betas():
        losses = ("kl_loss", "reconstruction_loss")
        points = [
            (beta, *(results.on_folds(name, "validation", key) for key in losses)) for name, beta in sweep.items()
        ]
        drawn["rate_distortion"] = figures.rate_distortion(points)
    return drawn | seed_figures(results)


def seed_figures(results: Results) -> dict[str, figures.Figure]:
    """The seeds of the baseline and of the better recipe, and each cure: where they end, and how their health goes."""
    seeds = {name: found for name in (BASELINE, IMPROVED) if (found := results.seeds(name))}
    curves = {name: [results.histories[run]["epochs"] for run in found] for name, found in seeds.items()}
    published = {label: [epoch.val_loss for epoch in epochs] for label, epochs in TABLE_1.items()}
    worst = report_runs.worst(results)
    if not any(worst in found for found in seeds.values()):
        curves[worst] = [results.histories[worst]["epochs"]]
    drawn = {"health": figures.health(curves, published)}
    if len(seeds.get(BASELINE, ())) >= FEWEST_SEEDS:
        losses = {name: list(results.last_losses(found).values()) for name, found in seeds.items()}
        ends = report_runs.published()
        _, _, *expected = placed(ends["CPU"], losses[BASELINE])
        drawn["seeds"] = figures.seeds(losses, expected, ends, report_runs.points(results))
        if results.cures():
            found = report_recipes.recipes(results)
            drawn["recipes"] = figures.recipes(found, expected, report_recipes.TARGET, UNITS["hidden"])
    return drawn


def differences(results: Results, metric: str) -> dict[str, tuple[np.ndarray, Difference, tuple[float, float]]]:
    """For each judged variant: difference on each fold, the mean's with its interval, the bootstrap's interval."""
    folds = results.fold_differences(metric)
    found = {name: results.variants[name]["validation"][metric] for name in results.judged}
    return {
        name: (folds[name], difference(its), (its["bootstrap_low"], its["bootstrap_high"]))
        for name, its in found.items()
    }


def epoch_seconds(benchmarks: Mapping[str, Mapping]) -> dict[str, list[float]]:
    """The seconds of every epoch of all repetitions, by what they were measured on; and the paper's."""
    measured = {
        f"{machine_name(each['machine'])}, {each['machine']['precision']}": [
            epoch["train_seconds"] for run in each["runs"] for epoch in run["epochs"]
        ]
        for each in benchmarks.values()
    }
    return measured | {f"paper, {label}": [epoch.seconds for epoch in epochs] for label, epochs in TABLE_1.items()}


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    params = load_params()
    used = reported(params)
    results = load_results(used, missing=tuple(name for name in params.variants if name not in used.variants))
    labels, _ = read_listed_npy(PROCESSED, "test_labels.npy", made_by="preprocess")
    drawn = paper_figures(results, labels) | further_figures(results)
    drawn["digits_beside"] = digits_beside([run for run in shown_beside(params) if run.variant in used.variants])
    made = all_tables(results)
    table_files = {f"{name}.csv": table.csv() for name, table in made.items()}
    table_files |= {f"{name}.md": table.markdown().encode() for name, table in made.items()}
    write_folder(REPORTS / "figures", {f"{name}.png": figures.png_bytes(figure) for name, figure in drawn.items()})
    write_folder(REPORTS / "tables", table_files)
    write_text(REPORTS / "README.md", report(results, made, drawn))


if __name__ == "__main__":
    sys.exit(exit_status(main))
