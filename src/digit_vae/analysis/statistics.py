"""Statistical tests of differences between variants, and the place of one run among runs of other seeds.

A variant and the baseline learn from the same folds, so they are compared fold by fold: what makes one fold harder than
another cancels in the difference. Folds share most of their training images. A plain paired t-test assumes that
they are independent; the corrected one (Nadeau & Bengio 2003) does not. Among many comparisons some are far from zero
by chance alone, so their p-values are adjusted by Holm's method (Holm 1979).
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.special import gammaln
from scipy.stats import bootstrap, linregress, spearmanr, t, ttest_ind

CONFIDENCE = 0.95
LEVEL = 0.05  # below it, an adjusted p-value is taken for a difference
RESAMPLES = 9999


class Spread(NamedTuple):
    """Mean over folds or seeds, and the sample standard deviation (divisor n - 1); None of a single one."""

    mean: float
    std: float | None


class Difference(NamedTuple):
    """A mean difference and the ends of its two-sided 95 % interval."""

    mean: float
    low: float
    high: float


class Tested(NamedTuple):
    """A difference, and the two-sided p-value of there being none."""

    difference: Difference
    p: float


class Placed(NamedTuple):
    """Where a value stands among others: how many of them are below it, its distance from their mean in their standard
    deviations (None where they are all equal), and the ends of the 95 % interval in which one more is to be expected.
    """

    below: int
    deviations: float | None
    low: float
    high: float


class Trend(NamedTuple):
    """The slope of a least-squares line with the ends of its 95 % interval; Spearman's rank correlation and its p."""

    slope: float
    low: float
    high: float
    correlation: float
    p: float


def spread(values: Sequence[float]) -> Spread:
    """Mean and standard deviation of one number a fold or seed. Raises: ValueError below two values."""
    if len(values) < 2:
        raise ValueError(f"expected at least two values. Received: values={values}")
    return Spread(float(np.mean(values)), _std(values))


def _std(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1))


def corrected_error(std: float, count: int, test_to_train: float) -> float:
    """The standard error of the mean of `count` paired differences with this deviation: `corrected_t_test` has why."""
    return float((1 / count + test_to_train) ** 0.5 * std)


def corrected_t_test(differences: Sequence[float], test_to_train: float) -> Tested:
    """Student's t of the mean of k paired differences, with the variance (1/k + test_to_train) * s^2 instead of s^2/k.

    test_to_train: images scored over images learnt from, in each of the k resamples. That is 1 / (folds - 1) for folds,
    drawn once or with several seeds; 0 gives the plain paired t-test. Source: Nadeau & Bengio 2003, "Inference for the
    Generalization Error", section 4.2; for cross-validation, also repeated: Bouckaert & Frank 2004. Where all
    differences are equal, p is 1 if they are 0 and else 0.
    """
    mean, std = float(np.mean(differences)), _std(differences)
    error = corrected_error(std, len(differences), test_to_train)
    freedom = len(differences) - 1
    half = float(t.ppf((1 + CONFIDENCE) / 2, freedom)) * error
    p = float(mean == 0) if no_spread(mean, std) else float(2 * t.sf(abs(mean) / error, freedom))
    return Tested(Difference(mean, mean - half, mean + half), p)


def no_spread(mean: float, std: float) -> bool:
    """Whether values differ by no more than float64 rounds."""
    return std <= 1e-12 * max(1.0, abs(mean))


def bootstrap_interval(differences: Sequence[float]) -> tuple[float, float]:
    """95 % percentile interval of the mean over resampled folds (Efron & Tibshirani 1993, chapter 13), seeded.

    Five folds have only 126 different resamples, none beyond the least and the greatest fold, and are treated as
    independent: the interval describes these folds, and contains the truth less often than it claims.
    """
    drawn = bootstrap(
        (np.asarray(differences, np.float64),), np.mean, confidence_level=CONFIDENCE, n_resamples=RESAMPLES,
        method="percentile", rng=np.random.default_rng(0),
    )  # fmt: skip
    return float(drawn.confidence_interval.low), float(drawn.confidence_interval.high)


def hedges_g(differences: Sequence[float]) -> float | None:
    """Mean over standard deviation of the paired differences, Cohen's d_z (Lakens 2013, equation 6), times Hedges'
    correction for few of them, Gamma(m/2) / (sqrt(m/2) * Gamma((m-1)/2)) with m = n - 1 (Hedges 1981, p. 111).

    None where all differences are equal, to rounding: there is no spread to measure them by. None of two: the
    correction is 0, since the mean of Cohen's d_z is infinite.
    """
    mean, std = float(np.mean(differences)), _std(differences)
    if len(differences) < 3 or no_spread(mean, std):
        return None
    freedom = len(differences) - 1
    correction = np.exp(gammaln(freedom / 2) - gammaln((freedom - 1) / 2)) / (freedom / 2) ** 0.5
    return float(correction * mean / std)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment, in the given order: the least of n p-values times n, the next times n - 1, ...

    None becomes less than the one before it, and none more than 1 (Holm 1979; Wright 1992).
    """
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return [float(each) for each in adjusted]


def welch(values: Sequence[float], others: Sequence[float]) -> Tested:
    """mean(values) - mean(others) of two independent groups, whose variances may differ (Welch 1947).

    Where neither group has a spread, p is 1 if the difference is 0 and else 0.
    """
    mean = float(np.mean(values) - np.mean(others))
    if all(no_spread(float(np.mean(group)), _std(group)) for group in (values, others)):
        return Tested(Difference(mean, mean, mean), float(mean == 0))
    test = ttest_ind(values, others, equal_var=False)
    interval = test.confidence_interval(CONFIDENCE)
    return Tested(Difference(mean, float(interval.low), float(interval.high)), float(test.pvalue))


def placed(value: float, others: Sequence[float]) -> Placed:
    """Where `value` stands among `others`, taken for normally distributed.

    One more of them is expected within mean +- t * s * sqrt(1 + 1/n) (Hahn & Meeker 1991, section 4.7).
    """
    mean, std = float(np.mean(others)), _std(others)
    half = float(t.ppf((1 + CONFIDENCE) / 2, len(others) - 1)) * std * (1 + 1 / len(others)) ** 0.5
    below = sum(other < value for other in others)
    return Placed(below, (value - mean) / std if std else None, mean - half, mean + half)


def chance_of_more(value: float, others: Sequence[float]) -> float:
    """The probability that one more of `others`, taken for normally distributed, is at least `value`: see `placed`."""
    error = _std(others) * (1 + 1 / len(others)) ** 0.5
    return float(t.sf((value - float(np.mean(others))) / error, len(others) - 1))


def trend(x: Sequence[float], y: Sequence[float]) -> Trend | None:
    """How y goes with x; None where there are fewer than three points, or a single x or y."""
    if len(x) < 3 or 1 in (len(set(x)), len(set(y))):
        return None
    line, ranks = linregress(x, y), spearmanr(x, y)
    half = float(t.ppf((1 + CONFIDENCE) / 2, len(x) - 2) * line.stderr)
    slope = float(line.slope)
    return Trend(slope, slope - half, slope + half, float(ranks.statistic), float(ranks.pvalue))


def summary(
    values: Sequence[Mapping[str, Any]], baseline: Sequence[Mapping[str, Any]] | None = None, *, test_to_train: float
) -> dict[str, Any]:
    """Every number in the nested mappings as mean and std and, given the baseline's, how far it is from that.

    `values` and `baseline` hold one mapping for each fold (and seed), in the same order and with the same keys. The
    result has the same keys, with a mapping of these results in each number's place. It leaves out the count of images,
    which measures no model. test_to_train: as of `corrected_t_test`, which is meant for numbers on the held-out folds.
    The test images are the same for all folds: of numbers on them the result tells what other trainings would change,
    not what other test images would.
    """
    result: dict[str, Any] = {}
    for key in values[0]:
        ours = [each[key] for each in values]
        theirs = None if baseline is None else [each[key] for each in baseline]
        if isinstance(ours[0], Mapping):
            result[key] = summary(ours, theirs, test_to_train=test_to_train)
        elif key != "images":
            compared = {} if theirs is None else _compared(ours, theirs, test_to_train)
            result[key] = spread(ours)._asdict() | compared
    return result


def _compared(values: Sequence[float], baseline: Sequence[float], test_to_train: float) -> dict[str, float]:
    differences = np.subtract(values, baseline).tolist()
    (mean, low, high), p = corrected_t_test(differences, test_to_train)
    bootstrap_low, bootstrap_high = bootstrap_interval(differences)
    error = corrected_error(_std(differences), len(differences), test_to_train)
    compared = {"difference": mean, "difference_low": low, "difference_high": high, "error": error, "p": p}
    compared |= {"bootstrap_low": bootstrap_low, "bootstrap_high": bootstrap_high}
    g = hedges_g(differences)
    return compared if g is None else compared | {"hedges_g": g}


def add_holm(summaries: Sequence[dict[str, Any]]) -> None:
    """Adds p_holm beside each p. The family is one number of all `summaries`, which have the same keys: one summary for
    each variant of a study.
    """
    if not summaries:
        return
    if "p" in summaries[0]:
        for each, adjusted in zip(summaries, holm([each["p"] for each in summaries]), strict=True):
            each["p_holm"] = adjusted
        return
    for key, value in summaries[0].items():
        if isinstance(value, dict):
            add_holm([each[key] for each in summaries])
