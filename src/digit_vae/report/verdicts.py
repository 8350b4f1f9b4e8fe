"""What the tests of a study say of each variant, in values that templates put into words."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from digit_vae.analysis.fold_comparison import FoldStudy, Pair, fold_studies
from digit_vae.analysis.results import Json, Results, RunResult, at
from digit_vae.analysis.statistics import LEVEL, Difference
from digit_vae.base.errors import UserError
from digit_vae.base.files import damaged, read_json
from digit_vae.base.paths import addressed, comparisons
from digit_vae.base.shapes import misfits
from digit_vae.config.runs import GRAPHS, Graph
from digit_vae.report.origins import Origins, origins
from digit_vae.report.tables import difference_of


class Verdict(NamedTuple):
    """The difference of a variant in one number, its adjusted p-value, and what that says: "same" where no difference
    is detectable.

    detectable: the least true difference that the test detects with `power`. equivalence_p: that the difference is
    not within `margin`, by two one-sided tests. None: not said of this number.
    """

    variant: str
    difference: Difference
    p: float
    outcome: Literal["higher", "lower", "same"]
    detectable: float | None = None
    power: float | None = None
    equivalence_p: float | None = None
    margin: float | None = None


@dataclass(frozen=True)
class Compared:
    """A study on folds, and what stage `compare` wrote of it by variant, first of the one they are compared with."""

    study: FoldStudy
    variants: Mapping[str, Json]

    @property
    def name(self) -> str:
        return self.study.name

    @property
    def against(self) -> str:
        return self.study.against

    @property
    def pairs(self) -> list[Pair]:
        """The folds, with their seeds, of the variant that the others are compared with."""
        return self.study.pairs(self.against)

    @property
    def results(self) -> list[RunResult]:
        return [each for runs in self.study.runs.values() for each in runs.values()]

    @property
    def origins(self) -> Origins:
        return origins(self.results)

    @property
    def collapsed(self) -> list[str]:
        """The runs that ended with a collapsed latent dimension."""
        return [each.name for each in self.results if each.collapsed]

    @property
    def others(self) -> dict[str, Json]:
        """The variants that are compared."""
        return {name: each for name, each in self.variants.items() if name != self.against}

    def verdicts(self, *path: str) -> list[Verdict]:
        """What is said of each variant in the number that `path` leads to."""
        found = [verdict(name, at(each, path)) for name, each in self.others.items()]
        return [each._replace(power=self.study.power, margin=self.study.margin) for each in found]


def verdict(variant: str, metric: Mapping[str, Any]) -> Verdict:
    found: Literal["higher", "lower"] = "higher" if metric["difference"] > 0 else "lower"
    outcome: Literal["higher", "lower", "same"] = found if metric["p_holm"] < LEVEL else "same"
    seen, p = metric.get("detectable"), metric.get("equivalence_p")
    return Verdict(variant, difference_of(metric), metric["p_holm"], outcome, seen, equivalence_p=p)


def read_compared(study: FoldStudy, graph: Graph) -> Compared:
    """Raises: UserError where stage `compare` compared other variants or numbers, or its file is damaged."""
    path = comparisons(graph) / f"{study.name}.json"
    stage = addressed("compare", graph)
    content = read_json(path, made_by=stage)
    expected = [study.against, *study.compared]
    if set(content) != set(expected):
        received = ", ".join(content)
        raise UserError(
            f"{path}: expected the variants {', '.join(expected)}; received {received}: "
            f"`dvc repro {stage}` compares them again"
        )
    for problem in misfits(content, study.shape()):
        raise damaged(path, stage, problem)
    return Compared(study, {name: content[name] for name in expected})


def compared_studies(results: Results) -> dict[Graph, list[Compared]]:
    """By graph the reported studies on folds. Raises: as `read_compared`."""
    return {graph: [read_compared(each, graph) for each in fold_studies(results, graph)] for graph in GRAPHS}
