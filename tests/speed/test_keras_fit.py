import keras
import numpy as np
import pytest

from digit_vae.base.errors import UserError
from digit_vae.model.vae import build_vae
from digit_vae.speed import keras_fit

pytestmark = pytest.mark.usefixtures("cpu")


def test_it_is_the_same_model_as_ours(make_params):
    stock, ours = keras_fit.VAE(2), build_vae(make_params())
    assert [weight.shape for weight in stock.encoder.weights if weight.name != "seed_generator_state"] == [
        weight.shape for weight in ours.encoder.weights
    ]
    assert [weight.shape for weight in stock.decoder.weights] == [weight.shape for weight in ours.decoder.weights]


def test_its_loss_is_ours_where_the_weights_are(make_params, digits):
    """With a variance of nearly nothing, both decode the mean, whatever noise they draw."""
    ours, images = build_vae(make_params()), digits[:32].astype(np.float32) / 255
    stock = keras_fit.VAE(2)
    z_log_var = ours.encoder.get_layer("z_log_var")
    z_log_var.set_weights([np.zeros((16, 2)), np.full(2, -40.0)])
    kernels = [weight for weight in stock.encoder.weights if weight.dtype == "float32"]
    for weight, value in zip(kernels, ours.encoder.weights, strict=True):
        weight.assign(value)
    stock.decoder.set_weights(ours.decoder.get_weights())
    expected = float(ours.compute_losses(keras.ops.convert_to_tensor(images)).loss)
    assert float(stock.loss_of(images)) == pytest.approx(expected, rel=1e-4)


def test_fit_learns_and_times_every_epoch(make_params, digits):
    images = digits.astype(np.float32) / 255
    (_, first), (seconds, last) = (
        keras_fit.fit(make_params(epochs=epochs), images[:300], images[300:]) for epochs in (1, 3)
    )
    assert len(seconds) == 3
    assert all(each > 0 for each in seconds)
    assert last < first - 10


def test_without_a_gpu_it_does_not_go_on_on_the_cpu(make_params, digits, monkeypatch):
    monkeypatch.setattr(keras_fit.tf.config, "list_physical_devices", lambda _: [])
    with pytest.raises(UserError, match="expected a GPU"):
        keras_fit.fit(make_params(device="gpu"), digits / 255, digits / 255)
