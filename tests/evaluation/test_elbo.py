"""The ELBO's terms against NumPy and against encoders that are made by hand."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from scipy.special import log_expit
from synthetic import SMALL_PARAMS

from digit_vae.config.loading import load_params
from digit_vae.evaluation import elbo
from digit_vae.model.vae import HIDDEN_LAYER, build_vae
from digit_vae.model.weights import weights_bytes

pytestmark = pytest.mark.usefixtures("cpu")
PARAMS = replace(load_params(SMALL_PARAMS).evaluate, seed=5, samples=3, batch_size=100)


def test_encode_gives_the_terms_of_each_image(make_params, digits):
    keras.utils.set_random_seed(0)
    vae = build_vae(make_params(latent_dim=3, dropout=0.5))
    encoded = elbo.encode(vae, digits[:60], PARAMS)

    images = digits[:60] / 255
    z_mean, z_log_var = (part.numpy().astype(np.float64) for part in vae.encoder(images, training=False))
    epsilon = np.random.default_rng(PARAMS.seed).standard_normal((3, 60, 3), dtype=np.float32)
    reconstruction = []
    for noise in epsilon:
        logits = vae.decoder(z_mean + np.exp(z_log_var / 2) * noise, training=False).numpy().astype(np.float64)
        pixels = images * log_expit(logits) + (1 - images) * log_expit(-logits)
        reconstruction.append(-pixels.sum(axis=(1, 2, 3)))
    np.testing.assert_allclose(encoded.z_mean, z_mean, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(encoded.z_log_var, z_log_var, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(encoded.reconstruction_loss, np.stack(reconstruction, axis=1), rtol=1e-5)
    np.testing.assert_allclose(encoded.kl, 0.5 * (z_mean**2 + np.exp(z_log_var) - 1 - z_log_var), rtol=1e-4, atol=1e-6)


def test_encode_is_repeatable_and_takes_every_image_once(make_params, digits):
    vae = build_vae(make_params())
    first, second = (elbo.encode(vae, digits[:230], PARAMS) for _ in range(2))
    for one, same in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, same)
    z_mean, _ = vae.encoder(digits[:230] / 255, training=False)
    np.testing.assert_allclose(first.z_mean, z_mean, rtol=1e-4, atol=1e-6)


def test_measure_takes_means_over_the_images():
    rng = np.random.default_rng(0)
    encoded = elbo.Encoded(
        z_mean=rng.normal(scale=[1.0, 0.2, 0.05], size=(1000, 3)),
        z_log_var=np.zeros((1000, 3)),
        reconstruction_loss=rng.uniform(100, 200, (1000, 2)),
        kl=rng.uniform(0, [4, 1, 0.1], (1000, 3)),
        hidden_maximum=np.array([0.0, 1e-9, 3.0, 0.0]),
    )
    measured = elbo.measure(encoded, 0.01)
    kl_loss = encoded.kl.sum(axis=1).mean()
    assert measured["images"] == 1000
    assert measured["reconstruction_loss"] == pytest.approx(encoded.reconstruction_loss.mean())
    assert measured["kl_loss"] == pytest.approx(kl_loss)
    assert measured["elbo"] == pytest.approx(-encoded.reconstruction_loss.mean() - kl_loss)
    assert measured["kl_per_dimension"] == pytest.approx({f"z{each}": encoded.kl[:, each].mean() for each in range(3)})
    assert measured["active_units"] == 2
    assert measured["dead_units"] == 2


def test_units_of_a_hand_made_encoder(make_params, digits):
    """Eleven hidden units that nothing can wake; z0 hears a living one, z1 is the same for every image."""
    keras.utils.set_random_seed(0)
    vae = build_vae(make_params())
    hidden, z_mean, z_log_var = (vae.encoder.get_layer(name) for name in (HIDDEN_LAYER, "z_mean", "z_log_var"))
    kernel = np.abs(hidden.get_weights()[0])
    kernel[:, :11] = 0
    hidden.set_weights([kernel, np.r_[np.full(11, -1.0), np.ones(5)]])
    heads = np.zeros((16, 2))
    heads[15, 0] = 1
    z_mean.set_weights([heads, np.array([0, 0.5])])
    z_log_var.set_weights([np.zeros((16, 2)), np.array([0, -1])])
    measured = elbo.measure(elbo.encode(vae, digits[:100], PARAMS), 0.01)
    assert measured["dead_units"] == 11
    assert measured["active_units"] == 1
    assert measured["kl_per_dimension"]["z1"] == pytest.approx(0.5 * (0.25 + np.exp(-1) - 1 + 1))


def test_batches_hold_every_image_scaled():
    images = np.random.default_rng(0).integers(0, 256, (2500, 28, 28, 1)).astype(np.uint8)
    batches = list(elbo.scaled_batches(images, 1000))
    assert [len(batch) for batch in batches] == [1000, 1000, 500]
    assert {batch.dtype.name for batch in batches} == {"float32"}
    np.testing.assert_allclose(np.concatenate(batches), images / 255, rtol=1e-6)


def test_a_run_in_mixed_precision_is_loaded_in_float32(make_params, tmp_path):
    params = make_params(precision="mixed_bfloat16", batch_norm=True)
    trained, paths = build_vae(params), [tmp_path / "encoder.weights.h5", tmp_path / "decoder.weights.h5"]
    for path, part in zip(paths, (trained.encoder, trained.decoder), strict=True):
        path.write_bytes(weights_bytes(part))
    vae = elbo.load_vae(params, *paths, made_by="train_paper@baseline-full-0")
    assert {layer.compute_dtype for layer in vae.encoder.layers + vae.decoder.layers} == {"float32"}
    for part, loaded in ((trained.encoder, vae.encoder), (trained.decoder, vae.decoder)):
        for weights, same in zip(part.get_weights(), loaded.get_weights(), strict=True):
            np.testing.assert_array_equal(weights, same)
