"""Another density to draw latent vectors from than the prior: a mixture of Gaussians, fitted after the training.

Test images are not encoded to where the prior has its mass, so many draws from the prior are of where the decoder
hardly learnt. Ex-post density estimation (Ghosh et al. 2020, "From Variational to Deterministic Autoencoders", section
4) fits a density to the latents of the training images and draws from that. As pythae's sampler of this kind does, it
is fitted to one draw of q(z|x) an image, since the decoder learnt from such draws; z_mean alone would be too narrow.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from sklearn.mixture import GaussianMixture

from digit_vae.evaluation.latent import Posterior

IMAGES = 20_000  # of the training images at most: half of them to fit to, half to choose by how many components


class Mixture(NamedTuple):
    """K Gaussians: weights (K,), means (K, latent_dim), covariances (K, latent_dim, latent_dim), float64.

    log_density: mean of log p(z) over draws that were left out of the fit, in nats.
    """

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    log_density: float

    @property
    def components(self) -> int:
        return len(self.weights)


def draw_posterior(posterior: Posterior, count: int, seed: int) -> np.ndarray:
    """One z from q(z|x) of each of `count` images, of all where there are fewer: (count, latent_dim) float64."""
    random = np.random.default_rng(seed)
    chosen = random.permutation(len(posterior.mean))[:count]
    mean, log_var = (part[chosen].astype(np.float64) for part in posterior)
    return mean + np.exp(log_var / 2) * random.standard_normal(mean.shape)


def fit_mixture(z: np.ndarray, components: Sequence[int], seed: int) -> Mixture:
    """Fits a mixture with each number of components to half of z, and keeps the one under which the rest is likeliest.

    z: (N, latent_dim), two at least. components: those with more parameters than there are points to fit are left out;
    where all are, a single Gaussian is fitted.
    """
    fitted, held_out = np.array_split(z, 2)
    possible = [count for count in components if parameters(count, z.shape[1]) <= len(fitted)]
    return max((_fit(fitted, held_out, count, seed) for count in possible or [1]), key=lambda each: each.log_density)


def parameters(components: int, latent_dim: int) -> int:
    """The free parameters of a mixture: weights that sum to 1, means, symmetric covariances."""
    return components * (1 + latent_dim + latent_dim * (latent_dim + 1) // 2) - 1


def draw(mixture: Mixture, count: int, seed: int) -> np.ndarray:
    """Returns: (count, latent_dim) float32, in random order."""
    random = np.random.default_rng(seed)
    which = random.choice(mixture.components, size=count, p=mixture.weights)
    noise = random.standard_normal((count, mixture.means.shape[1]))
    roots = np.linalg.cholesky(mixture.covariances)
    z = mixture.means[which]
    for component, root in enumerate(roots):
        of = which == component
        z[of] += noise[of] @ root.T
    return z.astype(np.float32)


def _fit(fitted: np.ndarray, held_out: np.ndarray, components: int, seed: int) -> Mixture:
    model = GaussianMixture(components, init_params="k-means++", max_iter=1000, random_state=seed).fit(fitted)
    return Mixture(model.weights_, model.means_, model.covariances_, float(model.score(held_out)))
