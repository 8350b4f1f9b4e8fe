"""Stage `plot`: the paper's figures and tables, those beyond it, and reports/README.md, which reads them.

python -m pipeline.plot
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from digit_vae import figures
from digit_vae.benchmark import machine_name, read_benchmarks, read_comparisons
from digit_vae.errors import UserError, exit_status
from digit_vae.files import read_json, read_listed_npy, read_npz, write_folder, write_text
from digit_vae.paper import TABLE_1
from digit_vae.params import Params, load_params, runs
from digit_vae.report import Results, report
from digit_vae.statistics import by_fold
from pipeline.publish import reported, reported_file

PROCESSED = Path("data/processed")
MODELS = Path("models")
METRICS = Path("reports/metrics")
BENCHMARKS = Path("reports/benchmarks")
REPORTS = Path("reports")
COMPARED = {"reconstruction_loss": "reconstruction loss (← better)", "kl_loss": "KL", "elbo": "ELBO (better →)"}


def load_results(params: Params) -> Results:
    """What the stages wrote about the declared runs."""
    declared = runs(params)
    names = [run.name for run in declared]
    metrics = {
        name: read_json(METRICS / f"runs/{name}.json", made_by=f"evaluate@{name}", keys=("validation", "test"))
        for name in names
    }
    return Results(
        params=params,
        histories={
            name: read_json(MODELS / name / "history.json", made_by=f"train@{name}", keys=("params", "epochs"))
            for name in (params.plot.first_run, params.plot.second_run)
        },
        timings={
            run.name: read_json(
                reported_file(run, "timings.json"), made_by=f"train@{run.name}", keys=("machine", "epochs")
            )
            for run in declared
        },
        metrics=metrics,
        variants={
            variant: read_json(METRICS / f"variants/{variant}.json", made_by="compare", keys=("folds", "validation"))
            for variant in by_fold(declared, metrics)
        },
        benchmarks=read_benchmarks(BENCHMARKS),
        comparisons=read_comparisons(BENCHMARKS / "side_by_side"),
    )


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
    return drawn


def further_figures(results: Results) -> dict[str, figures.Figure]:
    """Beyond the paper: seconds an epoch, where they were measured; the ablation and the sweep over beta, where
    params.yaml has variants for them.
    """
    drawn = {}
    if results.benchmarks:
        drawn["epoch_seconds"] = figures.epoch_seconds(epoch_seconds(results.benchmarks))
    if results.compared:
        drawn["ablation"] = figures.ablation(
            {title: results.fold_differences(metric) for metric, title in COMPARED.items()}
        )
    if sweep := results.beta_sweep():
        test = {name: results.metrics[name]["test"] for name in sweep}
        drawn["rate_distortion"] = figures.rate_distortion(
            [(beta, test[name]["kl_loss"], test[name]["reconstruction_loss"]) for name, beta in sweep.items()]
        )
    return drawn


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
    results = load_results(reported(load_params()))
    labels, _ = read_listed_npy(PROCESSED, "test_labels.npy", made_by="preprocess")
    drawn = paper_figures(results, labels) | further_figures(results)
    made = results.tables()
    table_files = {f"{name}.csv": table.csv() for name, table in made.items()}
    table_files |= {f"{name}.md": table.markdown().encode() for name, table in made.items()}
    write_folder(REPORTS / "figures", {f"{name}.png": figures.png_bytes(figure) for name, figure in drawn.items()})
    write_folder(REPORTS / "tables", table_files)
    write_text(REPORTS / "README.md", report(results, made, drawn))


if __name__ == "__main__":
    sys.exit(exit_status(main))
