"""The mixture of Gaussians, against closed forms, SciPy's densities and data made from known mixtures."""

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import chisquare, multivariate_normal

from digit_vae.evaluation.latent import Posterior
from digit_vae.evaluation.mixture import Mixture, draw, draw_posterior, fit_mixture, parameters

THREE = Mixture(
    weights=np.array([0.5, 0.3, 0.2]),
    means=np.array([[0.0, 0.0], [20.0, 0.0], [0.0, 20.0]]),
    covariances=np.array([[[1.0, 0.5], [0.5, 2.0]], np.eye(2), [[3.0, -1.0], [-1.0, 1.0]]]),
    log_density=0.0,
)


def components_of(z):
    return ((z[:, np.newaxis] - THREE.means) ** 2).sum(axis=2).argmin(axis=1)


def density(mixture, z):
    each = [multivariate_normal(mean, cov).logpdf(z) for mean, cov in zip(*mixture[1:3], strict=True)]
    return logsumexp(np.log(mixture.weights)[:, np.newaxis] + each, axis=0)


def test_draws_have_the_weights_and_moments_of_the_mixture_in_random_order():
    z = draw(THREE, 20_000, seed=3)
    which = components_of(z)
    assert (z.dtype, z.shape) == (np.float32, (20_000, 2))
    assert chisquare(np.bincount(which), 20_000 * THREE.weights).pvalue > 0.001
    assert chisquare(np.bincount(which[:1000]), 1000 * THREE.weights).pvalue > 0.001
    for component in range(3):
        of = z[which == component]
        np.testing.assert_allclose(of.mean(axis=0), THREE.means[component], atol=0.15)
        np.testing.assert_allclose(np.cov(of, rowvar=False), THREE.covariances[component], atol=0.2)
    np.testing.assert_array_equal(draw(THREE, 50, seed=3), draw(THREE, 50, seed=3))
    assert not np.array_equal(draw(THREE, 50, seed=3), draw(THREE, 50, seed=4))


def test_the_number_of_components_is_that_of_the_highest_held_out_likelihood():
    z = draw(THREE, 4000, seed=0).astype(np.float64)
    found = fit_mixture(z, [1, 2, 3], seed=0)
    assert found.components == 3
    assert found.log_density == pytest.approx(density(found, z[2000:]).mean())
    assert found.log_density == pytest.approx(density(THREE, z[2000:]).mean(), abs=0.02)
    order = np.argsort(-found.weights)
    np.testing.assert_allclose(found.means[order], THREE.means, atol=0.2)
    alone = fit_mixture(np.random.default_rng(0).normal(size=(400, 2)), [1, 40], seed=0)
    assert alone.components == 1


def test_the_same_draws_give_the_same_mixture():
    z = draw(THREE, 400, seed=1).astype(np.float64)
    for one, same in zip(fit_mixture(z, [2, 3], seed=5), fit_mixture(z, [2, 3], seed=5), strict=True):
        np.testing.assert_array_equal(one, same)


def test_too_few_points_for_any_mixture_get_a_single_gaussian():
    z = np.random.default_rng(2).normal(size=(20, 30))
    found = fit_mixture(z, [5, 10], seed=0)
    assert found.components == 1
    np.testing.assert_allclose(found.means[0], z[:10].mean(axis=0))
    assert draw(found, 7, seed=0).shape == (7, 30)


def test_parameters_are_counted_as_they_are_free():
    assert parameters(1, 1) == 2
    assert parameters(3, 2) == 2 + 3 * 2 + 3 * 3
    assert parameters(10, 16) == 9 + 10 * 16 + 10 * 136


def test_latents_are_drawn_once_from_each_posterior_of_chosen_images():
    mean = np.arange(1000.0)[:, np.newaxis] * [100, -100]
    narrow = Posterior(mean, np.full((1000, 2), 2 * np.log(0.5)))
    z = draw_posterior(narrow, 600, seed=0)
    images = np.rint(z[:, 0] / 100)
    assert len(set(images)) == 600
    assert not np.array_equal(images, np.sort(images))
    noise = z - images[:, np.newaxis] * [100, -100]
    np.testing.assert_allclose([noise.mean(), noise.std()], [0, 0.5], atol=0.03)
    assert len(draw_posterior(narrow, 5000, seed=0)) == 1000
