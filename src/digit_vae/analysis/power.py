"""What a comparison over folds could have seen: the least difference, equivalence, and what more repetitions bring.

"No detectable difference" is no evidence that there is none. With it belongs the least true difference that would have
been seen with a given power, and a test of equivalence: two one-sided tests (TOST) of whether the difference is within
a margin that is set beforehand (Schuirmann 1987; Lakens 2017). All of it goes by the variance of the corrected
resampled t-test (Nadeau & Bengio 2003; over repetitions: Bouckaert & Frank 2004): `statistics.corrected_t_test`.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.stats import binomtest, nct, norm, t

from digit_vae.analysis.statistics import CONFIDENCE, LEVEL, corrected_error, no_spread

FARTHEST = 1000  # repetitions: more are as good as none


class Share(NamedTuple):
    """`found` of `of` cases, and the ends of Wilson's 95 % interval of the share (Wilson 1927)."""

    found: int
    of: int
    low: float
    high: float


class Asked(NamedTuple):
    """A plan: the standard deviation of the differences over the folds of one repetition, above 0; how many folds a
    repetition has; the power; the level of the two-sided test.
    """

    std: float
    folds: int
    power: float
    level: float


class Planned(NamedTuple):
    """What so many repetitions tell, in the unit of the differences, each with the asked power.

    difference: the least true one that is seen; margin: the least within which variants without any difference are
    shown to be equivalent.
    """

    difference: float
    margin: float


def share(found: int, of: int) -> Share:
    """Of one case at least."""
    interval = binomtest(found, of).proportion_ci(CONFIDENCE, method="wilson")
    return Share(found, of, float(interval.low), float(interval.high))


def power_of(difference: float, error: float, freedom: int, level: float = LEVEL) -> float:
    """The probability that the two-sided t-test finds a true difference, in its right direction.

    error: the standard error of the mean difference, above 0. It is the upper tail of a noncentral t distribution.
    """
    return float(nct.sf(t.isf(level / 2, freedom), freedom, abs(difference) / error))


def detectable(error: float, freedom: int, power: float, level: float = LEVEL) -> float:
    """The least true difference that is found with this power. error: as of `power_of`; 0 sees every difference."""
    if error == 0:
        return 0.0
    beyond = (t.isf(level / 2, freedom) + t.isf((1 - power) / 2, freedom)) * 10
    return error * float(brentq(lambda size: power_of(size, 1.0, freedom, level) - power, 0, beyond))


def equivalence(differences: Sequence[float], test_to_train: float, margin: float) -> float:
    """p of the two one-sided tests: below the level, the true difference is within -margin and margin.

    It is the greater p of "not above -margin" and "not below margin". Where all differences are equal, it is 0 or 1.
    """
    mean, std = float(np.mean(differences)), float(np.std(differences, ddof=1))
    if no_spread(mean, std):
        return float(abs(mean) >= margin)
    error = corrected_error(std, len(differences), test_to_train)
    return float(t.sf((margin - abs(mean)) / error, len(differences) - 1))


def simulated(asked: Asked, repetitions: int, *, draws: int, seed: int) -> Planned:
    """What so many repetitions tell, by simulation.

    What all differences have in common through the images that their trainings share has the variance that the
    corrected test assumes: std^2 / (folds - 1), in addition to std^2 of each. More repetitions do not reduce it.
    """
    random, count = np.random.default_rng(seed), asked.folds * repetitions
    freedom, shared = count - 1, 1 / (asked.folds - 1)
    means = random.normal(0, asked.std * math.sqrt(shared), draws)
    means += random.normal(0, asked.std / math.sqrt(count), draws)
    errors = corrected_error(asked.std, count, shared) * np.sqrt(random.chisquare(freedom, draws) / freedom)
    seen = t.isf(asked.level / 2, freedom) * errors - means  # a true difference above this is found
    equal = t.isf(LEVEL, freedom) * errors + np.abs(means)  # a margin above this is shown
    return Planned(float(np.quantile(seen, asked.power)), float(np.quantile(equal, asked.power)))


def repetitions_for(difference: float, asked: Asked, shared: float) -> int | None:
    """How many repetitions find a true difference; None where no number does, or more than a thousand.

    shared: 1 / (folds - 1) as the corrected test assumes; 0 as if all differences were independent.
    """
    limit = (norm.isf(asked.level / 2) + norm.isf(1 - asked.power)) * asked.std * math.sqrt(shared)
    return None if limit >= difference else next(_enough(difference, asked, shared), None)


def _enough(difference: float, asked: Asked, shared: float) -> Iterator[int]:
    for repetitions in range(1, FARTHEST + 1):
        count = asked.folds * repetitions
        error = corrected_error(asked.std, count, shared)
        if power_of(difference, error, count - 1, asked.level) >= asked.power:
            yield repetitions
