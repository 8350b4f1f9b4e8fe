"""log p(x) against closed forms and SciPy's quadrature; the bounds against it, and against their own definitions."""

from dataclasses import asdict, replace
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from scipy.integrate import dblquad
from scipy.special import log_expit
from scipy.stats import entropy, multivariate_normal, norm
from synthetic import SMALL_PARAMS

from digit_vae.config.loading import load_params
from digit_vae.config.schema import RunParams
from digit_vae.evaluation import elbo, likelihood
from digit_vae.model.vae import build_vae

pytestmark = pytest.mark.usefixtures("cpu")
PARAMS = replace(load_params(SMALL_PARAMS).evaluate, samples=200, bound_images=4, plane_tolerance=0.001)
RULE = {"radius": 6.0, "tolerance": 1e-3, "refinements": 7}


@pytest.fixture(scope="module")
def lively(small_params):
    """A VAE with random weights, so large that what it decodes, and what it encodes, differs from place to place."""
    keras.utils.set_random_seed(1)
    vae = build_vae(RunParams(**asdict(small_params.train), seed=0))
    for layer in ("conv_transpose_1", "conv_transpose_2", "logits"):
        kernel, bias = vae.decoder.get_layer(layer).get_weights()
        vae.decoder.get_layer(layer).set_weights([2 * kernel, bias])
    return vae


@pytest.fixture(scope="module")
def measured(lively, digits):
    return measure(lively, digits[:40], PARAMS)


def measure(vae, images, params):
    return likelihood.measure(vae, images, elbo.encode(vae, images, params), params)


def test_binarised_pixels_are_one_from_a_half_on():
    images = np.array([0, 1, 127, 128, 255], np.uint8)  # 127 / 255 is below a half, 128 / 255 above
    binarised = likelihood.prepared(images, "binarised")
    assert binarised.dtype == np.uint8
    np.testing.assert_array_equal(binarised, [0, 0, 0, 255, 255])
    np.testing.assert_array_equal(likelihood.prepared(images, "grey"), images)


def test_the_entropy_floor_is_the_entropy_of_the_pixels():
    images = np.random.default_rng(0).integers(0, 256, (20, 28, 28, 1)).astype(np.uint8)
    expected = entropy([images / 255, 1 - images / 255], axis=0).sum() / 20
    assert likelihood.entropy_floor(images) == pytest.approx(expected)
    assert likelihood.entropy_floor(likelihood.prepared(images, "binarised")) == 0


def linear_gaussian(weights, noise, x):
    """x = W z + noise * epsilon: log p(x|z) as `integrate` asks for it, and log p(x) of N(0, W W' + noise^2 I)."""

    def log_likelihood(indices, z):
        return norm.logpdf(x[indices, np.newaxis], z @ weights.T, noise).sum(axis=2)

    covariance = weights @ weights.T + noise**2 * np.eye(len(weights))
    return log_likelihood, multivariate_normal(cov=covariance).logpdf(x)


@pytest.mark.parametrize(
    "weights",
    [
        [[1.0, 0.0], [0.0, 1.0], [0.5, -0.5]],  # posteriors of 0.05 in each direction
        [[1.0, 1.0], [1.0, 1.0], [0.0, 0.1]],  # oblique ridges
        [[0.0, 2.0], [0.0, 1.0], [0.0, 1.0]],  # z0 collapsed: ridges as long as the prior, along the axis
    ],
)
def test_the_integral_of_a_linear_gaussian_model_is_its_closed_form(weights):
    generator = np.random.default_rng(0)
    weights, noise = np.array(weights), 0.05
    x = generator.normal(size=(30, 2)) @ weights.T + noise * generator.normal(size=(30, 3))
    log_likelihood, expected = linear_gaussian(weights, noise, x)
    integral = likelihood.integrate(log_likelihood, 30, **RULE)
    assert integral.error.mean() <= RULE["tolerance"]
    assert (np.abs(integral.log_likelihood - expected) <= integral.error + 1e-6).all()


def test_a_posterior_beyond_the_prior_needs_a_larger_radius():
    log_likelihood, expected = linear_gaussian(np.array([[1.0, 0.0], [0.0, 1.0]]), 0.1, np.array([[7.0, 0.0]]))
    [near] = likelihood.integrate(log_likelihood, 1, **RULE).log_likelihood
    [far] = likelihood.integrate(log_likelihood, 1, **RULE | {"radius": 8.0}).log_likelihood
    assert near < expected - 1
    assert far == pytest.approx(expected, abs=1e-3)


def test_a_decoder_that_ignores_z_has_the_likelihood_of_its_one_image():
    integral = likelihood.integrate(lambda images, z: np.tile(-100.0 * images[:, np.newaxis], len(z)), 3, **RULE)
    np.testing.assert_allclose(integral.log_likelihood, [0, -100, -200], atol=1e-4)


def test_a_decoder_of_two_images_is_their_mixture():
    """One image on each side of z0 = 0.7, weighted by the normal distribution function."""

    def log_likelihood(images, z):
        first, second = (np.array(each)[images, np.newaxis] for each in ([-3.0, -90.0, -200.0], [-4.0, -80.0, -20.0]))
        return np.where(z[:, 0] < 0.7, first, second)

    below = norm.cdf(0.7)
    expected = np.log(below * np.exp([-3.0, -90.0, -200.0]) + (1 - below) * np.exp([-4.0, -80.0, -20.0]))
    integral = likelihood.integrate(log_likelihood, 3, **RULE)
    np.testing.assert_allclose(integral.log_likelihood, expected, atol=5e-3)


def test_a_decoder_of_linear_log_odds_against_scipy(digits):
    slopes = np.random.default_rng(0).normal(scale=0.2, size=(2, 784)).astype(np.float32)
    decoder = keras.Sequential([keras.Input((2,)), keras.layers.Dense(784), keras.layers.Reshape((28, 28, 1))])
    decoder.set_weights([slopes, np.full(784, -1, np.float32)])
    x = digits[7].reshape(-1) / 255

    def joint(z1, z0):
        logits = z0 * slopes[0] + z1 * slopes[1] - 1
        log_likelihood = (x * log_expit(logits) + (1 - x) * log_expit(-logits)).sum()
        return np.exp(log_likelihood + 300) * norm.pdf(z0) * norm.pdf(z1)  # exp alone would vanish

    expected = np.log(dblquad(joint, -2, 2, -2, 2, epsabs=0, epsrel=1e-4)[0]) - 300
    log_likelihood = likelihood.shared_log_likelihood(SimpleNamespace(decoder=decoder), digits[7:8])
    [value] = likelihood.integrate(log_likelihood, 1, **RULE).log_likelihood
    assert value == pytest.approx(expected, abs=2e-3)


def test_refinement_ends_at_the_tolerance_or_after_so_many_doublings():
    log_likelihood, _ = linear_gaussian(np.eye(2), 0.02, np.array([[1.0, 0.3], [0.2, -1.5]]))
    errors = [
        likelihood.integrate(log_likelihood, 2, **RULE | {"refinements": most}).error.mean() for most in (2, 3, 7, 9)
    ]
    assert errors[0] > errors[1] > RULE["tolerance"] >= errors[2] == errors[3]


def test_draws_come_with_their_likelihood_and_their_ratio(lively, digits):
    sampled = likelihood.sample(lively, digits[:50], elbo.encode(lively, digits[:50], PARAMS), 3, seed=(4, 1))
    z_mean, z_log_var = (part.numpy().astype(np.float64) for part in lively.encoder(digits[:50] / 255, training=False))
    epsilon = np.random.default_rng((4, 1)).standard_normal((50, 3, 2), dtype=np.float32)
    deviation = np.exp(z_log_var / 2)[:, np.newaxis]
    z = z_mean[:, np.newaxis] + deviation * epsilon
    ratio = (norm.logpdf(z) - norm.logpdf(z, z_mean[:, np.newaxis], deviation)).sum(axis=2)
    logits = lively.decoder(z.reshape(-1, 2), training=False).numpy().astype(np.float64)
    x = digits[:50].repeat(3, axis=0) / 255
    expected = (x * log_expit(logits) + (1 - x) * log_expit(-logits)).sum(axis=(1, 2, 3)).reshape(50, 3)
    np.testing.assert_allclose(sampled.log_ratio, ratio, atol=1e-4)
    np.testing.assert_allclose(sampled.log_likelihood, expected, rtol=1e-5)


def test_points_shared_by_images_give_what_the_loss_gives(lively, digits):
    z = np.random.default_rng(0).normal(size=(150, 2))
    shared = likelihood.shared_log_likelihood(lively, digits[:20])
    logits = lively.decoder(z, training=False).numpy().astype(np.float64).reshape(150, 784)
    x = digits[:20].reshape(20, 784) / 255
    expected = x @ log_expit(logits).T + (1 - x) @ log_expit(-logits).T
    np.testing.assert_allclose(shared(np.arange(20), z), expected, rtol=1e-5)
    np.testing.assert_allclose(shared(np.array([3, 11]), z), expected[[3, 11]], rtol=1e-5)


def test_bounds_of_log_normal_weights():
    """log w ~ N(-100, 0.5^2): the expectation of log w is -100, the log of that of w 0.5^2 / 2 more."""
    log_weights = np.random.default_rng(0).normal(-100, 0.5, (300, 1000))
    for k, expected in ((1, -100), (1000, -100 + 0.125)):
        assert likelihood.importance_bound(log_weights, k).mean() == pytest.approx(expected, abs=0.005)
    assert likelihood.importance_bound(log_weights[:1, :10], 5)[0] == pytest.approx(
        np.mean([np.log(np.exp(group).mean()) for group in log_weights[0, :10].reshape(2, 5)])
    )


@pytest.mark.parametrize("protocol", ["grey", "binarised"])
def test_bounds_rise_with_their_samples_to_the_integral(measured, protocol):
    numbers = measured[protocol]
    bounds, errors = list(numbers["iw_bound"].values()), list(numbers["iw_bound_error"].values())
    assert bounds == sorted(bounds)
    assert (bounds[0], errors[0]) == (numbers["elbo"], numbers["elbo_error"])
    assert bounds[1] - bounds[0] > 4 * errors[1]
    assert bounds[3] <= numbers["log_likelihood"] + 4 * errors[3]
    assert 4 * numbers["elbo_error"] < numbers["inference_gap"] == numbers["log_likelihood"] - numbers["elbo"]
    assert numbers["log_likelihood_error"] <= PARAMS.plane_tolerance
    assert numbers["log_likelihood_error"] <= numbers["log_likelihood_error_maximum"]


@pytest.mark.slow
def test_the_elbo_is_that_of_the_evaluation_and_other_draws_differ_by_its_error(lively, measured, digits):
    numbers = measured["grey"]
    elbos = [
        elbo.measure(elbo.encode(lively, digits[:40], replace(PARAMS, seed=seed)), 0.01)["elbo"]
        for seed in (PARAMS.seed, 6, 7, 8, 9)
    ]
    assert numbers["elbo"] == pytest.approx(elbos[0])
    assert np.std(elbos, ddof=1) < 3 * numbers["elbo_error"]
    assert max(abs(elbo - elbos[0]) for elbo in elbos) > 0
    assert measured["images"] == 40


@pytest.mark.slow
def test_binary_images_are_the_same_by_both_protocols(lively, digits):
    images = np.where(digits[:5] > 127, 255, 0).astype(np.uint8)
    measured = measure(lively, images, replace(PARAMS, bound_images=2, plane_refinements=2))
    assert measured["grey"] == measured["binarised"]
    assert measured["grey"]["entropy_floor"] == 0


@pytest.mark.slow
def test_other_latent_spaces_have_bounds_alone(make_params, digits):
    measured = measure(build_vae(make_params(latent_dim=3)), digits[:5], replace(PARAMS, bound_images=2))
    for protocol in ("grey", "binarised"):
        assert set(measured[protocol]) == {"entropy_floor", "elbo", "elbo_error", "iw_bound", "iw_bound_error"}
