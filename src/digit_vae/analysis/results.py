"""What the stages wrote about the declared runs, read from the files that git keeps.

A study says which runs answer its question. A study is left out as a whole where results of its runs are missing, or
are of other params than params.yaml has; if params.yaml says `partial`, it is reported by the runs that there are.
"""

import functools
import operator
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from digit_vae.base.errors import UserError
from digit_vae.base.files import damaged, read_json
from digit_vae.base.paths import CLASSIFIER_METRICS, CLASSIFIER_WEIGHTS, MODELS, REPORTS, RunFiles
from digit_vae.base.shapes import (
    DEAD_UNITS,
    EPOCH,
    HEALTH,
    HISTORY,
    MACHINE,
    NUMBER,
    NUMBERS,
    SECONDS,
    All,
    Every,
    Shape,
)
from digit_vae.config.loading import read_run_params
from digit_vae.config.runs import GRAPHS, Graph, Run, graph_of, read_together, run_params, runs, study_runs
from digit_vae.config.schema import FULL, Params
from digit_vae.data.datasets import Description, described
from digit_vae.model.units import UNITS
from digit_vae.training.health import complaints

Json = Mapping[str, Any]

FEWEST_SEEDS = 3  # that say something of a distribution
# Of each file what is read of it.
KNOWN_UNITS = All(DEAD_UNITS, dict.fromkeys(UNITS, int))
HISTORY_SHAPE = HISTORY | {
    "params": {"latent_dim": int, "epochs": int},
    "epochs": [EPOCH | {"health": HEALTH | {"dead_units": KNOWN_UNITS}}],
}
MACHINE_SHAPE = MACHINE | {"platform": str}
TIMINGS_SHAPE = {"machine": MACHINE_SHAPE, "epochs": [SECONDS]}
EVALUATION_SHAPE = {"machine": MACHINE_SHAPE, "classifier_sha256": str}
CLASSIFIER_SHAPE = dict.fromkeys(  # where the images have labels
    ("accuracy", "confidence", "class_balance", "frechet_train", "precision_train", "recall_train"), NUMBER
)
MEASURED_SHAPE = {
    **dict.fromkeys(("elbo", "reconstruction_loss", "kl_loss"), NUMBER),
    **dict.fromkeys(("active_units", "dead_units"), int),
}
K = ("k1", "k10", "k100", "k1000")
BOUNDS = dict.fromkeys(("entropy_floor", "elbo", "elbo_error"), NUMBER) | dict.fromkeys(
    ("iw_bound", "iw_bound_error"), dict.fromkeys(K, NUMBER)
)
INTEGRAL = ("log_likelihood", "log_likelihood_error", "log_likelihood_error_maximum", "inference_gap")
INFORMATION = ("mutual_information", "aggregate_divergence", "information_error")
OF_IMAGES = dict.fromkeys(("confidence", "class_balance", "frechet", "precision", "recall"), NUMBER)
OF_CLASSES = {
    "latent": dict.fromkeys(("knn_accuracy", "probe_accuracy", "nmi", "silhouette?"), NUMBER),
    "quality": {
        "samples": OF_IMAGES,
        "mixture": OF_IMAGES | dict.fromkeys(("components", "log_density"), NUMBER),
        "reconstructions": dict.fromkeys(("agreement", "confidence", "frechet"), NUMBER),
    },
}


def metrics_shape(*, labelled: bool, latent_dim: int) -> Shape:
    """The shape of a metrics.json of so many latent dimensions. labelled: whether the images have labels."""
    protocol = BOUNDS | (dict.fromkeys(INTEGRAL, NUMBER) if latent_dim == 2 else {})
    of_images = MEASURED_SHAPE | {"kl_per_dimension": Every(NUMBER, least=max(1, latent_dim))}
    measured = {
        "validation": of_images,
        "test": of_images,
        "latent": dict.fromkeys(INFORMATION, NUMBER),
        "likelihood": {"grey": protocol, "binarised": protocol},
    }
    return All(NUMBERS, measured, OF_CLASSES if labelled else {})


def at(metrics: Json, path: Iterable[str]) -> Any:  # noqa: ANN401 - whatever JSON holds
    """The value at the keys of `path`, one after the other."""
    return functools.reduce(operator.getitem, path, metrics)


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """One run, and the contents of its JSON files."""

    run: Run
    history: Json
    timings: Json
    metrics: Json
    evaluation: Json

    @property
    def name(self) -> str:
        return self.run.name

    @property
    def epochs(self) -> list[Json]:
        return list(self.history["epochs"])

    @property
    def loss(self) -> float:
        """Validation loss after the last epoch; on `full` it is that of the test images."""
        return float(self.epochs[-1]["val_loss"])

    @property
    def health(self) -> Json:
        """Dead units and KL of each latent dimension after the last epoch."""
        return dict(self.epochs[-1]["health"])

    @property
    def dead_units(self) -> int:
        """Dead units of the encoder's hidden layer after the last epoch."""
        return int(self.health["dead_units"]["hidden"])

    @property
    def collapsed(self) -> int:
        """Collapsed latent dimensions after the last epoch."""
        return int(self.health["collapsed_dimensions"])

    @property
    def epochs_asleep(self) -> int:
        """The number of epochs after which a latent dimension was collapsed."""
        return sum(epoch["health"]["collapsed_dimensions"] > 0 for epoch in self.epochs)

    def number(self, *path: str) -> float:
        """The metric at `path`."""
        return float(at(self.metrics, path))


class LeftOut(NamedTuple):
    """What a study lacks: the names of its runs without results, of those that were trained with other params than
    params.yaml has, and of those that learnt from other images than the first run.
    """

    missing: tuple[str, ...]
    outdated: tuple[str, ...]
    other_images: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Results:
    """The runs of the reported studies by name, what the classifier is worth, and what the images are called.

    left_out: the studies that are not reported, and why. partial: those that are reported by a part of their runs.
    """

    params: Params
    runs: Mapping[str, RunResult]
    left_out: Mapping[str, LeftOut]
    partial: Mapping[str, LeftOut]
    classifier: Json
    dataset: Description

    def studies(self, graph: Graph) -> list[str]:
        """The reported studies of a graph."""
        there = dict.fromkeys(each.run.study for each in self.in_graph(graph))
        return [name for name in there if name not in self.left_out]

    def of(self, study: str) -> list[RunResult]:
        """The runs that are read together with `study`, and its own; of a partial study those that there are."""
        return [self.runs[run.name] for run in read_together(self.params, study) if run.name in self.runs]

    def on_full(self, study: str) -> dict[str, list[RunResult]]:
        """The runs of `study` and beside it that learnt from all training images, by variant."""
        found: dict[str, list[RunResult]] = {}
        for each in self.of(study):
            if each.run.split == FULL:
                found.setdefault(each.run.variant, []).append(each)
        return found

    def in_graph(self, graph: Graph) -> list[RunResult]:
        return [each for each in self.runs.values() if each.run.graph == graph]

    def complaints(self, result: RunResult) -> list[str]:
        """The complaints about a run after its last epoch, by the thresholds of params.yaml, section health."""
        warning_only = replace(self.params.health, fail_dead_share=None, fail_collapsed=None)
        return complaints(result.epochs[-1], warning_only)


def read_results(params: Params, graph: Graph) -> Results:
    """The results of the runs of `graph`; with "beyond", of both graphs.

    All of the paper's runs have to be there. A study beyond the paper is left out where some of its runs are missing,
    unless it is partial.
    Raises: UserError that names the file and the stage that makes it.
    """
    graphs = ("paper",) if graph == "paper" else GRAPHS
    refuse_undeclared(params, graphs)
    read = {run.name: read_run(run, required=run.graph == "paper") for run in runs(params) if run.graph in graphs}
    found = {name: result for name, result in read.items() if result is not None}
    studies = [name for name, study in params.studies.items() if graph_of(study) in graphs]
    lacking = {study: why for study in studies if (why := _why_not(params, study, found)) is not None}
    unfit = {name for why in lacking.values() for name in (*why.outdated, *why.other_images)}
    fit = {name: result for name, result in found.items() if name not in unfit}
    partial = {study: why for study, why in lacking.items() if _is_partial(params, study, fit)}
    left_out = {study: why for study, why in lacking.items() if study not in partial}
    kept = {run.name for study in studies if study not in left_out for run in study_runs(params, study)}
    dataset = described()
    judge = {"images": int} | (CLASSIFIER_SHAPE if dataset.labelled else {})
    return Results(
        params=params,
        runs={name: result for name, result in fit.items() if name in kept},
        left_out=left_out,
        partial=partial,
        classifier=read_json(CLASSIFIER_METRICS, made_by="classifier", keys=judge),
        dataset=dataset,
    )


def undeclared_runs(params: Params) -> list[Path]:
    """The folders below reports/ and models/ of runs that params.yaml does not declare, and those with the committed
    weights of runs that it does not list under `publish`. The classifier is no run.
    """
    files = [run.files for run in runs(params)]
    known = {CLASSIFIER_WEIGHTS.parent, *(each.reports for each in files), *(each.models for each in files)}
    known |= {RunFiles(graph, name).published for graph in GRAPHS for name in getattr(params.publish, graph)}
    below = [REPORTS / graph / kind for graph in GRAPHS for kind in ("runs", "weights")]
    folders = [path for folder in (*below, MODELS) for path in folder.glob("*")]
    return sorted(path for path in folders if path.is_dir() and path not in known)


def refuse_undeclared(params: Params, graphs: Iterable[Graph]) -> None:
    """Raises: UserError where reports/<graph>/runs has folders of runs that params.yaml does not declare."""
    parents = [REPORTS / graph / "runs" for graph in graphs]
    if found := [path for path in undeclared_runs(params) if path.parent in parents]:
        names = ", ".join(map(str, found))
        raise UserError(f"expected only runs of params.yaml; received {names}: `digit-vae tidy` moves them away")


def _is_partial(params: Params, study: str, fit: Mapping[str, RunResult]) -> bool:
    """Whether a study that lacks runs is reported by those of its own that are fit."""
    return params.studies[study].partial and any(run.name in fit for run in study_runs(params, study))


def read_run(run: Run, *, required: bool) -> RunResult | None:
    """What the stages wrote of one run; None where a file is missing. required: whether that is an error."""
    files, (train, evaluate) = run.files, run.stages
    needed = (files.history, files.timings, files.metrics, files.evaluation)
    if not required and not all(path.is_file() for path in needed):
        return None
    history = read_json(files.history, made_by=train, keys=HISTORY_SHAPE)
    timings = read_json(files.timings, made_by=train, keys=TIMINGS_SHAPE)
    check_epochs(files, train, history, timings)
    shape = metrics_shape(labelled=described().labelled, latent_dim=history["params"]["latent_dim"])
    return RunResult(
        run=run,
        history=history,
        timings=timings,
        metrics=read_json(files.metrics, made_by=evaluate, keys=shape),
        evaluation=read_json(files.evaluation, made_by=evaluate, keys=EVALUATION_SHAPE),
    )


def check_epochs(files: RunFiles, stage: str, history: Json, timings: Json) -> None:
    """Raises: UserError where the two files do not tell of each epoch once, as many as the params ask for."""
    count = len(history["epochs"])
    if [epoch["epoch"] for epoch in history["epochs"]] != list(range(1, count + 1)):
        raise damaged(files.history, stage, f"epochs: expected those from 1 to {count}, in order; received others")
    if history["params"].get("epochs", count) != count:
        told = f"epochs: expected as many as params.epochs, {history['params']['epochs']!r:.80}; received {count}"
        raise damaged(files.history, stage, told)
    if len(timings["epochs"]) != count:
        told = f"epochs: expected as many as in {files.history.name}, {count}; received {len(timings['epochs'])}"
        raise damaged(files.timings, stage, told)


def _why_not(params: Params, study: str, found: Mapping[str, RunResult]) -> LeftOut | None:
    """Why a study is not reported; None where it is. Raises: UserError where it is one of the paper's graph."""
    declared = read_together(params, study)
    there = [found[run.name] for run in declared if run.name in found]
    images = next(iter(found.values())).history["data"]["train_images"]
    why = LeftOut(
        missing=tuple(run.name for run in declared if run.name not in found),
        outdated=tuple(_outdated(params, there)),
        other_images=tuple(each.name for each in there if each.history["data"]["train_images"] != images),
    )
    for name in () if params.studies[study].beyond else (*why.outdated, *why.other_images):
        raise UserError(
            f"{name}: expected a run with the params of params.yaml and the same training images as all others; "
            f"received another: `dvc repro {found[name].run.stages[0]}` trains it again"
        )
    return why if any(why) else None


def _outdated(params: Params, results: Iterable[RunResult]) -> Iterator[str]:
    for each in results:
        where = f"{each.run.files.history}: params"
        if read_run_params(each.history["params"], where) != run_params(params, each.run):
            yield each.name
