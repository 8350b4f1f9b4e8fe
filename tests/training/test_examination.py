"""The examination of a model, against NumPy and against units that were put to death."""

import numpy as np
import pytest

from digit_vae.training.examination import examination
from digit_vae.training.health import COLLAPSED_NATS, UNITS
from digit_vae.model.vae import build_vae

pytestmark = pytest.mark.usefixtures("cpu")


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (700, 28, 28, 1), dtype=np.uint8)


def kill(layer, units):
    """No input can make these units positive: no weights, and a bias below zero."""
    kernel, bias = layer.get_weights()
    transposed = "transpose" in layer.name  # Keras keeps those kernels with the outputs ahead of the inputs
    (np.swapaxes(kernel, -1, -2) if transposed else kernel)[..., units] = 0
    bias[units] = -1
    layer.set_weights([kernel, bias])


@pytest.mark.parametrize(
    ("precision", "batch_norm"), [("float32", False), ("float32", True), ("mixed_bfloat16", False)]
)
def test_units_that_were_killed_are_counted_in_their_layer(make_params, images, precision, batch_norm):
    vae = build_vae(make_params(precision=precision, batch_norm=batch_norm))
    before = examination(vae, images)()["dead_units"]
    killed = {"conv_1": [3], "conv_2": [0, 5, 7], "conv_transpose_1": [1, 2], "conv_transpose_2": [31]}
    for name, units in killed.items():
        part = vae.decoder if "transpose" in name else vae.encoder
        kill(part.get_layer(name), units)
    after = examination(vae, images)()["dead_units"]
    assert after.keys() == UNITS.keys()
    assert {name: after[name] >= len(units) for name, units in killed.items()} == dict.fromkeys(killed, True)
    assert after["conv_1"] == before["conv_1"] + 1


def test_the_layers_have_the_units_that_health_says(make_params):
    vae = build_vae(make_params())
    assert {
        name: (vae.encoder if i < 3 else vae.decoder).get_layer(name).output.shape[-1] for i, name in enumerate(UNITS)
    } == UNITS


def test_all_hidden_units_dead_collapse_every_dimension(make_params, images):
    vae = build_vae(make_params(latent_dim=3))
    kill(vae.encoder.get_layer("hidden"), list(range(16)))
    health = examination(vae, images)()
    assert health["dead_units"]["hidden"] == 16
    assert health["collapsed_dimensions"] == 3
    assert health["kl_per_dimension"] == {"z0": 0, "z1": 0, "z2": 0}


def test_the_kl_of_a_dimension_is_the_closed_form_of_what_the_encoder_says(make_params, images):
    vae = build_vae(make_params())
    health = examination(vae, images)()
    mean, log_var = (np.asarray(each, np.float64) for each in vae.encoder(images.astype(np.float32) / 255))
    expected = (0.5 * (mean**2 + np.exp(log_var) - 1 - log_var)).mean(axis=0)
    np.testing.assert_allclose(list(health["kl_per_dimension"].values()), expected, rtol=1e-4)
    assert health["collapsed_dimensions"] == (expected < COLLAPSED_NATS).sum()


def test_an_examination_sees_the_model_as_it_is_then_and_at_most_two_thousand_images(make_params, images):
    vae = build_vae(make_params())
    examine = examination(vae, np.concatenate([images, images, images]))
    first = examine()
    assert examine() == first == examination(vae, np.concatenate([images, images, images])[:2000])()
    kill(vae.encoder.get_layer("hidden"), list(range(16)))
    assert examine()["dead_units"]["hidden"] == 16
