"""Looks at a model in training, as `digit_vae.training.health` judges it."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from digit_vae.model import losses
from digit_vae.model.units import UNITS
from digit_vae.model.vae import IMAGE_SHAPE, VAE
from digit_vae.training.health import COLLAPSED_NATS

IMAGES = 2000  # looked at after each epoch: 1 % of its time
BATCH = 500


def examination(vae: VAE, images: np.ndarray) -> Callable[[], dict[str, Any]]:
    """A function that says how the model does on the first 2,000 of `images` as it is then, in nats per image.

    images: (N, 28, 28, 1) uint8. Returns: the function, whose result is
        dead_units: for each layer with a ReLU, the number of its units that are positive nowhere in any image; the
            decoder's when it decodes z_mean;
        kl_per_dimension: the mean KL(q(z_i|x) || p(z_i)) of each latent dimension;
        collapsed_dimensions: the number of those below COLLAPSED_NATS.
    """
    units = [_rectified(part) for part in (vae.encoder, vae.decoder)]
    encoder = keras.Model(vae.encoder.inputs, [*units[0].values(), *vae.encoder.outputs])
    decoder = keras.Model(vae.decoder.inputs, [*units[1].values(), *vae.decoder.outputs])
    images = images[:IMAGES]

    @tf.function(input_signature=[tf.TensorSpec((None, *IMAGE_SHAPE), tf.uint8)])
    def look(batch: tf.Tensor) -> tuple[list[tf.Tensor], tf.Tensor]:
        *encoder_units, z_mean, z_log_var = encoder(tf.cast(batch, tf.float32) / 255.0, training=False)
        *decoder_units, _ = decoder(z_mean, training=False)
        maxima = [tf.reduce_max(each, axis=range(len(each.shape) - 1)) for each in encoder_units + decoder_units]
        return maxima, losses.kl_per_dimension(z_mean, z_log_var)

    def examine() -> dict[str, Any]:
        batches = [look(images[start : start + BATCH]) for start in range(0, len(images), BATCH)]
        maxima, kl = zip(*batches, strict=True)
        dead = [int((np.max(maximum, axis=0) <= 0).sum()) for maximum in zip(*maxima, strict=True)]
        kl = np.concatenate(kl).mean(axis=0, dtype=np.float64)
        return {
            "dead_units": dict(zip([*units[0], *units[1]], dead, strict=True)),
            "collapsed_dimensions": int((kl < COLLAPSED_NATS).sum()),
            "kl_per_dimension": {f"z{number}": float(f"{value:.6g}") for number, value in enumerate(kl)},
        }

    return examine


def _rectified(part: keras.Model) -> dict[str, keras.KerasTensor]:
    """What each layer with a ReLU of an encoder or decoder gives, by the layer's name."""
    return {layer.name: layer.output for layer in part.layers if layer.name in UNITS}
