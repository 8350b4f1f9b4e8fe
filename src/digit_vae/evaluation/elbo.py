"""What a trained run is worth: the terms of the ELBO on held-out images, and which of its units are alive."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from scipy.stats import norm

from digit_vae.config.schema import EvaluateParams, RunParams
from digit_vae.model import losses
from digit_vae.model.vae import HIDDEN_LAYER, IMAGE_SHAPE, VAE, build_vae
from digit_vae.model.weights import load_weights

BATCH = 250
IN_USE = 8  # models at most whose graphs are kept


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


def posterior(vae: VAE, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """q(z|x). images: (N, 28, 28, 1) uint8. Returns: z_mean and z_log_var, each (N, latent_dim) float32."""
    parts = [as_graph(vae.encoder)(batch / np.float32(255)) for batch in _whole_batches(images)]
    z_mean, z_log_var = (np.concatenate(part)[: len(images)] for part in zip(*parts, strict=True))
    return z_mean, z_log_var


def reconstruct(vae: VAE, images: np.ndarray) -> np.ndarray:
    """Images decoded from their z_mean. images: (N, 28, 28, 1) uint8. Returns: (N, 28, 28) uint8."""
    z_mean, _ = posterior(vae, images)
    return decode(vae, z_mean)


def generate(vae: VAE, count: int, seed: int) -> np.ndarray:
    """Images decoded from `count` draws of the prior N(0, I). Returns: (count, 28, 28) uint8."""
    latent_dim = vae.decoder.inputs[0].shape[-1]
    return decode(vae, np.random.default_rng(seed).standard_normal((count, latent_dim), dtype=np.float32))


def latent_plane(vae: VAE, grid: int) -> np.ndarray:
    """The 2-D latent space decoded at the prior's quantiles (i + 0.5) / grid along both axes.

    Returns: (grid, grid, 28, 28) uint8; z0 rises along a row from left to right, z1 from the last row to the first.
    """
    quantiles = norm.ppf((np.arange(grid) + 0.5) / grid)
    z0, z1 = np.meshgrid(quantiles, quantiles[::-1])
    z = np.stack([z0, z1], axis=-1).reshape(-1, 2).astype(np.float32)
    return decode(vae, z).reshape(grid, grid, 28, 28)


def decode(vae: VAE, z: np.ndarray) -> np.ndarray:
    """Latent vectors (N, latent_dim) to grey images: the decoder's pixel probabilities as (N, 28, 28) uint8."""
    parts = (as_graph(vae.decoder)(batch) for batch in _whole_batches(z))
    probabilities = np.concatenate([(1 / (1 + tf.exp(-logits))).numpy() for logits in parts])[: len(z)]
    return np.rint(255 * probabilities[..., 0]).astype(np.uint8)


@lru_cache(maxsize=IN_USE)
def as_graph(model: keras.Model) -> Callable[[tf.Tensor], Any]:
    """The model of one input (B, ...) float32, as it is outside training: traced once, and twice as fast as eagerly."""
    [images_or_z] = model.inputs
    return tf.function(partial(model, training=False), [tf.TensorSpec((None, *images_or_z.shape[1:]))])


def _whole_batches(values: np.ndarray) -> Iterator[np.ndarray]:
    """(N, ...) as batches of BATCH, the last one filled up with zeros: small ones may be computed by other kernels."""
    missing = np.zeros((-len(values) % BATCH, *values.shape[1:]), values.dtype)
    for start in range(0, len(values), BATCH):
        batch = values[start : start + BATCH]
        yield batch if len(batch) == BATCH else np.concatenate([batch, missing])


def scaled_batches(images: np.ndarray, batch_size: int) -> Iterator[np.ndarray]:
    """uint8 images (N, 28, 28, 1) as float32 batches in [0, 1]."""
    for start in range(0, len(images), batch_size):
        yield images[start : start + batch_size].astype(np.float32) / 255.0
