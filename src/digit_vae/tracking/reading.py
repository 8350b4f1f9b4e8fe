"""Reads the project's files as records: the declared runs, the recorded benchmarks, comparisons and reports.

Paths are relative to the working folder. git has histories, timings and metrics; weights, samples and the figures drawn
from these are in a record if they are here.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import NoneType
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from digit_vae.analysis.results import check_epochs
from digit_vae.base.errors import UserError
from digit_vae.base.files import read_json, read_npy, read_npz, sha256, sha256_of
from digit_vae.base.paths import BENCHMARKS, CLASSIFIER_METRICS, PROCESSED, SEARCH, RunFiles, addressed
from digit_vae.base.paths import comparisons as comparisons_folder
from digit_vae.base.paths import figures as figures_folder
from digit_vae.base.paths import tables as tables_folder
from digit_vae.base.shapes import EPOCH, HISTORY, MACHINE, NUMBER, NUMBERS, SECONDS, WEIGHTS_SHA256, All, Every
from digit_vae.config.runs import GRAPHS, Graph, Run, graph_of, runs
from digit_vae.config.schema import FULL, Params
from digit_vae.data.datasets import described
from digit_vae.report import figures
from digit_vae.report.sample_figures import SAMPLES_SHAPE
from digit_vae.search.record import best, read_search, trial_run
from digit_vae.speed.records import read_benchmarks, repetitions
from digit_vae.tracking.record import (
    SAMPLES,
    SEARCH_GROUP,
    WEIGHTS,
    Comparison,
    Content,
    Record,
    commits_of,
    made_by,
    numbers,
    of_repetition,
    of_run,
    of_trial,
    read_by,
    with_comparisons,
)  # fmt: skip

HISTORY_SHAPE = {
    **HISTORY,
    **dict.fromkeys(("run", "variant", "split"), str),
    "epochs": [All(NUMBERS, EPOCH)],
    "weights_sha256": WEIGHTS_SHA256,
}
TIMINGS_SHAPE = {
    "started_at": NUMBER,
    "finished_at": NUMBER,
    "inputs_sha256": str,
    "git_commit": (str, NoneType),
    "machine": MACHINE | {"precision": str},
    "epochs": [All(NUMBERS, SECONDS | {"finished_at": NUMBER})],
}
MEASURED = ("setup_seconds", "matrix_gflops", "peak_bytes")  # of each run of a benchmark
TEST_LABELS = PROCESSED / "test_labels.npy"


class Project(NamedTuple):
    """All that MLflow should have. runs: those that were trained; missing: those of the paper that were not."""

    runs: list[Record]
    benchmarks: list[Record]
    trials: list[Record]
    groups: list[Record]
    missing: list[str]

    @property
    def records(self) -> list[Record]:
        return self.runs + self.benchmarks + self.trials


def read_project(params: Params) -> Project:
    """Raises: UserError when a file is damaged."""
    declared = runs(params)
    there = [run for run in declared if _is_trained(run)]
    trained = [read_by(read_run(run), readers(params, run)) for run in there]
    measured, summaries = _benchmarks()
    searched, least = _searched()
    groups = with_comparisons(trained + measured + searched, _comparisons(params) | summaries | least)
    groups = [_with_question(params, group) for group in groups] + list(_reports(params, trained))
    missing = [run.name for run in declared if run.graph == "paper" and run not in there]
    return Project(trained, measured, searched, groups, missing)


def readers(params: Params, run: Run) -> tuple[str, ...]:
    """The studies that read a run: its own, then those that name it under `beside`.

    Of variants on folds such a study reads those that it compares.
    """
    on_full = FULL in params.studies[run.study].splits
    others = (
        name
        for name, study in params.studies.items()
        if run.study in study.beside
        and (on_full or study.against is None or run.variant in (study.against, *study.variants))
    )
    return run.study, *others


def read_run(run: Run, experiment: str | None = None) -> Record:
    """What the files of a trained run say, evaluated or not. experiment: as in `of_run`."""
    its = run.files
    training, evaluation = run.stages
    history = read_json(its.history, made_by=training, keys=HISTORY_SHAPE)
    timings = read_json(its.timings, made_by=training, keys=TIMINGS_SHAPE)
    check_epochs(its, training, history, timings)
    metrics = read_json(its.metrics, made_by=evaluation, keys=NUMBERS) if its.metrics.is_file() else {}
    in_git = {path.name: path for path in (its.history, its.timings, its.metrics, its.evaluation) if path.is_file()}
    files = in_git | _models(its, history)
    record = of_run(run, history, timings, experiment=experiment)
    return replace(record, metrics=numbers(metrics), files=files, figures=functools.partial(drawn, run))


def drawn(run: Run, name: str) -> dict[str, bytes]:
    """The run's own figures that follow from its file `name`, as PNG by file name."""
    its, (training, evaluation) = run.files, run.stages
    if name == its.history.name:
        curves = figures.loss_curves(read_json(its.history, made_by=training, keys=HISTORY)["epochs"], title=run.name)
        return {"loss_curves.png": figures.png_bytes(curves)}
    if name == SAMPLES:
        shown = sample_figures(run.name, read_npz(its.samples, made_by=evaluation, shapes=SAMPLES_SHAPE))
        return {title: figures.png_bytes(figure) for title, figure in shown.items()}
    return {}


def sample_figures(run: str, samples: Mapping[str, np.ndarray]) -> dict[str, Figure]:
    """What a samples.npz shows; the latent scatter wants the labels of the encoded images, if they have any."""
    classes = described().classes
    digits = figures.digits(samples["originals"], samples["reconstructions"], samples["generated"], title=run)
    shown = {"digits.png": digits}
    if "plane" in samples:  # the latent space has two dimensions
        shown["latent_plane.png"] = figures.latent_plane(samples["plane"], title=run)
        shown["latent_map.png"] = figures.latent_map(samples, classes, title=run)
    if TEST_LABELS.is_file():
        labels = read_npy(TEST_LABELS, made_by="preprocess")
        if len(labels) in (0, len(samples["z_mean"])):
            shown["latent_scatter.png"] = figures.latent_scatter(samples["z_mean"], labels, classes, title=run)
    return shown


def _is_trained(run: Run) -> bool:
    its = run.files
    return its.history.is_file() and its.timings.is_file()


def _models(its: RunFiles, history: Content) -> dict[str, Path]:
    """The files that git does not have, by artifact name; none if they are of another training."""
    weights, recorded = dict(zip(WEIGHTS, (its.encoder, its.decoder), strict=True)), history["weights_sha256"]
    found = {path: recorded[path.name.partition(".")[0]] for path in weights.values() if path.is_file()}
    if any(sha256(path) != digest for path, digest in found.items()):
        return {}
    return {name: path for name, path in (weights | {SAMPLES: its.samples}).items() if path.is_file()}


def _comparisons(params: Params) -> dict[str, Comparison]:
    """By group: what the study's file says about the variant."""
    found = {}
    for name, study in params.studies.items():
        graph = graph_of(study)
        path = comparisons_folder(graph) / f"{name}.json"
        if path.is_file():
            for variant, content in read_json(path, made_by=addressed("compare", graph), keys=Every(NUMBERS)).items():
                found[f"{name}/{variant}"] = Comparison(content, {path.name: path})
    return found


def _benchmarks() -> tuple[list[Record], dict[str, Comparison]]:
    """The runs of the recorded benchmarks and, by group, the summary of each benchmark."""
    recorded, records = read_benchmarks(BENCHMARKS), []
    for name, content in recorded.items():
        for run, (history, timings) in zip(content["runs"], repetitions(name, content), strict=True):
            measured = {key: run[key] for key in MEASURED}
            records.append(of_repetition(f"benchmark/{name}", run["seed"], history, timings, measured))
    files = {name: {f"{name}.json": BENCHMARKS / f"{name}.json"} for name in recorded}
    return records, {f"benchmark/{name}": Comparison(each["summary"], files[name]) for name, each in recorded.items()}


def read_trial(name: str) -> Record:
    """What the search's record says of the trial called `name`. Raises: UserError when it has none."""
    for record in _searched()[0]:
        if record.name == name:
            return record
    raise UserError(f"{SEARCH}: expected a trial called {name}; received {len(read_search().trials)} others")


def _searched() -> tuple[list[Record], dict[str, Comparison]]:
    """The trials of the search and, by group, the best of them."""
    search = read_search()
    place = [search.inputs[key] for key in ("search.fold", "search.seed")] if search.trials else []
    records = [of_trial(search, trial, trial_run(trial.number, *place)) for trial in search.trials]
    if (chosen := best(search.trials)) is None or chosen.result is None:
        return records, {}
    content = {"search": {"trials": len(records), "best": chosen.number, "loss": chosen.result.loss}}
    return records, {SEARCH_GROUP: Comparison(content, {SEARCH.name: SEARCH})}


def _with_question(params: Params, group: Record) -> Record:
    study = params.studies.get(group.tags["study"])
    if group.name == SEARCH_GROUP:
        return group
    if study is None:
        return replace(group, note="A benchmark of one machine, recorded by `make bench`.\n")
    command = "make beyond" if study.beyond else "make repro"
    return replace(group, note=f"{study.question} The command that makes it again:\n\n    {command}\n")


def _reports(params: Params, trained: Sequence[Record]) -> Iterator[Record]:
    """A group without runs for each graph: the figures and tables of its report, and the paper's classifier.

    Its times and commits are those of the graph's runs: the same files give the same.
    """
    for graph in GRAPHS:
        files, metrics = _report_files(graph), {}
        its = [record for record in trained if record.tags["graph"] == graph]
        if graph == "paper" and CLASSIFIER_METRICS.is_file():
            files[CLASSIFIER_METRICS.name] = CLASSIFIER_METRICS
            metrics = numbers({"classifier": read_json(CLASSIFIER_METRICS, made_by="classifier", keys=NUMBERS)})
        if files and its:
            settings = {f"classifier.{name}": value for name, value in asdict(params.classifier).items()}
            yield Record(
                name=f"report/{graph}",
                identity={"group": f"report/{graph}", "params_sha256": sha256_of(settings)},
                tags={"graph": graph} | made_by("make repro" if graph == "paper" else "make beyond") | commits_of(its),
                params={name: str(value) for name, value in settings.items()},
                started=min(record.started for record in its),
                finished=max(record.finished or 0 for record in its),
                note=f"The figures and tables of the report of the {graph} graph.\n",
                datasets=tuple(dict.fromkeys(dataset for record in its for dataset in record.datasets)),
                metrics=metrics,
                files=files,
            )


def _report_files(graph: Graph) -> dict[str, Path]:
    paths = [*sorted(figures_folder(graph).glob("*.png")), *sorted(tables_folder(graph).glob("*.csv"))]
    return {path.name: path for path in paths}
