import keras
import numpy as np
import pytest

from digit_vae.evaluation.elbo import quality
from digit_vae.evaluation.classifier import build_classifier, frechet_distance, judge
from digit_vae.base.errors import UserError
from digit_vae.evaluation.elbo import decode, generate, reconstruct
from digit_vae.model.vae import build_vae

pytestmark = pytest.mark.usefixtures("cpu")


@pytest.fixture
def untrained(make_params):
    keras.utils.set_random_seed(1)
    return build_vae(make_params()), build_classifier()


def test_samples_and_reconstructions_are_judged_against_the_test_images(untrained, digits):
    vae, classifier = untrained
    images = digits[:80]
    reconstructions = judge(classifier, reconstruct(vae, images))
    labels = reconstructions.classes.copy()
    labels[:20] = (labels[:20] + 1) % 10
    measured = quality.measure(vae, classifier, images, labels, generated=60, seed=4)
    samples, real = judge(classifier, generate(vae, 60, 4)), judge(classifier, images)
    assert measured["samples"] == {
        "confidence": samples.confidence,
        "class_balance": samples.class_balance,
        "frechet": frechet_distance(samples.features, real.features),
    }
    assert measured["reconstructions"] == {
        "agreement": 0.75,
        "confidence": reconstructions.confidence,
        "frechet": frechet_distance(reconstructions.features, real.features),
    }


def test_the_plane_is_judged_at_the_middle_of_each_cell_with_the_highest_z1_first(untrained):
    vae, classifier = untrained
    judged = quality.judge_plane(vae, classifier, np.array([-2.0, 0.0, 2.0, 4.0]))
    corners = np.array([[-1, 3], [1, 3], [3, 3], [-1, 1], [1, 1], [3, 1], [-1, -1], [1, -1], [3, -1]], np.float32)
    np.testing.assert_array_equal(judged.probabilities, judge(classifier, decode(vae, corners)).probabilities)


def test_the_classifier_comes_back_from_its_file_or_names_its_stage(untrained, tmp_path, digits):
    path = tmp_path / "model.weights.h5"
    with pytest.raises(UserError, match=r"model.weights.h5 is missing: `dvc repro classifier` makes it"):
        quality.load_classifier(path)
    untrained[1].save_weights(path)
    loaded = quality.load_classifier(path)
    np.testing.assert_array_equal(judge(loaded, digits[:9]).features, judge(untrained[1], digits[:9]).features)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"model.weights.h5 is damaged .*`dvc repro classifier`"):
        quality.load_classifier(path)
