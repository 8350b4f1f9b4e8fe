"""The health of a model, against NumPy and against units that were put to death; its limits, and what they say."""

import numpy as np
import pytest

from digit_vae.base.errors import UserError
from digit_vae.config.schema import HealthParams
from digit_vae.model.vae import build_vae
from digit_vae.training.health import COLLAPSED_NATS, UNITS, complaints, examination

NEVER = {"warn_dead_share": None, "fail_dead_share": None, "warn_collapsed": None, "fail_collapsed": None}
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


def test_each_layer_has_the_units_that_shares_are_taken_of(make_params):
    vae = build_vae(make_params())
    layers = {layer.name: layer for layer in vae.encoder.layers + vae.decoder.layers}
    assert {name: layers[name].output.shape[-1] for name in UNITS} == UNITS
    with_relu = {name for name, layer in layers.items() if layer.weights and layer.activation.__name__ == "relu"}
    assert with_relu == set(UNITS)


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


def limits(**changed):
    return HealthParams(**NEVER | {"epochs": 3} | changed)


def epoch(number=3, hidden=12, collapsed=1):
    dead_units = {"conv_1": 0, "hidden": hidden}
    kl = {"z0": 2.5, "z1": 0.0}
    return {
        "epoch": number,
        "health": {"dead_units": dead_units, "collapsed_dimensions": collapsed, "kl_per_dimension": kl},
    }


def test_a_share_of_dead_units_from_the_limit_on_is_named_with_its_layer():
    [said] = complaints(epoch(hidden=12), limits(warn_dead_share=0.75))
    assert "12 of 16" in said
    assert "hidden" in said
    assert complaints(epoch(hidden=11), limits(warn_dead_share=0.75)) == []


def test_collapsed_dimensions_are_named():
    [said] = complaints(epoch(collapsed=1), limits(warn_collapsed=1))
    assert "1 of 2" in said
    assert complaints(epoch(collapsed=1), limits(warn_collapsed=2)) == []


@pytest.mark.parametrize(("key", "value"), [("fail_dead_share", 0.75), ("fail_collapsed", 1)])
def test_beyond_the_limit_that_fails_it_is_an_error_with_limit_and_value(key, value):
    with pytest.raises(UserError, match=rf"health.{key}.* {value}.* received {value}"):
        complaints(epoch(), limits(**{key: value}))


def test_nothing_is_judged_before_the_epoch_that_the_limits_name():
    strict = limits(warn_dead_share=0.1, fail_dead_share=0.1, warn_collapsed=1, fail_collapsed=1)
    assert complaints(epoch(number=2), strict) == []
    with pytest.raises(UserError):
        complaints(epoch(number=3), strict)


def test_without_limits_nothing_is_said():
    assert complaints(epoch(hidden=16, collapsed=2), limits()) == []
