"""The runs that follow from the studies of params.yaml, and the parameters of each."""

import difflib
import itertools
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Literal

from digit_vae.base.errors import UserError
from digit_vae.base.paths import RunFiles, addressed
from digit_vae.config.schema import BASELINE, FULL, Params, RunParams, StudyParams

Graph = Literal["paper", "beyond"]
GRAPHS: tuple[Graph, ...] = ("paper", "beyond")


@dataclass(frozen=True)
class Run:
    """One trained model. Its name, `<variant>-<split>-<seed>`, is the same everywhere: DVC, folders, MLflow, tables.

    split: "full" learns from all training images and is validated on the test images; "fold2" leaves fold 2 of those
    drawn with the run's seed out of learning, to be validated on. study: the one that declares the run.
    """

    variant: str
    split: str
    seed: int
    study: str
    graph: Graph

    @property
    def name(self) -> str:
        return f"{self.variant}-{self.split}-{self.seed}"

    @property
    def split_name(self) -> str:
        """The name of the split's file: folds are drawn with the run's seed."""
        return f"{self.split}-{self.seed}"

    @property
    def files(self) -> RunFiles:
        return RunFiles(self.graph, self.name)

    @property
    def stages(self) -> tuple[str, str]:
        """What DVC calls its two stages, training and evaluation, in the project's root."""
        its = f"{self.study}@{self.name}"
        return addressed(f"train_{its}", self.graph), addressed(f"evaluate_{its}", self.graph)


def graph_of(study: StudyParams) -> Graph:
    return "beyond" if study.beyond else "paper"


def study_runs(params: Params, study: str) -> tuple[Run, ...]:
    """The runs that a study declares, in the order in which DVC's matrix has them."""
    its = params.studies[study]
    return tuple(
        Run(variant, split, seed, study, graph_of(its))
        for variant in its.variants
        for split in its.splits
        for seed in its.seeds
    )


def runs(params: Params, graph: Graph | None = None) -> tuple[Run, ...]:
    """The runs of all studies, in the order of params.yaml. graph: only those of one graph (None: of both)."""
    return tuple(run for study in params.studies for run in study_runs(params, study) if graph in (None, run.graph))


def read_together(params: Params, study: str) -> tuple[Run, ...]:
    """The runs of the studies that `study` names under `beside`, then its own: its comparisons take all of them."""
    return tuple(run for each in (*params.studies[study].beside, study) for run in study_runs(params, each))


def find_run(params: Params, name: str) -> Run:
    """The run called `name`. Raises: UserError with the names most like it, or else what runs are called."""
    declared = {run.name: run for run in runs(params)}
    if name in declared:
        return declared[name]
    alike = difflib.get_close_matches(name, declared, cutoff=0.7)
    expected = f"perhaps {' or '.join(alike)}" if alike else f"<variant>-<split>-<seed>, such as {next(iter(declared))}"
    raise UserError(f"params.yaml declares no run {name!r}: expected {expected}")


def run_params(params: Params, run: Run) -> RunParams:
    """The train section with the values that the run's variant replaces, and the run's seed."""
    return RunParams(**asdict(params.train) | dict(params.variants[run.variant]) | {"seed": run.seed})


def splits(params: Params) -> tuple[tuple[str, int], ...]:
    """Every split with every seed that a run needs, once: (split, seed)."""
    return tuple(dict.fromkeys((run.split, run.seed) for run in runs(params)))


def check_references(params: Params) -> None:
    """Checks that the sections agree with each other. Raises: UserError with key, expectation and value."""
    wrong = (_wrong_data, _wrong_sizes, _wrong_variants, _wrong_choices, _wrong_neighbours, _wrong_runs)
    for message in itertools.chain.from_iterable(check(params) for check in wrong):
        raise UserError(message)


def _wrong_data(params: Params) -> Iterator[str]:
    if params.fetch.dataset == "folder" and params.fetch.folder is None:
        yield "fetch.folder: expected the folder with the images, as fetch.dataset is folder; received null"


def _wrong_sizes(params: Params) -> Iterator[str]:
    kept, folds = params.preprocess.train_images, params.preprocess.folds
    if kept is not None and kept < 10 * folds:
        yield f"preprocess.train_images: expected at least 10 images a fold ({10 * folds}); received {kept}"
    for name, study in params.studies.items():
        for split in study.splits:
            if split != FULL and int(split.removeprefix("fold")) >= folds:
                known = f"full, or fold0 to fold{folds - 1} (preprocess.folds)"
                yield f"studies.{name}.splits: expected {known}; received {split!r}"


def _wrong_variants(params: Params) -> Iterator[str]:
    if BASELINE not in params.variants:
        yield f"variants: expected an entry {BASELINE!r}, to compare others with; received {', '.join(params.variants)}"
    for name, study in params.studies.items():
        yield from _unknown(f"studies.{name}.variants", study.variants, "names of variants", params.variants)


def _wrong_choices(params: Params) -> Iterator[str]:
    studied = dict.fromkeys(run.variant for run in runs(params))
    drawn = [f"{split}-{seed}" for split, seed in splits(params) if split != FULL]
    for name, folds in params.compare.chose.items():
        yield from _unknown("compare.chose", [name], "names of variants of a study", studied)
        yield from _unknown(f"compare.chose.{name}", folds, "folds of a study, each with its seed", drawn)


def _wrong_neighbours(params: Params) -> Iterator[str]:
    """What is wrong with `beside` and `against`."""
    for name, study in params.studies.items():
        allowed = [
            each for each, other in params.studies.items() if each != name and (study.beyond or not other.beyond)
        ]
        which = "other studies" if study.beyond else "other studies that are not beyond the paper"
        yield from _unknown(f"studies.{name}.beside", study.beside, f"names of {which}", allowed)
        read = dict.fromkeys(run.variant for run in read_together(params, name))
        if study.against is not None:
            which = "a variant of the study or of one beside it"
            yield from _unknown(f"studies.{name}.against", [study.against], which, read)


def _wrong_runs(params: Params) -> Iterator[str]:
    """Runs that two studies declare, and names of runs that no study of the graph declares."""
    declared: dict[str, str] = {}
    for run in runs(params):
        if run.name in declared:
            both = f"studies.{declared[run.name]} and studies.{run.study}"
            yield f"{both}: expected each run in one study, named under `beside` in others; received {run.name} in both"
        declared[run.name] = run.study
    known: dict[str, list[str]] = {graph: [run.name for run in runs(params, graph)] for graph in GRAPHS}
    for key, names, graph in (
        ("report.first_run", (params.report.first_run,), "paper"),
        ("report.second_run", (params.report.second_run,), "paper"),
        ("publish.paper", params.publish.paper, "paper"),
        ("publish.beyond", params.publish.beyond, "beyond"),
    ):
        yield from _unknown(key, names, f"a run of the {graph} graph", known[graph])


def _unknown(key: str, names: Iterable[str], expected: str, known: Collection[str]) -> Iterator[str]:
    for name in names:
        if name not in known:
            yield f"{key}: expected {expected} ({', '.join(known)}); received {name!r}"
