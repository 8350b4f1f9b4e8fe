"""The metrics of a study's variants over its folds, and their differences from the variant they are compared with.

A comparison pairs runs on the same fold of the same seed. Stage `compare` writes one for each study that names a
variant under `against` and has splits that are folds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from digit_vae.analysis.power import detectable, equivalence
from digit_vae.analysis.results import Json, Results, RunResult, at
from digit_vae.analysis.statistics import LEVEL, add_holm, summary
from digit_vae.base.shapes import NUMBER, NUMBERS, All, Shape
from digit_vae.config.runs import Graph
from digit_vae.config.schema import FULL

Pair = tuple[str, int]  # a fold, and the seed that it was drawn with
# For which the margin of equivalence is meant. A KL is of another size: the margin is most of it.
LOSSES = tuple((images, key) for images in ("validation", "test") for key in ("elbo", "reconstruction_loss"))

# Of a number in the file of a comparison what is read of it.
TESTED = ("difference_low", "difference_high", "p", "p_holm", "bootstrap_low", "bootstrap_high")
SPREAD = dict.fromkeys(("mean", "std"), NUMBER)
OVER_FOLDS = {
    **SPREAD,
    **dict.fromkeys(("difference?", *(f"{key}?difference" for key in TESTED)), NUMBER),
    **dict.fromkeys(("hedges_g?", "detectable?", "equivalence_p?"), NUMBER),
}


class Rest(NamedTuple):
    """The runs of some folds in which a latent dimension has collapsed, and the differences in ELBO on the others."""

    ill: list[str]
    differences: list[float]


@dataclass(frozen=True, kw_only=True)
class FoldStudy:
    """The runs of a study on folds: by variant, by fold and seed. The variant they are compared with is the first.

    parts: folds that the training images are divided into. margin: of equivalence, in nats. power: with which a
    difference would have been seen.
    """

    name: str
    question: str
    against: str
    parts: int
    margin: float
    power: float
    runs: Mapping[str, Mapping[Pair, RunResult]]

    @property
    def test_to_train(self) -> float:
        """Images scored over images learnt from, on each fold."""
        return 1 / (self.parts - 1)

    @property
    def compared(self) -> list[str]:
        """The variants that share at least two folds with the one they are compared with."""
        return [name for name in self.runs if name != self.against and len(self.pairs(name)) > 1]

    def pairs(self, variant: str) -> list[Pair]:
        """The folds, with their seeds, of `variant` that the variant it is compared with also has."""
        return [pair for pair in self.runs[variant] if pair in self.runs[self.against]]

    def values(self, variant: str, *path: str) -> list[float]:
        """The metric at `path`, in each run of `pairs`."""
        return [self.runs[variant][pair].number(*path) for pair in self.pairs(variant)]

    def differences(self, variant: str, *path: str) -> list[float]:
        """The difference of that metric from the other variant's on the same fold, for each of `pairs`."""
        others = [self.runs[self.against][pair].number(*path) for pair in self.pairs(variant)]
        return [ours - theirs for ours, theirs in zip(self.values(variant, *path), others, strict=True)]

    def declared_here(self, variant: str, *path: str) -> list[float]:
        """The same of the runs that this study declares, without those of studies that it is read with."""
        runs = [self.runs[variant][pair].run for pair in self.pairs(variant)]
        return [
            difference
            for run, difference in zip(runs, self.differences(variant, *path), strict=True)
            if run.study == self.name
        ]

    def collapsed(self, variant: str) -> list[bool]:
        """Whether a latent dimension collapsed in that run or the other variant's, for each of `pairs`."""
        both = (variant, self.against)
        return [any(self.runs[name][pair].collapsed for name in both) for pair in self.pairs(variant)]

    def without_collapsed(self, variant: str) -> Rest | None:
        """The comparison without the folds on which one of its runs has a collapsed dimension.

        None where no fold has one, or all have.
        """
        pairs = [[self.runs[name][pair] for name in (variant, self.against)] for pair in self.pairs(variant)]
        ill = [[each.name for each in pair if each.collapsed] for pair in pairs]
        differences = zip(self.differences(variant, "validation", "elbo"), ill, strict=True)
        rest = [difference for difference, names in differences if not names]
        return None if len(rest) in (0, len(pairs)) else Rest([name for names in ill for name in names], rest)

    def compare(self) -> dict[str, dict[str, Any]]:
        """By variant each number of the metrics as a mean and a standard deviation over the folds and, of all but the
        one they are compared with, the difference from that with what digit_vae.analysis.statistics says of it.

        The p-values of one number are adjusted over all variants of the study. detectable: the least true difference
        that would have been seen, at the level that Holm's method asks of the least p. equivalence_p: of the losses,
        by the runs that this study declares: those that it is read with were known when the margin was set.
        Numbers that only some of the runs have, such as the KL of a dimension that others lack, are left out.
        """
        known = self._known()
        summaries = {name: self._summary(name, known) for name in (self.against, *self.compared)}
        add_holm([summaries[name] for name in self.compared])
        for name in self.compared:
            self._add_detectable(summaries[name], len(self.pairs(name)))
            for path in LOSSES:
                differences = self.declared_here(name, *path)
                if len(differences) > 1:
                    p = equivalence(differences, self.test_to_train, self.margin)
                    at(summaries[name], path)["equivalence_p"] = p
        return {name: {"folds": len(self.pairs(name))} | each for name, each in summaries.items()}

    def shape(self) -> dict[str, Shape]:
        """The shape of what `compare` gives: of each variant the same numbers, compared or not."""
        of_one = {"folds": int} | _over_folds(self._known(), OVER_FOLDS)
        of_others = {"folds": int} | _over_folds(self._known(), OVER_FOLDS | {"difference": NUMBER})
        return {self.against: All(NUMBERS, of_one)} | dict.fromkeys(self.compared, All(NUMBERS, of_others))

    def _known(self) -> dict[str, Any]:
        names = (self.against, *self.compared)
        return common([self.runs[name][pair].metrics for name in names for pair in self.pairs(name)])

    def _summary(self, variant: str, known: Json) -> dict[str, Any]:
        pairs = self.pairs(variant)
        ours, theirs = (
            [restricted(self.runs[name][pair].metrics, known) for pair in pairs] for name in (variant, self.against)
        )
        return summary(ours, None if variant == self.against else theirs, test_to_train=self.test_to_train)

    def _add_detectable(self, found: dict[str, Any], count: int) -> None:
        """Beside each standard error of `found`, what it lets see."""
        if "error" in found:
            level = LEVEL / len(self.compared)
            found["detectable"] = detectable(found["error"], count - 1, self.power, level)
            return
        for each in found.values():
            if isinstance(each, dict):
                self._add_detectable(each, count)


def common(metrics: Sequence[Json]) -> dict[str, Any]:
    """The first of these nested mappings, with the keys that all of them have."""
    first, *others = metrics
    shared = [key for key in first if all(key in each for each in others)]
    return {
        key: common([each[key] for each in metrics]) if isinstance(first[key], Mapping) else first[key]
        for key in shared
    }


def restricted(metrics: Json, known: Json) -> dict[str, Any]:
    """The nested mapping with the keys of `known` alone."""
    return {
        key: restricted(metrics[key], each) if isinstance(each, Mapping) else metrics[key]
        for key, each in known.items()
    }


def _over_folds(known: Json, leaf: Shape) -> dict[str, Shape]:
    """`known` with `leaf` in the place of each number; a summary leaves out the count of images."""
    return {
        key: _over_folds(each, leaf) if isinstance(each, Mapping) else leaf
        for key, each in known.items()
        if key != "images"
    }


def fold_study(results: Results, name: str) -> FoldStudy | None:
    """The study, where it compares variants on at least two folds; None otherwise."""
    study = results.params.studies[name]
    if study.against is None:
        return None
    runs: dict[str, dict[Pair, RunResult]] = {study.against: {}}
    for each in results.of(name):
        if each.run.split != FULL and each.run.variant in (study.against, *study.variants):
            runs.setdefault(each.run.variant, {})[each.run.split, each.run.seed] = each
    found = FoldStudy(
        name=name,
        question=study.question,
        against=study.against,
        parts=results.params.preprocess.folds,
        margin=results.params.compare.margin_nats,
        power=results.params.compare.power,
        runs=runs,
    )
    return found if found.compared else None


def fold_studies(results: Results, graph: Graph) -> list[FoldStudy]:
    """The reported studies of a graph that compare variants on folds."""
    return [study for name in results.studies(graph) if (study := fold_study(results, name)) is not None]
