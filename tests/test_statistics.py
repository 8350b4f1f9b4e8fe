import numpy as np
import pytest
from scipy.stats import ttest_rel

from digit_vae.params import Run
from digit_vae.statistics import by_fold, paired_difference, spread, summary

VALUES, BASELINE = [155.2, 154.1, 156.9, 155.0, 157.3], [155.9, 154.0, 157.8, 156.2, 157.1]


def test_spread_divides_by_one_less_than_the_number_of_folds():
    assert spread([1.0, 2.0, 6.0]) == (3.0, pytest.approx(7**0.5))


def test_spread_needs_two_folds():
    with pytest.raises(ValueError, match=r"at least two folds. Received: values=\[1.0\]"):
        spread([1.0])


@pytest.mark.parametrize("folds", [2, 3, 5])
def test_difference_and_interval_are_those_of_the_paired_t_test(folds):
    values, baseline = VALUES[:folds], BASELINE[:folds]
    interval = ttest_rel(values, baseline).confidence_interval(0.95)
    expected = (np.mean(np.subtract(values, baseline)), interval.low, interval.high)
    assert paired_difference(values, baseline) == pytest.approx(expected)


def test_what_is_common_to_a_fold_cancels_in_the_difference():
    shifted = [value + shift for value, shift in zip(VALUES, (0, 30, -10, 5, 100), strict=True)]
    baseline = [value - 1.5 for value in shifted]
    assert paired_difference(shifted, baseline) == pytest.approx((1.5, 1.5, 1.5))


def test_summary_keeps_the_nesting_and_leaves_the_count_of_images_out():
    folds = [{"images": 12, "elbo": elbo, "kl_per_dimension": {"z0": 2.0}} for elbo in (-1.0, -3.0)]
    assert summary(folds) == {
        "elbo": {"mean": -2.0, "std": pytest.approx(2**0.5)},
        "kl_per_dimension": {"z0": {"mean": 2.0, "std": 0.0}},
    }


def test_summary_against_a_baseline_pairs_the_folds_in_order():
    folds, baseline = ([{"test": {"elbo": value}} for value in values] for values in (VALUES, BASELINE))
    interval = ttest_rel(VALUES, BASELINE).confidence_interval(0.95)
    assert summary(folds, baseline)["test"]["elbo"] == pytest.approx(
        {
            "mean": np.mean(VALUES),
            "std": np.std(VALUES, ddof=1),
            "difference": np.mean(VALUES) - np.mean(BASELINE),
            "difference_low": interval.low,
            "difference_high": interval.high,
        }
    )


def test_by_fold_groups_the_runs_on_folds_in_order_and_leaves_full_out():
    declared = [Run("a", "full"), Run("a", "0"), Run("b", "full"), Run("c", "0"), Run("a", "1"), Run("c", "1")]
    metrics = {run.name: {"name": run.name} for run in declared}
    grouped = {variant: [each["name"] for each in folds] for variant, folds in by_fold(declared, metrics).items()}
    assert grouped == {"a": ["a-0", "a-1"], "c": ["c-0", "c-1"]}
