"""Precision and recall, against the paper's equations written out pair by pair, and sets with known shares."""

import numpy as np
import pytest

from digit_vae.evaluation.manifold import covered, region


def by_pairs(points, others):
    """The share of `points` within a ball of `others`: equations 1 and 2, in loops."""
    inside = 0
    for point in points:
        for index, centre in enumerate(others):
            rest = [np.linalg.norm(centre - each) for other, each in enumerate(others) if other != index]
            if np.linalg.norm(point - centre) <= sorted(rest)[2]:
                inside += 1
                break
    return inside / len(points)


@pytest.mark.parametrize(("shift", "scale"), [(0.0, 1.0), (1.0, 1.0), (0.0, 0.4), (0.5, 2.0)])
def test_shares_are_those_of_the_equations(shift, scale):
    random = np.random.default_rng(0)
    real, generated = random.normal(size=(60, 4)), shift + scale * random.normal(size=(50, 4))
    found = covered(region(real, len(real)), region(generated, len(generated)))
    assert found == (by_pairs(generated, real), by_pairs(real, generated))
    assert 0 < found.precision < 1 or 0 < found.recall < 1


def test_equal_sets_cover_each_other_and_distant_ones_do_not():
    features = np.random.default_rng(1).normal(size=(40, 64))
    assert covered(region(features, 40), region(features[::-1], 40)) == (1, 1)
    assert covered(region(features, 40), region(features + 100, 40)) == (0, 0)


def test_a_part_of_the_modes_has_precision_without_recall():
    random = np.random.default_rng(2)
    modes = 50 * np.eye(10)[np.arange(2000) % 10]
    real = modes + 0.1 * random.normal(size=modes.shape)
    generated = 50 * np.eye(10)[np.arange(2000) % 4] + 0.1 * random.normal(size=modes.shape)
    found = covered(region(real, len(real)), region(generated, len(generated)))
    assert found.precision > 0.8
    assert 0.3 < found.recall <= 0.4  # the generated ones are of four modes out of ten


def test_radii_reach_to_the_third_nearest_other_or_the_farthest_of_fewer():
    line = np.array([[0.0], [1.0], [3.0], [7.0], [20.0]])
    np.testing.assert_allclose(region(line, 5).radii, [7, 6, 4, 7, 19])
    np.testing.assert_allclose(region(line[:2], 2).radii, [1, 1])


def test_a_part_of_the_features_is_spread_over_all_of_them():
    features = np.random.default_rng(3).normal(size=(120, 4))
    some = region(features, 40).features
    np.testing.assert_array_equal(some, features[[119 * place // 39 for place in range(40)]])
