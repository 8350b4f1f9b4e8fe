"""The study that repeats the folds with other seeds, and what it can tell, planned from the first repetition alone.

Repetition r draws the folds with seed r and starts the trainings with it.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from digit_vae.analysis.fold_comparison import FoldStudy, fold_study
from digit_vae.analysis.power import Asked, repetitions_for, simulated
from digit_vae.analysis.results import Results
from digit_vae.analysis.statistics import LEVEL

STUDY = "repetitions"
ELBO = ("validation", "elbo")
WISHED = 1.0  # nats: a difference that would matter among recipes
DRAWS = 100_000
SEED = 0


def plan(results: Results) -> dict[str, Any]:
    """What one and all repetitions tell of each variant's ELBO, by the runs of the studies beside this one alone.

    std: of the differences from the baseline over the folds of the first repetition. By number of repetitions what
    `power.simulated` says. repetitions_for_wished: to find a difference of `wished` nats, None where no number does, as
    the corrected test assumes and as if all differences were independent. Without such a study or runs no variants.
    """
    first, params = first_repetition(results), results.params
    content = {"power": params.compare.power, "level": LEVEL, "draws": DRAWS, "wished": WISHED}
    if first is None:
        return content | {"variants": {}}
    counts = sorted({1, 1 + len(params.studies[STUDY].seeds)})
    return content | {"variants": {name: _planned(first, name, counts) for name in first.compared}}


def first_repetition(results: Results) -> FoldStudy | None:
    """The comparison by the runs that other studies declare; None where there are none."""
    study = fold_study(results, STUDY) if STUDY in results.params.studies else None
    if study is None:
        return None
    runs = {
        name: {pair: each for pair, each in its.items() if each.run.study != STUDY} for name, its in study.runs.items()
    }
    first = replace(study, runs=runs)
    return first if first.compared else None


def _planned(first: FoldStudy, variant: str, counts: list[int]) -> dict[str, Any]:
    differences = first.differences(variant, *ELBO)
    std = float(np.std(differences, ddof=1))
    asked = Asked(std, first.parts, first.power, LEVEL / len(first.compared))
    assumed = {"corrected": first.test_to_train, "independent": 0.0}
    return {
        "folds": len(differences),
        "std": std,
        "repetitions": {str(count): simulated(asked, count, draws=DRAWS, seed=SEED)._asdict() for count in counts},
        "repetitions_for_wished": {name: repetitions_for(WISHED, asked, shared) for name, shared in assumed.items()},
    }
