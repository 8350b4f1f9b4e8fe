"""What a trained model makes of images and of latent vectors: it encodes, decodes, reconstructs and generates."""

from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from scipy.stats import norm

from digit_vae.evaluation.graph import as_graph
from digit_vae.model.vae import VAE

BATCH = 250


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


def _whole_batches(values: np.ndarray) -> Iterator[np.ndarray]:
    """(N, ...) as batches of BATCH, the last one filled up with zeros: small ones may be computed by other kernels."""
    missing = np.zeros((-len(values) % BATCH, *values.shape[1:]), values.dtype)
    for start in range(0, len(values), BATCH):
        batch = values[start : start + BATCH]
        yield batch if len(batch) == BATCH else np.concatenate([batch, missing])
