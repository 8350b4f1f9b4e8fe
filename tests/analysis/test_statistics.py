import math

import numpy as np
import pytest
from scipy.stats import ttest_ind, ttest_rel
from sklearn.datasets import make_moons
from sklearn.model_selection import RepeatedStratifiedKFold, cross_val_score
from sklearn.svm import SVC

from digit_vae.analysis.statistics import (
    add_holm,
    bootstrap_interval,
    chance_of_more,
    corrected_t_test,
    hedges_g,
    holm,
    placed,
    spread,
    summary,
    trend,
    welch,
)

VALUES, BASELINE = [155.2, 154.1, 156.9, 155.0, 157.3], [155.9, 154.0, 157.8, 156.2, 157.1]
DIFFERENCES = np.subtract(VALUES, BASELINE).tolist()
# Lakens 2013, Table 1: ten people's ratings of two movies.
MOVIE_1, MOVIE_2 = (9, 7, 8, 9, 8, 9, 9, 10, 9, 9), (9, 6, 7, 8, 7, 9, 8, 8, 8, 7)


def test_spread_divides_by_one_less_than_the_number_of_folds():
    assert spread([1.0, 2.0, 6.0]) == (3.0, pytest.approx(7**0.5))


def test_spread_needs_two_folds():
    with pytest.raises(ValueError, match=r"values=\[1.0\]"):
        spread([1.0])


@pytest.mark.parametrize("folds", [2, 3, 5])
def test_without_the_correction_it_is_the_paired_t_test(folds):
    test = ttest_rel(VALUES[:folds], BASELINE[:folds])
    interval = test.confidence_interval(0.95)
    expected = (np.mean(DIFFERENCES[:folds]), interval.low, interval.high)
    difference, p = corrected_t_test(DIFFERENCES[:folds], 0)
    assert difference == pytest.approx(expected)
    assert p == pytest.approx(test.pvalue)


def test_the_correction_is_that_of_scikit_learns_worked_example():
    """Its "Statistical comparison of models using grid search": t 0.750, p 0.227 in the right tail alone."""
    images, labels = make_moons(noise=0.352, random_state=1, n_samples=100)
    folds = RepeatedStratifiedKFold(n_splits=10, n_repeats=10, random_state=0)
    rbf, linear = (
        cross_val_score(SVC(kernel=kernel, random_state=0), images, labels, scoring="roc_auc", cv=folds)
        for kernel in ("rbf", "linear")
    )
    difference, p = corrected_t_test(rbf - linear, 10 / 90)
    assert p / 2 == pytest.approx(0.227, abs=5e-4)
    quantile = 1.984217  # of Student's t with 99 degrees of freedom at 0.975, from tables
    assert quantile * difference.mean / (difference.high - difference.mean) == pytest.approx(0.750, abs=5e-4)


def test_five_folds_widen_the_interval_by_three_halves():
    """(1/5 + 1/4) / (1/5) = 9/4."""
    (_, low, high), p = corrected_t_test(DIFFERENCES, 1 / 4)
    (_, plain_low, plain_high), plain_p = corrected_t_test(DIFFERENCES, 0)
    assert high - low == pytest.approx(1.5 * (plain_high - plain_low))
    assert p > plain_p


@pytest.mark.parametrize(("value", "p"), [(0.0, 1.0), (-1.5, 0.0)])
def test_differences_that_are_all_equal_have_no_interval_to_doubt(value, p):
    assert corrected_t_test([value] * 3, 0.5) == ((value, value, value), p)


def test_the_bootstraps_interval_has_the_quantiles_of_all_resamples():
    """Of three folds the least and the greatest resample are 1 of 27 each: more than the 2.5 % that are cut off."""
    assert bootstrap_interval([0.0, 3.0, 9.0]) == (0.0, 9.0)
    low, high = bootstrap_interval(DIFFERENCES)
    every = np.sort(np.mean(np.stack(np.meshgrid(*[DIFFERENCES] * 5), axis=-1).reshape(-1, 5), axis=1))
    assert (low, high) == pytest.approx(np.quantile(every, [0.025, 0.975]), abs=0.03)
    assert bootstrap_interval(DIFFERENCES) == (low, high)


def test_effect_size_is_lakens_d_z_with_hedges_factor():
    """Lakens 2013 has d_z = 1.5 for its movies; Hedges' exact factor for nine degrees of freedom is 0.9139."""
    assert hedges_g(np.subtract(MOVIE_1, MOVIE_2).tolist()) == pytest.approx(1.5 * 0.9139, abs=1e-4)


def test_hedges_factor_for_five_folds_is_two_over_the_root_of_two_pi():
    """Gamma(2) / (sqrt(2) * Gamma(3/2)) with Gamma(3/2) = sqrt(pi) / 2."""
    d = np.mean(DIFFERENCES) / np.std(DIFFERENCES, ddof=1)
    assert hedges_g(DIFFERENCES) == pytest.approx(d * 2 / math.sqrt(2 * math.pi))


def test_there_is_no_effect_size_without_a_spread():
    assert hedges_g([1.0, 1.0, 1.0]) is None
    rounded = [155.3 - 155.2, 154.1 - 154.0, 156.9 - 156.8]
    assert len(set(rounded)) > 1
    assert hedges_g(rounded) is None
    assert corrected_t_test(rounded, 0.5).p == 0


def test_two_folds_have_no_effect_size():
    """Hedges' factor of one degree of freedom, Gamma(1/2) / (sqrt(1/2) * Gamma(0)), is 0."""
    assert hedges_g([1.0, 2.0]) is None


def test_holm_adjusts_as_the_r_package_multtest():
    """Its result for these p-values, as the tests of statsmodels quote it; the six that are left come out as 1."""
    p = [0.838541367553, 0.642193923795, 0.680845947633, 0.967833824309, 0.71626938238, 0.177096952723,
         5.23656777208e-5, 0.0202732688798, 2.8140506198e-4, 0.0149877310796]  # fmt: skip
    expected = [1, 1, 1, 1, 1, 1, 5.23656777208e-4, 0.1419128821586, 2.53264555782e-3, 0.119901848636]
    assert holm(p) == pytest.approx(expected)


def test_holm_never_puts_a_greater_p_before_a_lesser():
    """The example of Holm's method in many textbooks: 0.04 * 1 is less than the 0.03 * 2 before it."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_welch_is_scipys():
    (mean, low, high), p = welch(VALUES, BASELINE[:3])
    expected = ttest_ind(VALUES, BASELINE[:3], equal_var=False)
    assert p == pytest.approx(expected.pvalue)
    assert mean == pytest.approx(np.mean(VALUES) - np.mean(BASELINE[:3]))
    assert (low, high) == pytest.approx(tuple(expected.confidence_interval(0.95)))


def test_welch_of_groups_without_a_spread_is_certain():
    assert welch([2.0, 2.0], [1.5, 1.5, 1.5]) == ((0.5, 0.5, 0.5), 0)
    assert welch([2.0, 2.0], [2.0, 2.0]) == ((0, 0, 0), 1)


def test_a_value_at_the_end_of_the_interval_for_one_more_is_just_told_from_the_others():
    """A t-test of one value against the others has p 0.05 there: an independent way to the same interval."""
    place = placed(160.0, VALUES)
    for end in (place.low, place.high):
        assert ttest_ind([end], VALUES).pvalue == pytest.approx(0.05)
    assert place.below == 5
    assert placed(157.3, VALUES).below == 4  # the greatest of them is not below itself
    assert placed(1.0, [2.0, 2.0]).deviations is None
    assert place.deviations == pytest.approx((160.0 - np.mean(VALUES)) / np.std(VALUES, ddof=1))


def test_the_chance_of_one_more_beyond_a_value_is_a_one_sided_t_test_of_it():
    for value in (153.0, 158.0):
        expected = ttest_ind([value], VALUES, alternative="greater").pvalue
        assert chance_of_more(value, VALUES) == pytest.approx(expected)


def test_trend_of_points_on_a_line():
    found = trend([11, 12, 13, 14], [154.0, 155.5, 157.0, 158.5])
    assert found[:4] == pytest.approx((1.5, 1.5, 1.5, 1.0))


def test_trends_interval_is_that_of_the_textbooks_formula():
    x, y = np.array([1.0, 2, 3, 4, 6]), np.array(VALUES)
    found, (fit, covariance) = trend(x, y), np.polyfit(x, y, 1, cov=True)
    quantile = 3.182446  # of Student's t with 3 degrees of freedom at 0.975, from tables
    half = quantile * covariance[0, 0] ** 0.5
    assert found[:3] == pytest.approx((fit[0], fit[0] - half, fit[0] + half), rel=1e-5)


@pytest.mark.parametrize("x", [[1.0, 2.0], [3.0, 3.0, 3.0]])
def test_there_is_no_trend_over_two_points_or_one_place(x):
    assert trend(x, VALUES[: len(x)]) is None


def test_summary_keeps_the_nesting_and_leaves_the_count_of_images_out():
    folds = [{"images": 12, "elbo": elbo, "kl_per_dimension": {"z0": 2.0}} for elbo in (-1.0, -3.0)]
    assert summary(folds, test_to_train=0.25) == {
        "elbo": {"mean": -2.0, "std": pytest.approx(2**0.5)},
        "kl_per_dimension": {"z0": {"mean": 2.0, "std": 0.0}},
    }


def test_summary_against_a_baseline_pairs_the_folds_in_order():
    folds, baseline = ([{"test": {"elbo": value}} for value in values] for values in (VALUES, BASELINE))
    found = summary(folds, baseline, test_to_train=0.25)["test"]["elbo"]
    (mean, low, high), p = corrected_t_test(DIFFERENCES, 1 / 4)
    assert (found["difference"], found["difference_low"], found["difference_high"], found["p"]) == (mean, low, high, p)
    assert (found["mean"], found["std"]) == spread(VALUES)
    assert (found["bootstrap_low"], found["bootstrap_high"]) == bootstrap_interval(DIFFERENCES)
    assert found["hedges_g"] == hedges_g(DIFFERENCES)


def test_a_family_is_one_metric_over_all_variants():
    summaries = [
        {"elbo": {"p": first}, "kl_per_dimension": {"z0": {"p": second}}}
        for first, second in [(0.02, 0.9), (0.04, 0.01)]
    ]
    add_holm(summaries)
    assert [each["elbo"]["p_holm"] for each in summaries] == pytest.approx([0.04, 0.04])
    assert [each["kl_per_dimension"]["z0"]["p_holm"] for each in summaries] == pytest.approx([0.9, 0.02])


def test_a_family_may_have_more_than_numbers_beside_its_p_values():
    summaries = [{"folds": 3, "elbo": {"p": p}} for p in (0.01, 0.02)]
    add_holm(summaries)
    assert [each["elbo"]["p_holm"] for each in summaries] == pytest.approx([0.02, 0.02])
