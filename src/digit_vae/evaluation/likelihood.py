"""How likely a trained model finds images it has not seen: log p(x) and the bounds on it, in nats per image.

log p(x) = log of the integral of p(x|z) N(z; 0, I) over z. With a latent plane it is integrated; with any latent space
the ELBO and the importance-weighted bounds lie below it. An image becomes x by one of two protocols, whose numbers are
of different kinds and belong in no common column:

grey       the pixels as they are, in [0, 1], put into the binary cross-entropy: the paper's loss. It is no likelihood,
           since grey pixels are no outcomes of a Bernoulli variable, and no model gets below the entropy floor.
binarised  pixels of at least 0.5 are 1, the others 0: a true likelihood of binary images, with an entropy floor of 0.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice, pairwise
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from scipy.special import entr

from digit_vae.config.schema import EvaluateParams
from digit_vae.evaluation.coding import BATCH
from digit_vae.evaluation.elbo import Encoded, encode
from digit_vae.evaluation.graph import as_graph
from digit_vae.model.vae import VAE

PROTOCOLS = ("grey", "binarised")
BOUNDS = (1, 10, 100, 1000)  # the K of the importance-weighted bounds
RADIUS = 6.0  # of the disc that is integrated over at least; 1.5e-8 of the prior lie beyond
TILE = 0.5
SIDE = 4  # points along a tile's side to begin with
TOGETHER = 16  # tiles whose points are asked for at once while all images need them
NEGLIGIBLE = math.log(1e-4)  # a tile that holds less of an image's p(x) than this is not refined for it
# Turned by the angle whose tangent is the golden ratio, no row of points runs along an axis, as a posterior does where
# a latent dimension has collapsed: rows that all miss its ridge would agree on a wrong integral.
ROTATION = np.array([[1, (1 + 5**0.5) / 2], [-(1 + 5**0.5) / 2, 1]]) / math.hypot(1, (1 + 5**0.5) / 2)

# log p(x|z): indices (n,) of images and points z (P, 2) to nats (n, P).
LogLikelihood = Callable[[np.ndarray, np.ndarray], np.ndarray]


class Integral(NamedTuple):
    """log p(x) of N images, and its error, in nats, (N,) float64.

    error: a third of what the last two doublings of its points changed, which together halve the spacing in every
    direction; a single one may leave a ridge as poorly resolved as it was. The rule's error falls to a quarter where
    the density has kinks, as a decoder with ReLUs has, and then is that third; where it is smooth it falls far faster.
    """

    log_likelihood: np.ndarray
    error: np.ndarray


class Sampled(NamedTuple):
    """What S draws z from q(z|x) for each of N images tell, in nats, float64, (N, S).

    log_likelihood: log p(x|z); log_ratio: log p(z) - log q(z|x).
    """

    log_likelihood: np.ndarray
    log_ratio: np.ndarray


def measure(vae: VAE, images: np.ndarray, grey: Encoded, params: EvaluateParams) -> dict[str, Any]:
    """Everything of this module by protocol, as means over the images in nats. images: (N, 28, 28, 1) uint8, N > 1;
    grey: these as `encode` has them.

    elbo: E_q[log p(x|z)] over the draws of `encode`, less the KL in closed form. elbo_error: its standard error, which
        comes from the draws alone: the images are what they are.
    iw_bound: of K = 1 it is the ELBO. What it rises from one K to the next is measured with K draws of each of some
        images and added: of `bound_images` for K = 1000, and of more the fewer draws each needs, as is best where all
        rises differ as much between images (by 1 / sqrt(K): multilevel Monte Carlo, Giles 2015). The images are spread
        evenly: over all in the order of log_likelihood - elbo where that is known, or else as they come.
        iw_bound_error: its standard error as if they were drawn at random; in that order it is less.
    log_likelihood: by quadrature, with a latent plane only. log_likelihood_error and ..._error_maximum: mean and
        maximum of `Integral.error` over the images. inference_gap: log_likelihood - elbo.
    """
    seen = {protocol: prepared(images, protocol) for protocol in PROTOCOLS}
    encoded = {"grey": grey, "binarised": encode(vae, seen["binarised"], params)}
    integrals = _integrals(vae, seen, [each.z_mean for each in encoded.values()], params)
    measured = {}
    for protocol, its_images in seen.items():
        integral = integrals.get(protocol)
        bounds = _bounds(vae, its_images, encoded[protocol], integral, params)
        measured[protocol] = {"entropy_floor": entropy_floor(its_images)} | bounds
        if integral:
            log_likelihood, error = integral
            measured[protocol] |= {
                "log_likelihood": float(log_likelihood.mean()),
                "log_likelihood_error": float(error.mean()),
                "log_likelihood_error_maximum": float(error.max()),
                "inference_gap": float(log_likelihood.mean()) - measured[protocol]["elbo"],
            }
    return {"images": len(images)} | measured


def prepared(images: np.ndarray, protocol: str) -> np.ndarray:
    """The images as the protocol sees them. images: uint8 of any shape, 255 for 1. Returns: the same shape, uint8."""
    return {"grey": images, "binarised": np.where(images >= 127.5, np.uint8(255), np.uint8(0))}[protocol]


def entropy_floor(images: np.ndarray) -> float:
    """The least binary cross-entropy that any model can have: the pixels' own entropy -x ln x - (1 - x) ln(1 - x).

    images: (N, ...) uint8. Returns: nats per image, their mean.
    """
    values = np.arange(256) / 255
    return float((np.bincount(images.ravel(), minlength=256) * (entr(values) + entr(1 - values))).sum() / len(images))


def integrate(
    log_likelihood: LogLikelihood, count: int, *, radius: float, tolerance: float, refinements: int
) -> Integral:
    """log p(x) of `count` images by the trapezoidal rule over the disc |z| <= radius of the latent plane.

    The points are doubled until log p(x) changes by no more than `tolerance` in the mean over the images, at most
    `refinements` times, and only where the error is: for the images that `_unsettled` names, and of each only at those
    of the tiles that can hold a share of its integral. Images share the points. On smooth functions that vanish at the
    edges the rule converges exponentially (Trefethen and Weideman 2014).
    """
    corners, log_area = _tiles(radius), 2 * math.log(TILE)
    log_means = np.full((len(corners), count), -np.inf)
    ceilings, live = np.full_like(log_means, -np.inf), np.ones(log_means.shape, dtype=bool)
    log_p, last, change = np.full(count, -np.inf), np.full(count, np.inf), np.full(count, np.inf)
    points = 0
    for doublings, offsets in enumerate(islice(_offsets(), refinements + 1)):
        points += len(offsets)
        for tiles in _together(live):
            images, shape = np.flatnonzero(live[tiles[0]]), (-1, len(tiles), len(offsets))
            z = (corners[tiles, np.newaxis] + offsets).reshape(-1, 2) @ ROTATION
            log_joint = log_likelihood(images, z)
            log_joint += (-0.5 * (z**2).sum(axis=1) - math.log(2 * math.pi)).astype(log_joint.dtype)
            log_joint, asked = log_joint.reshape(shape), np.ix_(tiles, images)
            highest, log_mean = log_joint.max(axis=2).T, _log_mean_exp(log_joint).T
            log_means[asked] = _log_mean(log_means[asked], log_mean) if doublings else log_mean
            # Between two points the density may be higher than at both, by the slope that the tile has shown.
            ceilings[asked] = highest + 2 * (highest - log_joint.min(axis=2).T) / points**0.5
        images = np.flatnonzero(live.any(axis=0))
        before, log_p[images] = log_p[images], _log_sum_exp(log_means[:, images]) + log_area
        last[images], change[images] = change[images], np.abs(log_p[images] - before)
        error = (last + change) / 3
        if error.mean() <= tolerance:
            break
        live &= (ceilings + log_area > log_p + NEGLIGIBLE) & _unsettled(error, tolerance)
    return Integral(log_p, error)


def importance_bound(log_weights: np.ndarray, k: int) -> np.ndarray:
    """log of the mean of K weights p(x, z) / q(z|x), expected over draws from q (Burda et al. 2016, eq. 8).

    log_weights: (N, S), whose S draws make S / K groups of K. Returns: (N,) nats. Groups of the same draws are nested,
    so that the bounds rise with K for each image, as they do in expectation (their theorem 1).
    """
    groups = log_weights.reshape(len(log_weights), -1, k)
    return _log_mean_exp(groups).mean(axis=1)


def draws_of_elbo(encoded: Encoded) -> np.ndarray:
    """log p(x|z) - KL(q(z|x) || p(z)) of each image and draw, whose mean is the ELBO: (N, S) float64 in nats."""
    return -(encoded.reconstruction_loss + encoded.kl.sum(axis=1, keepdims=True)).astype(np.float64)


def sample(vae: VAE, images: np.ndarray, encoded: Encoded, samples: int, seed: Sequence[int]) -> Sampled:
    """Draws `samples` z from q(z|x) for each image. images: (N, 28, 28, 1) uint8; encoded: these."""
    z_mean, z_log_var = (part[:, np.newaxis] for part in (encoded.z_mean, encoded.z_log_var))
    shape = (len(images), samples, z_mean.shape[2])
    epsilon = np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
    z = z_mean + np.exp(0.5 * z_log_var) * epsilon
    # The normalising constants of p(z) and q(z|x) cancel but for the standard deviations.
    log_ratio = 0.5 * (epsilon.astype(np.float64) ** 2 - z.astype(np.float64) ** 2 + z_log_var)
    of_one = shared_log_likelihood(vae, images)
    log_likelihood = np.concatenate([of_one(np.array([image]), drawn) for image, drawn in enumerate(z)])
    return Sampled(log_likelihood.astype(np.float64), log_ratio.sum(axis=2))


def shared_log_likelihood(vae: VAE, images: np.ndarray) -> LogLikelihood:
    """log p(x|z) of any of the images at points that they share. images: (N, 28, 28, 1) uint8.

    With pixels x and log-odds l it is x . l - sum(log(1 + exp(l))): linear in x, and so one matrix product.
    """
    pixels, decoder = tf.constant(images.reshape(len(images), -1), tf.float32) / 255.0, as_graph(vae.decoder)

    def log_likelihood(indices: np.ndarray, z: np.ndarray) -> np.ndarray:
        parts = np.split(z.astype(np.float32), range(BATCH, len(z), BATCH))
        logits = tf.concat([tf.reshape(decoder(part), (-1, pixels.shape[1])) for part in parts], axis=0)
        chosen = pixels if len(indices) == len(images) else tf.gather(pixels, indices)  # all of them: without a copy
        return (tf.matmul(chosen, logits, transpose_b=True) - tf.reduce_sum(tf.nn.softplus(logits), axis=1)).numpy()

    return log_likelihood


def _integrals(
    vae: VAE, seen: Mapping[str, np.ndarray], z_means: Sequence[np.ndarray], params: EvaluateParams
) -> dict[str, Integral]:
    """By protocol, as the images are given; empty without a latent plane. The protocols share the decoded points."""
    images, z_mean = (np.concatenate(list(each)) for each in (seen.values(), z_means))
    if z_mean.shape[1] != 2:
        return {}
    integral = integrate(
        shared_log_likelihood(vae, images),
        len(images),
        radius=max(RADIUS, 1 + math.ceil(np.hypot(*z_mean.T).max())),
        tolerance=params.plane_tolerance,
        refinements=params.plane_refinements,
    )
    parts = zip(*(np.split(part, len(seen)) for part in integral), strict=True)
    return {protocol: Integral(*part) for protocol, part in zip(seen, parts, strict=True)}


def _bounds(
    vae: VAE, images: np.ndarray, encoded: Encoded, integral: Integral | None, params: EvaluateParams
) -> dict[str, Any]:
    """The ELBO and the importance-weighted bounds above it, each with its standard error."""
    elbos = draws_of_elbo(encoded)
    elbo = float(elbos.mean())
    variance = float(elbos.var(axis=1, ddof=1).sum()) / elbos.shape[1] / len(images) ** 2
    # An image whose ELBO is far below its integral rises most: chosen in this order, the images stand for all.
    in_order = np.argsort(integral.log_likelihood - elbos.mean(axis=1), kind="stable") if integral else None
    bounds = {BOUNDS[0]: (elbo, variance)}
    for fewer, k in pairwise(BOUNDS):
        subset = _spread(len(images), round(params.bound_images * (BOUNDS[-1] / k) ** 0.5))
        subset = subset if in_order is None else in_order[subset]
        drawn = sample(vae, images[subset], encoded.of(subset), k, seed=(params.seed, k))  # not the ELBO's draws
        log_weights = drawn.log_likelihood + drawn.log_ratio
        rises = importance_bound(log_weights, k) - importance_bound(log_weights, fewer)
        bound, of_bound = bounds[fewer]
        bounds[k] = (bound + float(rises.mean()), of_bound + float(rises.var(ddof=1)) / len(rises))
    return {
        "elbo": elbo,
        "elbo_error": math.sqrt(variance),
        "iw_bound": {f"k{k}": bound for k, (bound, _) in bounds.items()},
        "iw_bound_error": {f"k{k}": math.sqrt(of_bound) for k, (_, of_bound) in bounds.items()},
    }


def _spread(images: int, count: int) -> np.ndarray:
    """`count` of the images, or all where there are fewer, as indices that are spread evenly."""
    count = min(count, images)
    return ((np.arange(count) + 0.5) * images / count).astype(int)


def _tiles(radius: float) -> np.ndarray:
    """The lower left corners (T, 2) of the tiles whose centres lie within the radius."""
    count = math.ceil(radius / TILE)
    centres = TILE * (np.stack([*np.mgrid[-count:count, -count:count]], axis=-1).reshape(-1, 2) + 0.5)
    return centres[np.hypot(*centres.T) <= radius] - TILE / 2


def _offsets() -> Iterator[np.ndarray]:
    """Points (P, 2) from a tile's corner: a square lattice, then as many again to double its density, without end.

    The first doubling puts a point into the centre of each square, the second one between neighbours.
    """
    spacing = TILE / SIDE
    points = spacing * (np.stack([*np.mgrid[:SIDE, :SIDE]], axis=-1).reshape(-1, 2) + 0.25)
    yield points
    while True:
        for shift in ((spacing / 2, spacing / 2), (spacing / 2, 0)):
            added = (points + shift) % TILE
            yield added
            points = np.concatenate([points, added])
        spacing /= 2


def _together(live: np.ndarray) -> Iterator[np.ndarray]:
    """The tiles that some image needs, in groups of which each is needed by the same images: all, or one tile alone.

    live: (T, N), whether image n needs tile t.
    """
    if live.all():
        yield from np.split(np.arange(len(live)), range(TOGETHER, len(live), TOGETHER))
    else:
        yield from np.flatnonzero(live.any(axis=1))[:, np.newaxis]


def _unsettled(error: np.ndarray, tolerance: float) -> np.ndarray:
    """All images but those of the least error, which have half of what the tolerance allows all of them together."""
    least_first = np.argsort(error, kind="stable")
    unsettled = np.ones(len(error), dtype=bool)
    unsettled[least_first[np.cumsum(error[least_first]) <= 0.5 * tolerance * len(error)]] = False
    return unsettled


def _log_mean_exp(values: np.ndarray) -> np.ndarray:
    """log(mean(exp(values))) over the last axis, safe where exp would not be; summed in float64."""
    highest = values.max(axis=-1)
    return highest + np.log(np.exp(values - highest[..., np.newaxis]).mean(axis=-1, dtype=np.float64))


def _log_sum_exp(values: np.ndarray) -> np.ndarray:
    """log(sum(exp(values))) over the first axis, safe where exp would not be."""
    highest = values.max(axis=0)
    return highest + np.log(np.exp(values - highest).sum(axis=0))


def _log_mean(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """log((exp(first) + exp(second)) / 2), element by element."""
    return np.logaddexp(first, second) - math.log(2)
