"""What an examination sees, against NumPy and against units that were put to death."""

import numpy as np
import pytest

from digit_vae.model.units import UNITS
from digit_vae.model.vae import build_vae
from digit_vae.training.examination import examination
from digit_vae.training.health import COLLAPSED_NATS

IMAGES = np.random.default_rng(0).integers(0, 256, (700, 28, 28, 1), dtype=np.uint8)


def kill(layer, units):
    """No input can make these units positive: no weights, and a bias below zero."""
    kernel, bias = layer.get_weights()
    transposed = "transpose" in layer.name  # Keras keeps those kernels with the outputs ahead of the inputs
    (np.swapaxes(kernel, -1, -2) if transposed else kernel)[..., units] = 0
    bias[units] = -1
    layer.set_weights([kernel, bias])


@pytest.mark.usefixtures("cpu")
@pytest.mark.parametrize(
    ("precision", "batch_norm"), [("float32", False), ("float32", True), ("mixed_bfloat16", False)]
)
def test_units_that_were_killed_are_counted_in_their_layer(make_params, precision, batch_norm):
    vae = build_vae(make_params(precision=precision, batch_norm=batch_norm))
    examine = examination(vae, IMAGES)
    before = examine()["dead_units"]
    killed = {"conv_1": [3], "conv_2": [0, 5, 7], "conv_transpose_1": [1, 2], "conv_transpose_2": [31]}
    for name, units in killed.items():
        kill((vae.decoder if "transpose" in name else vae.encoder).get_layer(name), units)
    after = examine()["dead_units"]
    assert after.keys() == UNITS.keys()
    assert all(after[name] >= len(units) for name, units in killed.items())
    assert after["conv_1"] == before["conv_1"] + 1


@pytest.mark.usefixtures("cpu")
def test_the_kl_of_a_dimension_is_the_closed_form_of_what_the_encoder_says(make_params):
    vae = build_vae(make_params())
    health = examination(vae, IMAGES)()
    mean, log_var = (np.asarray(each, np.float64) for each in vae.encoder(IMAGES.astype(np.float32) / 255))
    expected = (0.5 * (mean**2 + np.exp(log_var) - 1 - log_var)).mean(axis=0)
    np.testing.assert_allclose(list(health["kl_per_dimension"].values()), expected, rtol=1e-4)
    assert health["collapsed_dimensions"] == (expected < COLLAPSED_NATS).sum()


@pytest.mark.usefixtures("cpu")
def test_an_examination_sees_the_model_as_it_is_then_and_at_most_two_thousand_images(make_params):
    vae = build_vae(make_params(latent_dim=3))
    many = np.concatenate([IMAGES, IMAGES, IMAGES])
    examine = examination(vae, many)
    first = examine()
    assert examine() == first == examination(vae, many[:2000])()
    kill(vae.encoder.get_layer("hidden"), list(range(16)))
    assert examine()["dead_units"]["hidden"] == 16
    assert examine()["collapsed_dimensions"] == 3
    assert examine()["kl_per_dimension"] == {"z0": 0, "z1": 0, "z2": 0}
