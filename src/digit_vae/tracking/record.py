"""What the files say about a run, in the shape that MLflow needs. This module does not import MLflow.

A record is one attempt at a run: its name, the hash of its inputs and the time it started. The parent of a run is a
record, too: the group of all runs of a variant in a study whose params differ in the seed alone. Metrics are
named so that MLflow's pages group them: `train/`, `health/` and `seconds/` have a point an epoch; `validation/`,
`test/`, `likelihood/`, `latent/` and `quality/` are the sections of metrics.json.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from digit_vae.base.files import sha256_of
from digit_vae.base.nested import flat
from digit_vae.base.paths import PARAMS
from digit_vae.config.runs import Run
from digit_vae.config.schema import FULL
from digit_vae.search.record import Search, Trial
from digit_vae.speed.records import machine_name

Content = Mapping[str, Any]  # of a JSON file
Figures = Callable[[str], Mapping[str, bytes]]

SEARCH_GROUP = "search"  # the parent of a search's trials
WEIGHTS = ("encoder.weights.h5", "decoder.weights.h5")
SAMPLES = "samples.npz"
NOT_IN_GIT = frozenset((*WEIGHTS, SAMPLES))  # artifacts that may be there where the files are not at hand


class Point(NamedTuple):
    """One value of a metric. time: milliseconds since 1970."""

    name: str
    epoch: int
    value: float
    time: int


class Dataset(NamedTuple):
    """Data that a run used, for "training" or "validation"."""

    name: str
    sha256: str
    use: str


@dataclass(frozen=True, kw_only=True)
class Record:
    """One run, or a group of runs (without a parent); while a run trains, what there is of it so far.

    identity: the tags that tell it from every other. started, finished: milliseconds since 1970. files: those that
    become artifacts, by artifact name. figures: PNG files drawn from one of these, by file name; None: there are none.
    """

    name: str
    identity: Mapping[str, str]
    tags: Mapping[str, str]
    params: Mapping[str, str]
    started: int
    finished: int | None = None
    note: str = ""
    datasets: tuple[Dataset, ...] = ()
    points: tuple[Point, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)
    figures: Figures | None = None
    parent: "Record | None" = None


class Comparison(NamedTuple):
    """Metrics of several runs together, and the files that they come from, by artifact name."""

    content: Content
    files: Mapping[str, Path]


NOTHING = Comparison({}, {})


def of_run(run: Run, history: Content, timings: Content, *, experiment: str | None = None) -> Record:
    """The record of history.json and timings.json, or of what they hold so far while the run trains.

    experiment: the experiment of DVC that trained it; its runs stand beside the project's own and replace none.
    """
    shared = {"variant": run.variant, "graph": run.graph} | _studies(run.study)
    group = _group(f"{run.study}/{run.variant}", history, timings, shared | made_by(f"{PARAMS}:studies.{run.study}"))
    tags = shared | {"split": run.split, "seed": str(run.seed)} | made_by(run.stages[0])
    note = f"Variant `{run.variant}`, split `{run.split}`, seed {run.seed}, of the study `{run.study}`."
    note = f"{note} The command that makes it again:\n\n    dvc repro {run.stages[0]}\n"
    record = _attempt(run.name, history, timings, tags, group, note)
    return _of_experiment(record, experiment) if experiment else record


def read_by(record: Record, studies: Sequence[str]) -> Record:
    """The record of a run that these studies read, its own first; so does its group."""
    parent = record.parent and read_by(record.parent, studies)
    return replace(record, tags=dict(record.tags) | _studies(*studies), parent=parent)


def of_repetition(group: str, number: int, history: Content, timings: Content, measured: Mapping[str, float]) -> Record:
    """One run of a recorded benchmark: see digit_vae.speed.records.repetitions. measured: its speed."""
    shared = {"variant": history["variant"]} | _studies("benchmark") | made_by("make bench")
    parent = _group(group, history, timings, shared)
    tags = shared | {"split": history["split"], "seed": str(number)}
    record = _attempt(history["run"], history, timings, tags, parent, "One repetition of `make bench`.\n")
    return replace(record, metrics=numbers({"speed": measured}))


def of_trial(search: Search, trial: Trial, run: Run) -> Record:
    """One trial of a search, which is its parent. run: the trial as a run, which no study declares."""
    inputs, made = search.inputs, trial.made
    shared = {"graph": run.graph} | _studies(run.study) | made_by("digit-vae search")
    params = {**inputs["train"], **trial.options, "seed": run.seed}
    datasets = tuple(_datasets({"split": run.split, "data": inputs["data"]}))
    own = {"variant": run.variant, "split": run.split, "seed": str(run.seed), "round": str(trial.round)}
    said = ", ".join(f"`{option}` {value}" for option, value in trial.options.items())
    note = f"Trial {trial.number} of the search, in round {trial.round}: {said}.\n"
    return Record(
        name=run.name,
        identity={"run": run.name, "inputs_sha256": sha256_of(inputs), "started_at": str(made.started_at)},
        tags=shared | own | _machine_tags({"machine": made.machine, "git_commit": made.commit}),
        params=_texts(params),
        started=milliseconds(made.started_at),
        finished=milliseconds(made.finished_at),
        note=f"{note}\nIt has no result: {trial.failed}.\n" if trial.failed else note,
        datasets=datasets,
        points=tuple(_trial_points(trial)),
        metrics={"search/loss": trial.result.loss} if trial.result else {},
        parent=_search_group(search, shared, datasets),
    )


def _trial_points(trial: Trial) -> Iterator[Point]:
    """Losses and seconds of each epoch; of the health what is recorded, that of the last."""
    if (result := trial.result) is None:
        return
    health = {"dead_units": result.dead_units, "collapsed_dimensions": result.collapsed_dimensions}
    last = len(result.epochs["loss"])
    for epoch in range(1, last + 1):
        losses = {name: values[epoch - 1] for name, values in result.epochs.items()}
        clocks = {name: values[epoch - 1] for name, values in trial.made.epochs.items()}
        yield from epoch_points(losses | {"epoch": epoch, "health": health if epoch == last else {}}, clocks)


def _search_group(search: Search, tags: Mapping[str, str], datasets: tuple[Dataset, ...]) -> Record:
    settings = {key: value for key, value in search.inputs.items() if key.startswith("search.")}
    started = milliseconds(min(trial.made.started_at for trial in search.trials))
    return Record(
        name=SEARCH_GROUP,
        identity={"group": SEARCH_GROUP, "params_sha256": sha256_of(search.inputs)},
        tags=tags,
        params=_texts(settings),
        started=started,
        finished=started,
        note="The search of a better recipe. The command that makes it again:\n\n    digit-vae search --anew\n",
        datasets=datasets,
    )


def with_comparisons(records: Sequence[Record], comparisons: Mapping[str, Comparison]) -> list[Record]:
    """The groups of the runs, each with the comparison of its runs.

    comparisons: by name of the group. Where the runs of one name differ in their params, none of them is compared.
    """
    families: dict[str, list[Record]] = {}
    for record in records:
        if record.parent:
            families.setdefault(sha256_of(record.parent.identity), []).append(record)
    groups = [_group_of(family) for family in families.values()]
    names = Counter(group.name for group in groups)
    compared = {name: comparison for name, comparison in comparisons.items() if names[name] == 1}
    return [
        replace(group, metrics=numbers(its.content), files=its.files)
        for group in groups
        for its in [compared.get(group.name, NOTHING)]
    ]


def commits_of(records: Sequence[Record]) -> dict[str, str]:
    """Tags: the commits that made these runs, in the order in which they started. MLflow's pages show one, the last."""
    by_start = sorted(records, key=lambda record: record.started)
    commits = list(dict.fromkeys(record.tags["commit"] for record in by_start if "commit" in record.tags))
    return _commit_tags(", ".join(commits), commits[-1]) if commits else {}


def epoch_points(losses: Content, timing: Content) -> tuple[Point, ...]:
    """The losses, health and seconds of one finished epoch, as history.json and timings.json have them."""
    values = {f"train/{name}": value for name, value in losses.items() if name not in ("epoch", "health")}
    values |= {f"health/{name}": value for name, value in numbers(losses.get("health", {})).items()}
    clocks = {name.removesuffix("_seconds"): value for name, value in timing.items() if name.endswith("_seconds")}
    values |= {f"seconds/{name}": value for name, value in clocks.items()}
    time = milliseconds(timing["finished_at"])
    return tuple(Point(name, losses["epoch"], value, time) for name, value in values.items())


def numbers(content: Content) -> dict[str, float]:
    """The numbers of nested mappings: {"test": {"elbo": -150.2}} -> {"test/elbo": -150.2}"""
    return {name: value for name, value in flat(content, "/").items() if isinstance(value, int | float)}


def milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def _attempt(
    name: str, history: Content, timings: Content, tags: Mapping[str, str], group: Record, note: str
) -> Record:
    epochs = zip(history["epochs"], timings["epochs"], strict=True)
    attempt = {"inputs_sha256": timings["inputs_sha256"], "started_at": str(timings["started_at"])}
    return Record(
        name=name,
        identity={"run": name} | attempt,
        tags=dict(tags) | _machine_tags(timings),
        params=_texts(history["params"]),
        started=group.started,
        finished=milliseconds(timings["finished_at"]) if "finished_at" in timings else None,
        note=note,
        datasets=tuple(_datasets(history)),
        points=tuple(point for losses, timing in epochs for point in epoch_points(losses, timing)),
        parent=group,
    )


def _group_of(records: Sequence[Record]) -> Record:
    """The parent of these runs, with their data and commits, and the end of the last."""
    (first, *_) = parents = [record.parent for record in records if record.parent]
    datasets = (dataset for each in (*parents, *records) for dataset in each.datasets)
    return replace(
        first,
        tags=dict(first.tags) | commits_of(records),
        finished=max(each.finished or 0 for each in (first, *records)),
        datasets=tuple(dict.fromkeys(datasets)),
    )


def _group(name: str, history: Content, timings: Content, tags: Mapping[str, str]) -> Record:
    shared = {key: value for key, value in history["params"].items() if key != "seed"}
    identity = {"group": name, "params_sha256": sha256_of(shared)}
    started = milliseconds(timings["started_at"])
    return Record(
        name=name,
        identity=identity,
        tags=tags,
        params=_texts(shared),
        started=started,
        finished=started,
        datasets=tuple(_datasets(history)),
    )


def _studies(own: str, *others: str) -> dict[str, str]:
    """Tags: the study that declares a run, and all that read it. Commas around each tell `beta` from `beta_full`."""
    return {"study": own, "studies": f",{','.join((own, *others))},"}


def _texts(params: Content) -> dict[str, str]:
    return {key: str(value) for key, value in params.items()}


def made_by(name: str) -> dict[str, str]:
    """What MLflow's pages show as the source of a run."""
    return {"mlflow.source.name": name, "mlflow.source.type": "LOCAL"}


def _of_experiment(record: Record, experiment: str) -> Record:
    """The same under the experiment's name, so that it is another run in another group."""
    key = "run" if record.parent else "group"
    return replace(
        record,
        name=f"{experiment}/{record.name}",
        identity=dict(record.identity) | {key: f"{experiment}/{record.identity[key]}"},
        tags=dict(record.tags) | {"experiment": experiment},
        parent=record.parent and _of_experiment(record.parent, experiment),
    )


def _machine_tags(timings: Content) -> dict[str, str]:
    """What made the run, for filters and colours."""
    machine = timings["machine"]
    tags = {name: str(machine[name] or "none") for name in ("cpu", "gpu", "device", "precision")}
    tags["machine"] = machine_name(machine)
    commit = timings["git_commit"]
    return tags | _commit_tags(commit, commit) if commit else tags


def _commit_tags(commits: str, shown: str) -> dict[str, str]:
    """shown: the one that MLflow's pages show."""
    return {"commit": commits, "mlflow.source.git.commit": shown.removesuffix("-dirty")}


def _datasets(history: Content) -> Iterator[Dataset]:
    digests = history["data"]
    yield Dataset("train_images", digests["train_images"], "training")
    validation = "test_images" if history["split"] == FULL else history["split"]
    yield Dataset(validation, digests["validation"], "validation")
