"""The model that MLflow loads, against the Keras model with the same weights."""

import json
import subprocess
import sys

import numpy as np
import pytest
from keras import ops
from mlflow.exceptions import MlflowException

from digit_vae.model import losses


@pytest.fixture
def images(digits):
    """(20, 28, 28) float32 from 0 to 1."""
    return digits[:20, ..., 0].astype(np.float32) / 255


def expected(vae, images, epsilon):
    """What Keras makes of the images: z_mean, z_log_var, probabilities, and the ELBO over these draws."""
    batch = images[..., np.newaxis]
    z_mean, z_log_var = (part.numpy() for part in vae.encoder(batch, training=False))
    draws = [z_mean + np.exp(z_log_var / 2) * noise for noise in epsilon]
    reconstruction = [losses.reconstruction_loss(batch, vae.decoder(z, training=False)).numpy() for z in draws]
    elbo = -np.mean(reconstruction, axis=0) - losses.kl_loss(z_mean, z_log_var).numpy()
    probabilities = ops.sigmoid(vae.decoder(z_mean, training=False)).numpy()[..., 0]
    return {"z_mean": z_mean, "z_log_var": z_log_var, "reconstruction": probabilities, "elbo": elbo}


def assert_close(found, wanted, white=1):
    assert found.keys() == wanted.keys()
    for name, value in found.items():
        assert value.dtype == np.float32
        np.testing.assert_allclose(value, wanted[name], rtol=1e-5, atol=1e-5 * white, err_msg=name)


def test_reconstruct_gives_what_keras_gives(packaged, images):
    epsilon = np.random.default_rng(7).standard_normal((5, 3), dtype=np.float32)
    wanted = expected(packaged.vae, images, epsilon)
    assert_close(packaged.model.predict(images, params={"seed": 7, "samples": 5}), wanted)
    encoded = packaged.model.predict(images, params={"task": "encode"})
    assert_close(encoded, {name: wanted[name] for name in ("z_mean", "z_log_var")})


def test_more_images_than_a_batch_are_kept_in_order(packaged, images):
    many = np.concatenate([images] * 60)
    found = packaged.model.predict(many, params={"samples": 1})
    once = packaged.model.predict(images, params={"samples": 1})
    for name, value in once.items():
        np.testing.assert_allclose(found[name][-20:], value, rtol=1e-5, atol=1e-5)


def test_the_scale_is_that_of_what_goes_in_and_comes_out(packaged, images):
    wanted = packaged.model.predict(images)
    found = packaged.model.predict(images * np.float32(255), params={"scale": "0-255"})
    assert_close(found, wanted | {"reconstruction": 255 * wanted["reconstruction"]}, white=255)


def test_the_elbo_of_an_image_does_not_depend_on_its_neighbours(packaged, images):
    together, alone = (packaged.model.predict(each)["elbo"] for each in (images, images[4:5]))
    np.testing.assert_allclose(together[4], alone[0], rtol=1e-6)


def test_decode_and_generate_are_the_decoder(packaged):
    z = np.random.default_rng(0).standard_normal((4, 3), dtype=np.float32)
    wanted = ops.sigmoid(packaged.vae.decoder(z, training=False)).numpy()[..., 0]
    found = packaged.model.predict(z[:, np.newaxis], params={"task": "decode"})
    np.testing.assert_allclose(found["reconstruction"], wanted, atol=1e-5)
    nothing = np.zeros((1, 1, 1), np.float32)
    generated = packaged.model.predict(nothing, params={"task": "generate", "count": 4, "seed": 0})
    np.testing.assert_array_equal(generated["z"], z)
    np.testing.assert_allclose(generated["reconstruction"], wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "params", "words"),
    [
        (lambda images: images.astype(np.float64), {}, ("float64", "float32")),
        (lambda images: (images * 255).astype(np.uint8), {"scale": "0-255"}, ("uint8", "float32")),
        (lambda images: images[:, :20], {}, ("(N, 28, 28)", "(20, 20, 28)")),
        (lambda images: images[0], {}, ("(28, 28)",)),
        (lambda images: images[:0], {}, ("at least 1", "(0, 28, 28)")),
        (lambda images: images * np.float32(np.nan), {}, ("NaN",)),
        (lambda images: images + np.float32(np.inf), {}, ("infinity",)),
        (lambda images: images * np.float32(255), {}, ("from 0 to 1", "255")),
        (lambda images: images - np.float32(0.5), {}, ("from 0 to 1", "-0.5")),
        (lambda images: images, {"scale": "0-255"}, ("0-255", "0-1")),
        (lambda images: images, {"scale": "1"}, ("0-1, 0-255", "'1'")),
        (lambda images: images, {"task": "draw"}, ("encode", "'draw'")),
        (lambda images: images, {"task": "decode"}, ("(N, 1, 3)", "(20, 28, 28)")),
        (lambda images: images, {"samples": 0}, ("samples", "1000", "0")),
        (lambda images: images, {"task": "generate", "count": 1001}, ("count", "1000", "1001")),
        (lambda images: np.concatenate([images] * 3), {"samples": 1000}, ("40000", "60000")),
        (lambda images: images[:1, :1, :3] - np.float32(3e38), {"task": "decode"}, ("-1000 to 1000", "3e+38")),
        (lambda images: images, {"seed": -1}, ("seed", "-1")),
    ],
)
def test_what_cannot_be_right_is_refused(packaged, images, change, params, words):
    with pytest.raises(MlflowException) as refused:
        packaged.model.predict(change(images), params=params)
    assert all(word in str(refused.value) for word in words)


def test_it_loads_where_neither_the_package_nor_tensorflow_is(packaged, tmp_path):
    code = f"""
import json, sys
import mlflow.pyfunc, numpy as np
sys.modules["tensorflow"] = sys.modules["keras"] = sys.modules["digit_vae"] = None
model = mlflow.pyfunc.load_model({str(packaged.folder)!r})
print(json.dumps(model.predict(np.ones((1, 28, 28), np.float32))["z_mean"].tolist()))
"""
    environment = {"MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false", "HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, check=True)
    wanted = packaged.model.predict(np.ones((1, 28, 28), np.float32))["z_mean"]
    np.testing.assert_allclose(json.loads(done.stdout), wanted, rtol=1e-6)
