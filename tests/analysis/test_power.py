"""Power and equivalence, against published numbers, SciPy's tests, closed forms and data that are simulated whole."""

import math

import numpy as np
import pytest
from scipy.stats import norm, t, ttest_1samp

from digit_vae.analysis.power import (
    Asked,
    detectable,
    equivalence,
    power_of,
    repetitions_for,
    share,
    simulated,
)
from digit_vae.analysis.statistics import corrected_error, corrected_t_test

VALUES = [0.4, -1.1, 0.9, 0.1, -0.6, 0.8]


def test_power_is_that_of_the_textbooks_paired_t_test():
    """Cohen 1988, and every power program since: 34 pairs find d = 0.5 at the two-sided 5 % level with 80 %."""
    assert power_of(0.5, 34**-0.5, 33) == pytest.approx(0.808, abs=5e-4)
    assert power_of(-0.5, 33**-0.5, 32) == pytest.approx(0.795, abs=2e-3)
    assert power_of(0.0, 1.0, 10) == pytest.approx(0.025)


def test_what_is_detectable_has_the_asked_power():
    for freedom, level in ((4, 0.05), (14, 0.0125), (1000, 0.05)):
        assert power_of(detectable(0.7, freedom, 0.8, level), 0.7, freedom, level) == pytest.approx(0.8)
    assert detectable(1.0, 10**6, 0.8) == pytest.approx(norm.ppf(0.975) + norm.ppf(0.8), rel=1e-4)
    assert detectable(0.0, 4, 0.8) == 0


def test_equivalence_without_the_correction_is_two_one_sided_t_tests():
    for margin in (0.3, 1.0):
        above = ttest_1samp(VALUES, -margin, alternative="greater").pvalue
        below = ttest_1samp(VALUES, margin, alternative="less").pvalue
        assert equivalence(VALUES, 0, margin) == pytest.approx(max(above, below))
        assert equivalence([-each for each in VALUES], 0, margin) == pytest.approx(max(above, below))


def test_equivalence_is_shown_where_the_90_percent_interval_lies_within_the_margin():
    error = corrected_error(float(np.std(VALUES, ddof=1)), 6, 0.25)
    end = abs(np.mean(VALUES)) + t.ppf(0.95, 5) * error
    assert equivalence(VALUES, 0.25, end) == pytest.approx(0.05)
    assert (equivalence([0.5] * 3, 0.25, 1.0), equivalence([-1.5] * 3, 0.25, 1.0)) == (0, 1)


def test_shares_have_wilsons_interval():
    """Newcombe 1998, table I, method 3: 81 of 263, 15 of 148, 0 of 20 and 1 of 29."""
    published = {
        (81, 263): (0.2553, 0.3662),
        (15, 148): (0.0624, 0.1605),
        (0, 20): (0, 0.1611),
        (1, 29): (0.0061, 0.1718),
    }
    for (found, of), ends in published.items():
        assert share(found, of)[2:] == pytest.approx(ends, abs=5e-5)


def folds_of(random, difference, std, count, shared):
    """Differences on `count` folds with the correlation that the corrected test assumes."""
    return difference + random.normal(0, std * math.sqrt(shared)) + random.normal(0, std, count)


@pytest.mark.parametrize("repetitions", [1, 3])
def test_planted_differences_and_planted_equivalence_come_out_as_often_as_planned(repetitions):
    asked = Asked(std=2.0, folds=5, power=0.8, level=0.05)
    plan = simulated(asked, repetitions, draws=100_000, seed=0)
    random, found, equal, wrong = np.random.default_rng(1), 0, 0, 0
    trials = 2000
    for _ in range(trials):
        planted, same = (folds_of(random, each, 2.0, 5 * repetitions, 0.25) for each in (plan.difference, 0.0))
        (mean, _, _), p = corrected_t_test(planted, 0.25)
        found += p < 0.05 and mean > 0
        equal += equivalence(same, 0.25, plan.margin) < 0.05
        wrong += corrected_t_test(same, 0.25).p < 0.05
    error = 3 * (0.8 * 0.2 / trials) ** 0.5
    assert found / trials == pytest.approx(0.8, abs=error)
    assert equal / trials == pytest.approx(0.8, abs=error)
    assert wrong / trials == pytest.approx(0.05, abs=0.02)


def test_a_difference_as_large_as_the_margin_is_seldom_called_equivalent():
    random, trials = np.random.default_rng(2), 2000
    called = sum(equivalence(folds_of(random, 3.0, 2.0, 15, 0.25), 0.25, 3.0) < 0.05 for _ in range(trials))
    assert called / trials == pytest.approx(0.05, abs=0.02)


def test_the_simulation_agrees_with_the_closed_form():
    asked = Asked(std=1.7, folds=5, power=0.8, level=0.0125)
    error = corrected_error(1.7, 15, 0.25)
    plan = simulated(asked, 3, draws=200_000, seed=0)
    assert plan.difference == pytest.approx(detectable(error, 14, 0.8, 0.0125), rel=0.01)
    assert plan == simulated(asked, 3, draws=200_000, seed=0)


def test_repetitions_cannot_see_what_shared_images_hide():
    """The limit is the error that is left with any number of folds, (z + z) * std / 2 for five of them."""
    asked = Asked(std=2.0, folds=5, power=0.8, level=0.05)
    limit = (norm.ppf(0.975) + norm.ppf(0.8)) * 2.0 / 2
    assert repetitions_for(limit - 0.01, asked, 0.25) is None
    enough = repetitions_for(3.5, asked, 0.25)
    powers = [power_of(3.5, corrected_error(2.0, 5 * n, 0.25), 5 * n - 1) for n in (enough - 1, enough)]
    assert powers[0] < 0.8 <= powers[1]
    assert repetitions_for(1.0, asked, 0.0) == 7  # 34 pairs find half a standard deviation: seven times five
    assert repetitions_for(0.01, asked, 0.0) is None
