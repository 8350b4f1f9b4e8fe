"""The figures that need arrays of trained runs, models/<run>/samples.npz and digits.npz: not all are in git."""

from collections.abc import Sequence

import numpy as np

from digit_vae.analysis.results import addressed
from digit_vae.base.errors import UserError
from digit_vae.base.files import read_npz
from digit_vae.base.paths import RunFiles
from digit_vae.config.runs import Graph, Run, find_run, runs
from digit_vae.config.schema import FULL, Params
from digit_vae.report import figures


def pictures(params: Params, graph: Graph, labels: np.ndarray) -> dict[str, figures.Figure]:
    """By file name: the paper's Figures 1 to 4 and the latent plane of its first run; digits of a run of each variant.

    labels: of the test images, (N,). Raises: UserError that names the file and the stage that makes it.
    """
    paper = paper_figures(params, labels) if graph == "paper" else {}
    return paper | {"digits_beside": digits_beside(shown_beside(params, graph))}


def paper_figures(params: Params, labels: np.ndarray) -> dict[str, figures.Figure]:
    drawn = {}
    for position, name in enumerate((params.report.first_run, params.report.second_run)):
        samples = _samples(find_run(params, name), len(labels))
        shown = (samples[key] for key in ("originals", "reconstructions", "generated"))
        drawn[f"figure_{position + 1}_reconstructions"] = figures.digits(*shown, title=name)
        drawn[f"figure_{position + 3}_latent"] = figures.latent_scatter(samples["z_mean"], labels, title=name)
        if position == 0 and "plane" in samples:
            drawn["latent_plane"] = figures.latent_plane(samples["plane"], title=name)
            drawn["latent_map"] = figures.latent_map(samples, title=name)
    return drawn


def shown_beside(params: Params, graph: Graph) -> list[Run]:
    """One run of each variant of the graph: on the first of its folds, or else on all training images."""
    chosen: dict[str, Run] = {}
    for run in sorted(runs(params, graph), key=lambda run: run.split == FULL):
        chosen.setdefault(run.variant, run)
    return [run for run in runs(params, graph) if run in chosen.values()]


def digits_beside(shown: Sequence[Run]) -> figures.Figure:
    """What each of these runs makes of the same test images and the same latent points."""
    files = {
        run.name: read_npz(RunFiles(run.graph, run.name).digits, made_by=addressed(run.stages[1], run.graph))
        for run in shown
    }
    originals = next(iter(files.values()))["originals"]
    return figures.digits_beside(
        originals, {name: (each["reconstructions"], each["decoded"]) for name, each in files.items()}
    )


def _samples(run: Run, images: int) -> dict[str, np.ndarray]:
    path, stage = RunFiles(run.graph, run.name).samples, addressed(run.stages[1], run.graph)
    samples = read_npz(path, made_by=stage)
    if len(samples["z_mean"]) != images:
        raise UserError(
            f"{path}: expected one z_mean for each of the {images} test images; "
            f"received {len(samples['z_mean'])}: `dvc repro {stage}` makes it again"
        )
    return samples
