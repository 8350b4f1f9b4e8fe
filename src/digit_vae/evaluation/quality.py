"""What the images of a trained run are worth in the classifier's eyes: digits from the prior, and reconstructions."""

from pathlib import Path

import keras
import numpy as np

from digit_vae.evaluation.classifier import Judged, build_classifier, frechet_distance, judge
from digit_vae.evaluation.elbo import decode, generate, load_weights, reconstruct
from digit_vae.model.vae import VAE


def load_classifier(weights: Path) -> keras.Model:
    """The classifier with the weights that stage `classifier` wrote. Raises: UserError that names it."""
    classifier = build_classifier()
    load_weights(classifier, weights, made_by="classifier")
    return classifier


def measure(
    vae: VAE, classifier: keras.Model, images: np.ndarray, labels: np.ndarray, *, generated: int, seed: int
) -> dict:
    """samples: of digits decoded from so many draws of the prior. reconstructions: of the images, decoded from z_mean.

    confidence: mean of max_y p(y|x), the probability of the likeliest digit. class_balance: H(y) / log 10, the entropy
    of the digits' shares. Both are what the inception score rewards (Salimans et al. 2016). agreement: the share of
    reconstructions whose likeliest digit is the label. frechet: Frechet distance to `images` in the classifier's
    feature space; what it is between real images stands in reports/metrics/classifier.json.
    images: (N, 28, 28, 1) uint8 test images; labels: (N,).
    """
    real = judge(classifier, images)
    samples = judge(classifier, generate(vae, generated, seed))
    reconstructions = judge(classifier, reconstruct(vae, images))
    return {
        "samples": {
            "confidence": samples.confidence,
            "class_balance": samples.class_balance,
            "frechet": frechet_distance(samples.features, real.features),
        },
        "reconstructions": {
            "agreement": float((reconstructions.classes == labels).mean()),
            "confidence": reconstructions.confidence,
            "frechet": frechet_distance(reconstructions.features, real.features),
        },
    }


def judge_plane(vae: VAE, classifier: keras.Model, edges: np.ndarray) -> Judged:
    """What the classifier sees at the middle of each cell of the latent plane, row by row, the highest z1 first.

    edges: (cells + 1,), along both axes.
    """
    middles = (edges[1:] + edges[:-1]) / 2
    z0, z1 = np.meshgrid(middles, middles[::-1])
    return judge(classifier, decode(vae, np.stack([z0.ravel(), z1.ravel()], axis=1).astype(np.float32)))
