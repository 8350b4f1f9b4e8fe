"""What a model decodes and encodes, against NumPy and against decoders that are made by hand."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import norm

from digit_vae.evaluation import coding
from digit_vae.model.vae import build_vae

pytestmark = pytest.mark.usefixtures("cpu")


@pytest.fixture
def plain_decoder():
    """A VAE's stand-in whose decoder shows z: the log-odds of the first two pixels are z0 and z1, of all others 0."""
    dense = keras.layers.Dense(784, use_bias=False)
    decoder = keras.Sequential([keras.Input((2,)), dense, keras.layers.Reshape((28, 28, 1))])
    dense.set_weights([np.eye(2, 784)])
    return SimpleNamespace(decoder=decoder)


def grey(logits):
    return np.rint(255 * expit(logits))


def test_latent_plane_has_the_highest_z1_in_its_first_row(plain_decoder):
    plane = coding.latent_plane(plain_decoder, 4)
    assert plane.shape == (4, 4, 28, 28)
    assert plane.dtype == np.uint8
    quantiles = norm.ppf([0.125, 0.375, 0.625, 0.875])
    for row in range(4):
        np.testing.assert_array_equal(plane[row, :, 0, 0], grey(quantiles))
        np.testing.assert_array_equal(plane[:, row, 0, 1], grey(quantiles)[::-1])


def test_generate_decodes_draws_of_the_prior(plain_decoder):
    generated = coding.generate(plain_decoder, 2500, seed=1)
    assert generated.shape == (2500, 28, 28)
    assert generated.dtype == np.uint8
    np.testing.assert_array_equal(generated, coding.generate(plain_decoder, 2500, seed=1))
    assert not np.array_equal(generated, coding.generate(plain_decoder, 2500, seed=2))
    for pixel in (generated[:, 0, 0], generated[:, 0, 1]):  # the share below each quarter of the prior
        np.testing.assert_allclose(
            [(pixel < grey(norm.ppf(q))).mean() for q in (0.25, 0.5, 0.75)], [0.25, 0.5, 0.75], atol=0.05
        )
    assert set(np.unique(generated[:, 1:])) == {128}


def test_reconstruct_decodes_z_mean(make_params, digits):
    vae = build_vae(make_params())
    z_mean, _ = vae.encoder(digits[:7] / 255, training=False)
    expected = 255 * expit(vae.decoder(z_mean).numpy()[..., 0])
    reconstructed = coding.reconstruct(vae, digits[:7])
    assert reconstructed.dtype == np.uint8
    np.testing.assert_allclose(reconstructed, expected, atol=0.51)


def test_what_an_image_becomes_does_not_depend_on_those_beside_it(make_params, digits):
    vae = build_vae(make_params(batch_norm=True))
    for few, many in zip(coding.posterior(vae, digits[:3]), coding.posterior(vae, digits), strict=True):
        np.testing.assert_array_equal(few, many[:3])
    np.testing.assert_array_equal(coding.reconstruct(vae, digits[:3]), coding.reconstruct(vae, digits)[:3])
