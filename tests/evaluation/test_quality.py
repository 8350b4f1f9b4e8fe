"""What is said of a run's images, against judgements made one by one."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from digit_vae.evaluation.classifier import build_classifier, frechet_distance, judge
from digit_vae.evaluation.coding import decode, generate, reconstruct
from digit_vae.evaluation.manifold import covered, region
from digit_vae.evaluation.mixture import Mixture, draw
from digit_vae.evaluation.quality import measure_quality
from digit_vae.model.vae import build_vae

pytestmark = pytest.mark.usefixtures("cpu")
MIXTURE = Mixture(np.array([0.5, 0.5]), np.array([[3.0, 0.0], [-3.0, 0.0]]), np.stack([np.eye(2)] * 2), -2.5)


@pytest.fixture
def untrained(make_params):
    keras.utils.set_random_seed(1)
    return build_vae(make_params()), build_classifier(10)


def test_images_of_prior_mixture_and_posterior_are_judged_against_the_test_images(untrained, small_params, digits):
    vae, classifier = untrained
    settings = replace(small_params.evaluate, generated=150, seed=4)
    images = digits[:120]
    reconstructions = judge(classifier, reconstruct(vae, images))
    labels = reconstructions.classes.copy()
    labels[:30] = (labels[:30] + 1) % 10
    measured = measure_quality(vae, classifier, images, labels, MIXTURE, settings)
    real = judge(classifier, images)
    some = region(real.features, 120)
    for name, made in {"samples": generate(vae, 150, 4), "mixture": decode(vae, draw(MIXTURE, 150, 4))}.items():
        judged = judge(classifier, made)
        shares = covered(some, region(judged.features, 120))
        assert (
            measured[name].items()
            >= {
                "confidence": judged.confidence,
                "class_balance": judged.class_balance,
                "frechet": frechet_distance(judged.features, real.features),
                "precision": shares.precision,
                "recall": shares.recall,
            }.items()
        )
    assert measured["samples"] != measured["mixture"]
    assert measured["mixture"].items() >= {"components": 2, "log_density": -2.5}.items()
    assert measured["reconstructions"] == {
        "agreement": 0.75,
        "confidence": reconstructions.confidence,
        "frechet": frechet_distance(reconstructions.features, real.features),
    }


def test_sets_are_of_one_size_where_fewer_images_are_real(untrained, small_params, digits):
    settings = replace(small_params.evaluate, generated=100)
    measured = measure_quality(*untrained, digits[:30], np.zeros(30), MIXTURE, settings)
    real, samples = (judge(untrained[1], each).features for each in (digits[:30], generate(untrained[0], 100, 0)))
    expected = covered(region(real, 30), region(samples, 30))
    assert measured["samples"]["recall"] == expected.recall
