"""Made-up but plausible sections of metrics and histories, in the shapes that training and evaluation write."""

import numpy as np

UNITS = ("conv_1", "conv_2", "hidden", "dense", "conv_transpose_1", "conv_transpose_2")


def likelihood(elbo: float, generator: np.random.Generator, *, integral: bool = True) -> dict:
    """Of both protocols; binarised images are 10 nats likelier. The gap between ELBO and integral is about 2 nats."""
    gap = generator.normal(2.0, 0.1)
    return {
        "images": 200,
        "grey": _protocol(elbo, gap, 66.0, integral),
        "binarised": _protocol(elbo + 10, gap, 0.0, integral),
    }


def _protocol(elbo: float, gap: float, floor: float, integral: bool) -> dict:
    ks = (1, 10, 100, 1000)
    bounds = {f"k{k}": elbo + gap * (1 - 1 / k) for k in ks}
    content = {
        "entropy_floor": floor,
        "elbo": elbo,
        "elbo_error": 0.02,
        "iw_bound": bounds,
        "iw_bound_error": {f"k{k}": 0.02 / k**0.5 for k in ks},
    }
    if integral:
        content |= {"log_likelihood": elbo + gap, "inference_gap": gap}
        content |= {"log_likelihood_error": 0.001, "log_likelihood_error_maximum": 0.3}
    return content


def latent(kl: float, generator: np.random.Generator) -> dict:
    return {
        "knn_accuracy": generator.normal(0.75, 0.01),
        "probe_accuracy": generator.normal(0.6, 0.01),
        "nmi": generator.normal(0.5, 0.02),
        "silhouette": generator.normal(0.05, 0.02),
        "mutual_information": kl - 0.2,
        "aggregate_divergence": 0.2,
        "information_error": 0.001,
    }


def quality(generator: np.random.Generator) -> dict:
    return {
        "samples": {
            "confidence": generator.normal(0.8, 0.01),
            "class_balance": 0.95,
            "frechet": generator.normal(30, 2),
            "precision": generator.normal(0.9, 0.01),
            "recall": generator.normal(0.2, 0.01),
        },
        "mixture": {
            "confidence": generator.normal(0.85, 0.01),
            "class_balance": 0.98,
            "frechet": generator.normal(26, 2),
            "precision": generator.normal(0.95, 0.01),
            "recall": generator.normal(0.25, 0.01),
            "components": 40,
            "log_density": generator.normal(-2.2, 0.01),
        },
        "reconstructions": {"agreement": generator.normal(0.8, 0.01), "confidence": 0.85, "frechet": 25.0},
    }


def health(dead: int, kl: float, latent_dim: int, *, asleep: bool = False) -> dict:
    """asleep: the last dimension has collapsed, and the others have all of the KL."""
    share = kl / (latent_dim - asleep)
    used = {f"z{dimension}": share for dimension in range(latent_dim)}
    return {
        "dead_units": dict.fromkeys(UNITS, 0) | {"hidden": dead},
        "kl_per_dimension": used | ({f"z{latent_dim - 1}": 0.01} if asleep else {}),
        "collapsed_dimensions": int(asleep),
    }
