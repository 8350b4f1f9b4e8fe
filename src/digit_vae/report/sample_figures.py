"""Figures of what runs make: of samples.npz, which is too large for git, and of digits.npz, which git has."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from digit_vae.analysis.results import Results
from digit_vae.base.errors import UserError
from digit_vae.base.files import read_npz
from digit_vae.base.shapes import ArrayShape
from digit_vae.config.runs import Graph, Run, find_run, runs
from digit_vae.config.schema import FULL, Params
from digit_vae.report import figures

# Of samples.npz and digits.npz what is read of them: images of 28 x 28 pixels and, where the latent space has two
# dimensions, a map of what the classifier, if there is one, sees there.
SAMPLES_SHAPE: Mapping[str, ArrayShape] = {
    "z_mean": (np.floating, ("images", "latent_dim")),
    **dict.fromkeys(("originals", "reconstructions", "generated"), (np.uint8, ("digits", 28, 28))),
    "plane?": (np.uint8, ("grid", "grid", 28, 28)),
    "map_edges?plane": (np.floating, (("cells", 1),)),
    "map_mass?plane": (np.floating, ("cells", "cells")),
    "map_classes?": (np.uint8, ("cells", "cells")),
    "map_confidence?map_classes": (np.floating, ("cells", "cells")),
}
POINTS = 10  # of the latent space: so many images are decoded; there may be fewer classes
MAP_SHAPE: Mapping[str, ArrayShape] = {
    "map_classes?": (np.uint8, ("cells", "cells")),
    "map_percent?map_classes": (np.uint8, ("cells", "cells")),
    "map_edges?map_classes": (np.floating, (("cells", 1),)),
}
DIGITS_SHAPE: Mapping[str, ArrayShape] = {
    **dict.fromkeys(("originals", "reconstructions"), (np.uint8, (range(1, POINTS + 1), 28, 28))),
    **dict.fromkeys(("decoded", "prior", "mixture"), (np.uint8, (POINTS, 28, 28))),
}


class Beside(NamedTuple):
    """The runs whose digits are shown beside each other, and the variants of which git has no images."""

    runs: list[Run]
    missing: list[str]

    @property
    def mixed(self) -> bool:
        """Whether some are on folds and some on all training images."""
        return len({run.split == FULL for run in self.runs}) > 1


def paper_figures(params: Params, labels: np.ndarray, classes: Sequence[str]) -> dict[str, figures.Figure]:
    """By file name: the paper's Figures 1 to 4, and the latent plane of its first run.

    labels: of the test images, (N,), or (0,) where there are none; classes: their names.
    Raises: UserError that names the file and the stage that makes it.
    """
    drawn = {}
    for position, name in enumerate((params.report.first_run, params.report.second_run)):
        samples = _samples(find_run(params, name), len(labels))
        shown = (samples[key] for key in ("originals", "reconstructions", "generated"))
        drawn[f"figure_{position + 1}_reconstructions"] = figures.digits(*shown, title=name)
        drawn[f"figure_{position + 3}_latent"] = figures.latent_scatter(samples["z_mean"], labels, classes, title=name)
        if position == 0 and "plane" in samples:
            drawn["latent_plane"] = figures.latent_plane(samples["plane"], title=name)
            drawn["latent_map"] = figures.latent_map(samples, classes, title=name)
    return drawn


def shown_beside(results: Results, graph: Graph) -> Beside:
    """One run of each variant of the graph: all on a fold or all on all training images, where there are such of every
    variant; or else as many as can be, and a fold where that is no matter.
    """
    declared = [run for run in runs(results.params, graph) if run.name in results.runs]
    there = [run for run in declared if run.files.digits.is_file()]
    full = {run.variant for run in there if run.split == FULL}
    fold = {run.variant for run in there if run.split != FULL}
    chosen: dict[str, Run] = {}
    for run in sorted(there, key=lambda run: (run.split == FULL) != (len(full) > len(fold))):
        chosen.setdefault(run.variant, run)
    missing = dict.fromkeys(run.variant for run in declared if run.variant not in chosen)
    return Beside([run for run in there if run in chosen.values()], list(missing))


def digits_beside(shown: Sequence[Run]) -> dict[str, figures.Figure]:
    """What each of these runs makes of the same test images and latent points, and digits of its prior and its mixture;
    nothing where there are none.
    """
    files = {run.name: read_digits(run) for run in shown}
    if not files:
        return {}
    columns = len(next(iter(files.values()))["decoded"])  # there may be fewer classes
    originals = filled(next(iter(files.values()))["originals"], columns)
    rows = {name: (filled(each["reconstructions"], columns), each["decoded"]) for name, each in files.items()}
    drawn = {name: (each["prior"], each["mixture"]) for name, each in files.items()}
    return {
        "digits_beside": figures.digits_beside(originals, rows),
        "samples_beside": figures.samples_beside(drawn),
    }


def read_digits(run: Run, shapes: Mapping[str, ArrayShape] = DIGITS_SHAPE) -> dict[str, np.ndarray]:
    """What git has of a run's images, or its map with MAP_SHAPE. Raises: UserError when it is missing or damaged."""
    return read_npz(run.files.digits, made_by=run.stages[1], shapes=shapes)


def filled(images: np.ndarray, count: int) -> np.ndarray:
    """Images (N, 28, 28) and empty ones after them, so that there are `count`."""
    return np.pad(images, ((0, count - len(images)), (0, 0), (0, 0)))


def _samples(run: Run, images: int) -> dict[str, np.ndarray]:
    path, stage = run.files.samples, run.stages[1]
    samples = read_npz(path, made_by=stage, shapes=SAMPLES_SHAPE)
    if images and len(samples["z_mean"]) != images:
        raise UserError(
            f"{path}: expected one z_mean for each of the {images} test images; "
            f"received {len(samples['z_mean'])}: `dvc repro {stage}` makes it again"
        )
    return samples
