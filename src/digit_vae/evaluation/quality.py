"""What the classifier says of a run's images: of those that it generates, and of those that it reconstructs."""

from typing import Any

import keras
import numpy as np

from digit_vae.config.schema import EvaluateParams
from digit_vae.evaluation.classifier import Judged, frechet_distance, judge
from digit_vae.evaluation.coding import decode, generate, reconstruct
from digit_vae.evaluation.manifold import IMAGES, Region, covered, region
from digit_vae.evaluation.mixture import Mixture, draw
from digit_vae.model.vae import VAE


def measure_quality(
    vae: VAE, classifier: keras.Model, images: np.ndarray, labels: np.ndarray, mixture: Mixture, params: EvaluateParams
) -> dict[str, Any]:
    """samples: of `generated` images decoded from draws of the prior. mixture: of as many from draws of the mixture.
    reconstructions: of the images, decoded from z_mean.

    confidence: mean of max_y p(y|x), the probability of the likeliest class. class_balance: H(y) / log C, the entropy
    of the classes' shares. Both are what the inception score rewards (Salimans et al. 2016). agreement: the share of
    reconstructions whose likeliest class is the label. frechet: Frechet distance to `images` in the classifier's
    feature space; what it is between real images stands in reports/classifier.json. precision and recall: of
    5,000 of the generated images and as many of `images`, in the same space, see `manifold`. components, log_density:
    of the mixture, see there.
    images: (N, 28, 28, 1) uint8 test images; labels: (N,).
    """
    real = judge(classifier, images)
    of_real = region(real.features, min(IMAGES, params.generated, len(images)))
    samples = judge(classifier, generate(vae, params.generated, params.seed))
    mixed = judge(classifier, generate_mixture(vae, mixture, params.generated, params.seed))
    reconstructions = judge(classifier, reconstruct(vae, images))
    return {
        "samples": _of_samples(samples, real, of_real),
        "mixture": _of_samples(mixed, real, of_real)
        | {"components": mixture.components, "log_density": mixture.log_density},
        "reconstructions": {
            "agreement": float((reconstructions.classes == labels).mean()),
            "confidence": reconstructions.confidence,
            "frechet": frechet_distance(reconstructions.features, real.features),
        },
    }


def generate_mixture(vae: VAE, mixture: Mixture, count: int, seed: int) -> np.ndarray:
    """Images decoded from `count` draws of the mixture. Returns: (count, 28, 28) uint8."""
    return decode(vae, draw(mixture, count, seed))


def _of_samples(samples: Judged, real: Judged, of_real: Region) -> dict[str, float]:
    of_samples = region(samples.features, len(of_real.features))
    return {
        "confidence": samples.confidence,
        "class_balance": samples.class_balance,
        "frechet": frechet_distance(samples.features, real.features),
        **covered(of_real, of_samples)._asdict(),
    }
