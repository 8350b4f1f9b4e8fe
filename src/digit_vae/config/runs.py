"""The runs that follow from the studies of params.yaml, and the parameters of each."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Literal

from digit_vae.base.errors import UserError
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
    def stages(self) -> tuple[str, str]:
        """The names of its two stages, training and evaluation, in its graph's dvc.yaml."""
        return f"train_{self.study}@{self.name}", f"evaluate_{self.study}@{self.name}"


def study_runs(params: Params, study: str) -> tuple[Run, ...]:
    """The runs that a study declares, in the order in which DVC's matrix has them."""
    its = params.studies[study]
    graph: Graph = "beyond" if its.beyond else "paper"
    return tuple(
        Run(variant, split, seed, study, graph)
        for variant in its.variants
        for split in its.splits
        for seed in its.seeds
    )


def runs(params: Params, graph: Graph | None = None) -> tuple[Run, ...]:
    """The runs of all studies, in the order of params.yaml. graph: only those of one graph (None: of both)."""
    return tuple(run for study in params.studies for run in study_runs(params, study) if graph in (None, run.graph))


def read_together(params: Params, study: str) -> tuple[Run, ...]:
    """The runs of the studies that `study` stands beside, then its own: what its comparisons are made of."""
    return tuple(run for each in (*params.studies[study].beside, study) for run in study_runs(params, each))


def find_run(params: Params, name: str) -> Run:
    """The run called `name`. Raises: UserError that lists the names."""
    for run in runs(params):
        if run.name == name:
            return run
    raise UserError(f"there is no run {name!r} in params.yaml; it has {', '.join(run.name for run in runs(params))}")


def run_params(params: Params, run: Run) -> RunParams:
    """The train section with what the run's variant replaces, and its seed."""
    return RunParams(**asdict(params.train) | dict(params.variants[run.variant]) | {"seed": run.seed})


def splits(params: Params) -> tuple[tuple[str, int], ...]:
    """Every split with every seed that a run needs, once: (split, seed)."""
    return tuple(dict.fromkeys((run.split, run.seed) for run in runs(params)))


def check_references(params: Params) -> None:
    """Holds against each other what the sections say of each other. Raises: UserError with key and expectation."""
    for message in _wrong_references(params):
        raise UserError(message)


def _wrong_references(params: Params) -> Iterator[str]:
    if BASELINE not in params.variants:
        found = ", ".join(params.variants)
        yield f"variants: expected an entry {BASELINE!r}, which the others are compared with; received {found}"
    for name, study in params.studies.items():
        yield from _wrong_study(params, f"studies.{name}", name, study)
    declared: dict[str, str] = {}
    for run in runs(params):
        if run.name in declared:
            both = f"studies.{declared[run.name]} and studies.{run.study}"
            yield f"{both}: expected each run in one study, named under `beside` in others; received {run.name} in both"
        declared[run.name] = run.study
    names: dict[Graph, list[str]] = {graph: [run.name for run in runs(params, graph)] for graph in GRAPHS}
    for key, run_name, graph in (
        ("report.first_run", params.report.first_run, "paper"),
        ("report.second_run", params.report.second_run, "paper"),
        *(("publish.paper", each, "paper") for each in params.publish.paper),
        *(("publish.beyond", each, "beyond") for each in params.publish.beyond),
    ):
        if run_name not in names["beyond" if graph == "beyond" else "paper"]:
            known = ", ".join(names["beyond" if graph == "beyond" else "paper"])
            yield f"{key}: expected a run of the {graph} graph's studies ({known}); received {run_name!r}"
    kept, folds = params.preprocess.train_images, params.preprocess.folds
    if kept is not None and kept < 10 * folds:
        yield f"preprocess.train_images: expected at least 10 images a fold ({10 * folds}); received {kept}"


def _wrong_study(params: Params, where: str, name: str, study: StudyParams) -> Iterator[str]:
    for variant in study.variants:
        if variant not in params.variants:
            yield f"{where}.variants: expected names of variants ({', '.join(params.variants)}); received {variant!r}"
    for split in study.splits:
        if split != FULL and int(split.removeprefix("fold")) >= params.preprocess.folds:
            last = params.preprocess.folds - 1
            yield f"{where}.splits: expected full, or fold0 to fold{last} (preprocess.folds); received {split!r}"
    for each in study.beside:
        if each not in params.studies or each == name:
            others = ", ".join(other for other in params.studies if other != name)
            yield f"{where}.beside: expected names of other studies ({others}); received {each!r}"
            return
        if params.studies[each].beyond and not study.beyond:
            yield f"{where}.beside: expected studies of the paper's graph, since it is one; received {each!r}, beyond it"
    beside = {variant for each in study.beside for variant in params.studies[each].variants}
    if study.against is not None and study.against not in {*study.variants, *beside}:
        found = ", ".join(sorted({*study.variants, *beside}))
        yield f"{where}.against: expected a variant of it or of a study beside it ({found}); received {study.against!r}"
