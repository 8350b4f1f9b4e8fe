"""Weights files: anybody's model of Keras' own layers loads them, and what cannot be loaded is named."""

import io

import h5py
import keras
import numpy as np
import pytest
from keras import layers

from digit_vae.base.errors import UserError
from digit_vae.model.vae import build_decoder, build_encoder
from digit_vae.model.weights import load_weights, weights_bytes

pytestmark = pytest.mark.usefixtures("cpu")
STAGE = "train_paper@baseline-full-0"


def stock_encoder(batch_norm):
    """The paper's encoder, as somebody would write it who knows Keras and nothing of this project."""
    images = hidden = keras.Input((28, 28, 1))
    for filters in (32, 64):
        hidden = layers.Conv2D(filters, 3, strides=2, padding="same", activation="relu")(hidden)
        hidden = layers.BatchNormalization()(hidden) if batch_norm else hidden
    hidden = layers.Dense(16, activation="relu")(layers.Flatten()(hidden))
    return keras.Model(images, [layers.Dense(2)(hidden), layers.Dense(2)(hidden)])


def stock_decoder(batch_norm):
    z = keras.Input((2,))
    hidden = layers.Reshape((7, 7, 64))(layers.Dense(7 * 7 * 64, activation="relu")(z))
    for filters in (64, 32):
        hidden = layers.Conv2DTranspose(filters, 3, strides=2, padding="same", activation="relu")(hidden)
        hidden = layers.BatchNormalization()(hidden) if batch_norm else hidden
    return keras.Model(z, layers.Conv2DTranspose(1, 3, padding="same")(hidden))


PARTS = {
    "encoder": (build_encoder, stock_encoder, (5, 28, 28, 1)),
    "decoder": (build_decoder, stock_decoder, (5, 2)),
}


def datasets(content):
    """Names and shapes of all arrays in a weights file."""
    found = {}
    with h5py.File(io.BytesIO(content)) as file:
        file.visititems(lambda name, each: found.update({name: each.shape} if isinstance(each, h5py.Dataset) else {}))
    return found


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_weights_load_into_keras_own_layers(make_params, tmp_path, part, precision, batch_norm):
    build, build_stock, shape = PARTS[part]
    trained = build(make_params(precision=precision, batch_norm=batch_norm, dropout=0.2))
    generator = np.random.default_rng(0)
    trained.set_weights([generator.uniform(0.01, 0.1, weight.shape) for weight in trained.get_weights()])
    content = weights_bytes(trained)
    (tmp_path / "part.weights.h5").write_bytes(content)

    stock = build_stock(batch_norm)
    assert datasets(content) == datasets(weights_bytes(stock))
    stock.load_weights(tmp_path / "part.weights.h5")
    for ours, theirs in zip(trained.get_weights(), stock.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    inputs = generator.uniform(size=shape).astype(np.float32)
    pairs = [np.reshape(np.asarray(model(inputs), np.float32), -1) for model in (trained, stock)]
    assert np.linalg.norm(pairs[0] - pairs[1]) < (1e-5 if precision == "float32" else 2**-6) * np.linalg.norm(pairs[1])


def test_weights_are_the_same_on_every_device(make_params):
    """A GPU has Keras' own layers from the start."""
    found = [datasets(weights_bytes(build_decoder(make_params(device=device)))) for device in ("cpu", "gpu")]
    assert found[0] == found[1]


def test_the_same_weights_give_the_same_bytes(make_params):
    one, same = build_encoder(make_params()), build_encoder(make_params(precision="mixed_bfloat16"))
    same.set_weights(one.get_weights())
    assert weights_bytes(one) == weights_bytes(same)


def test_weights_that_find_no_room_are_one_sentence(make_params, full_disk):
    decoder = build_decoder(make_params())
    with full_disk(100_000), pytest.raises(UserError, match="temporary"):
        weights_bytes(decoder)


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "other shapes", "more layers", "fewer layers"])
def test_weights_that_cannot_be_loaded_name_the_stage(make_params, tmp_path, damage):
    path, encoder = tmp_path / "encoder.weights.h5", build_encoder(make_params())
    other = {"other shapes": {"latent_dim": 3}, "more layers": {"batch_norm": True}}.get(damage, {})
    path.write_bytes(weights_bytes(build_encoder(make_params(**other))))
    if damage == "missing":
        path.unlink()
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif damage == "fewer layers":
        encoder = build_encoder(make_params(batch_norm=True))
    with pytest.raises(UserError, match=rf"encoder.weights.h5 is (missing|damaged).* `dvc repro {STAGE}`"):
        load_weights(encoder, path, made_by=STAGE)


@pytest.mark.parametrize("error", [TypeError, MemoryError, OverflowError])
def test_whatever_h5py_raises_is_damage(make_params, tmp_path, monkeypatch, error):
    def read(*_):
        raise error("not\n  readable")

    path, encoder = tmp_path / "encoder.weights.h5", build_encoder(make_params())
    path.write_bytes(weights_bytes(encoder))
    monkeypatch.setattr(h5py.Group, "__getitem__", read)
    with pytest.raises(UserError, match=rf"damaged \(not readable\).* `dvc repro {STAGE}`"):
        load_weights(encoder, path, made_by=STAGE)
