import keras
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import expit, xlog1py, xlogy
from scipy.stats import norm

from digit_vae.model.losses import kl_loss, kl_per_dimension, reconstruction_loss

pytestmark = pytest.mark.usefixtures("cpu")
RNG = np.random.default_rng(0)


@pytest.mark.parametrize(("z_mean", "z_log_var"), [(0.0, 0.0), (1.5, 0.0), (0.0, -3.0), (-2.0, 1.2), (0.3, -6.0)])
def test_kl_is_the_integral_of_its_definition(z_mean, z_log_var):
    q, p = norm(z_mean, np.exp(z_log_var / 2)), norm()
    integral, _ = quad(lambda z: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)), *q.interval(1 - 1e-15), limit=200)
    assert kl_per_dimension([[z_mean]], [[z_log_var]]).numpy().item() == pytest.approx(integral, abs=1e-5)


def test_kl_is_the_mean_log_ratio_of_samples():
    z_mean, z_log_var = np.array([[0.7, -1.0]]), np.array([[-0.5, 0.4]])
    q, p = norm(z_mean, np.exp(z_log_var / 2)), norm()
    z = q.rvs((200_000, 2), random_state=RNG)
    expected = (q.logpdf(z) - p.logpdf(z)).mean(axis=0)
    np.testing.assert_allclose(kl_per_dimension(z_mean, z_log_var)[0], expected, atol=0.01)


def test_kl_loss_sums_the_dimensions():
    z_mean, z_log_var = RNG.normal(size=(2, 5, 3)).astype(np.float32)
    expected = 0.5 * (z_mean**2 + np.exp(z_log_var) - 1 - z_log_var)
    np.testing.assert_allclose(kl_per_dimension(z_mean, z_log_var), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(kl_loss(z_mean, z_log_var), expected.sum(axis=1), rtol=1e-5)


def test_reconstruction_loss_is_the_bernoulli_cross_entropy():
    images = RNG.uniform(size=(4, 28, 28, 1))
    images[0], images[1] = 0, 1
    logits = RNG.normal(scale=3, size=images.shape)
    expected = -(xlogy(images, expit(logits)) + xlog1py(1 - images, -expit(logits))).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(reconstruction_loss(images, logits), expected, rtol=1e-5)


@pytest.mark.parametrize(("pixel", "logit", "nats"), [(0, 1e4, 1e4), (1, -1e4, 1e4), (0, -1e4, 0), (1, 1e4, 0)])
def test_reconstruction_loss_is_safe_where_a_probability_is_0_or_1(pixel, logit, nats):
    loss = reconstruction_loss(np.full((1, 28, 28, 1), pixel), np.full((1, 28, 28, 1), logit))
    assert loss.numpy().item() == pytest.approx(784 * nats)


def test_losses_of_low_precision_tensors_are_float32():
    low = keras.ops.ones((2, 28, 28, 1), "bfloat16")
    assert reconstruction_loss(low, low).dtype == "float32"
    assert kl_per_dimension(low[:, 0, 0], low[:, 0, 0]).dtype == "float32"
