from digit_vae.model.units import UNITS
from digit_vae.model.vae import build_vae


def test_each_layer_has_the_units_that_shares_are_taken_of(make_params):
    vae = build_vae(make_params())
    layers = {layer.name: layer for layer in vae.encoder.layers + vae.decoder.layers}
    assert {name: layers[name].output.shape[-1] for name in UNITS} == UNITS
    with_relu = {name for name, layer in layers.items() if layer.weights and layer.activation.__name__ == "relu"}
    assert with_relu == set(UNITS)
