"""What a trained run is worth: the terms of the ELBO on held-out images, and which of its units are alive."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from digit_vae.config.schema import EvaluateParams, RunParams
from digit_vae.evaluation.graph import IN_USE
from digit_vae.model import losses
from digit_vae.model.vae import HIDDEN_LAYER, IMAGE_SHAPE, VAE, build_vae
from digit_vae.model.weights import load_weights


class Encoded(NamedTuple):
    """What the encoder says of N images, and the loss terms of each in nats, float32.

    z_mean, z_log_var: (N, latent_dim), those of q(z|x); reconstruction_loss: (N, S), of S draws from it; kl: (N,
    latent_dim); hidden_maximum: (16,), the largest activation of each unit of the hidden layer over the images.
    """

    z_mean: np.ndarray
    z_log_var: np.ndarray
    reconstruction_loss: np.ndarray
    kl: np.ndarray
    hidden_maximum: np.ndarray

    def of(self, images: np.ndarray) -> "Encoded":
        """The same of some of the images, whose indices are (M,); the hidden layer's maximum stays that of all."""
        return self._replace(
            z_mean=self.z_mean[images],
            z_log_var=self.z_log_var[images],
            reconstruction_loss=self.reconstruction_loss[images],
            kl=self.kl[images],
        )


def load_vae(params: RunParams, encoder: Path, decoder: Path, *, made_by: str) -> VAE:
    """The run's model in float32 on the CPU, with the weights of two files: the architecture comes from code alone.

    Raises: UserError naming `made_by`, the stage that makes the files, when one is missing, damaged or another model's.
    """
    vae = build_vae(replace(params, device="cpu", precision="float32"))
    load_weights(vae.encoder, encoder, made_by=made_by)
    load_weights(vae.decoder, decoder, made_by=made_by)
    return vae


def encode(vae: VAE, images: np.ndarray, params: EvaluateParams) -> Encoded:
    """Passes every image through the VAE. images: (N, 28, 28, 1) uint8."""
    terms, noise = _terms(vae, params.samples), np.random.default_rng(params.seed)
    latent_dim = vae.encoder.outputs[0].shape[-1]
    batches = [
        terms(batch, noise.standard_normal((params.samples, len(batch), latent_dim), dtype=np.float32))
        for batch in scaled_batches(images, params.batch_size)
    ]
    z_mean, z_log_var, reconstruction, kl, hidden = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    return Encoded(z_mean, z_log_var, reconstruction, kl, hidden.max(axis=0))


@lru_cache(maxsize=IN_USE)
def _terms(vae: VAE, samples: int) -> Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, ...]]:
    """What `encode` asks of a batch (B, 28, 28, 1) and its draws (samples, B, latent_dim), in one graph for all."""
    encoder = vae.encoder
    hidden_and_latent = keras.Model(encoder.inputs, [encoder.get_layer(HIDDEN_LAYER).output, *encoder.outputs])
    draws = tf.TensorSpec((samples, None, encoder.outputs[0].shape[-1]))

    @tf.function(input_signature=[tf.TensorSpec((None, *IMAGE_SHAPE)), draws])
    def terms(batch: tf.Tensor, epsilon: tf.Tensor) -> tuple[tf.Tensor, ...]:
        hidden, z_mean, z_log_var = hidden_and_latent(batch, training=False)
        reconstruction = [
            losses.reconstruction_loss(batch, vae.decoder(z_mean + tf.exp(0.5 * z_log_var) * noise, training=False))
            for noise in tf.unstack(epsilon)
        ]
        kl = losses.kl_per_dimension(z_mean, z_log_var)
        return z_mean, z_log_var, tf.stack(reconstruction, axis=1), kl, tf.reduce_max(hidden, axis=0, keepdims=True)

    return terms


def measure(encoded: Encoded, active_unit_variance: float) -> dict[str, Any]:
    """Means over the images in nats per image, sums in float64.

    elbo: -(reconstruction_loss + kl_loss), at beta 1 whatever the run was trained with.
    active_units: latent dimensions with Var_x(E[z|x]) above the threshold (Burda et al. 2016, section 5).
    dead_units: units of the encoder's hidden layer that no image makes positive.
    """
    reconstruction_loss = float(encoded.reconstruction_loss.mean(dtype=np.float64))
    kl = encoded.kl.mean(axis=0, dtype=np.float64)
    return {
        "images": len(encoded.z_mean),
        "reconstruction_loss": reconstruction_loss,
        "kl_loss": float(kl.sum()),
        "elbo": -(reconstruction_loss + float(kl.sum())),
        "kl_per_dimension": {f"z{dimension}": float(value) for dimension, value in enumerate(kl)},
        "active_units": int((encoded.z_mean.var(axis=0, dtype=np.float64) > active_unit_variance).sum()),
        "dead_units": int((encoded.hidden_maximum <= 0).sum()),
    }


def scaled_batches(images: np.ndarray, batch_size: int) -> Iterator[np.ndarray]:
    """uint8 images (N, 28, 28, 1) as float32 batches in [0, 1]."""
    for start in range(0, len(images), batch_size):
        yield images[start : start + batch_size].astype(np.float32) / 255.0
