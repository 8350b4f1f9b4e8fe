"""What a difference between variants is worth: spread over folds, and paired differences with 95 % intervals.

A variant and the baseline see the same folds, so they are compared fold by fold: what makes one fold harder than
another cancels in the difference.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import t

from digit_vae.params import FULL, Run

CONFIDENCE = 0.95


class Spread(NamedTuple):
    """Mean over folds and the sample standard deviation (divisor n - 1)."""

    mean: float
    std: float


class Difference(NamedTuple):
    """Mean of the per-fold differences and the ends of its two-sided 95 % interval."""

    mean: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Mean and standard deviation of one number a fold. Raises: ValueError below two folds."""
    if len(values) < 2:
        raise ValueError(f"expected at least two folds. Received: values={values}")
    return Spread(float(np.mean(values)), float(np.std(values, ddof=1)))


def paired_difference(values: Sequence[float], baseline: Sequence[float]) -> Difference:
    """values - baseline, fold by fold, with Student's t interval of its mean (n - 1 degrees of freedom)."""
    mean, std = spread(np.subtract(values, baseline).tolist())
    half = float(t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)) * std / len(values) ** 0.5
    return Difference(mean, mean - half, mean + half)


def summary(folds: Sequence[Mapping], baseline: Sequence[Mapping] | None = None) -> dict:
    """Every number in the folds' nested mappings as mean and std and, given the baseline's, its difference.

    `folds` and `baseline` hold one mapping a fold, in the same order and with the same keys; so does the result, with
    a mapping of these results in each number's place. The count of images is left out: it measures no model.
    """
    result = {}
    for key in folds[0]:
        values = [fold[key] for fold in folds]
        others = None if baseline is None else [fold[key] for fold in baseline]
        if isinstance(values[0], Mapping):
            result[key] = summary(values, others)
        elif key != "images":
            result[key] = spread(values)._asdict()
            if others is not None:
                mean, low, high = paired_difference(values, others)
                result[key] |= {"difference": mean, "difference_low": low, "difference_high": high}
    return result


def by_fold(runs: Iterable[Run], metrics: Mapping[str, Mapping]) -> dict[str, list[Mapping]]:
    """The metrics (by run name) of each variant's runs on folds, in the order of the folds."""
    folds: dict[str, list[Mapping]] = {}
    for run in runs:
        if run.split != FULL:
            folds.setdefault(run.variant, []).append(metrics[run.name])
    return folds
