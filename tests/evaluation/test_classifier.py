"""The classifier and its judgements, against SciPy's matrix root, closed forms and judgements made by hand."""

import json
from dataclasses import replace

import keras
import numpy as np
import pytest
from scipy.linalg import sqrtm
from synthetic import SMALL_PARAMS

from digit_vae.base.errors import UserError
from digit_vae.config.loading import load_params
from digit_vae.data.arrays import Arrays
from digit_vae.evaluation.classifier import (
    Judged,
    build_classifier,
    frechet_distance,
    judge,
    judge_plane,
    load_classifier,
    make_classifier,
    train_classifier,
)
from digit_vae.evaluation.coding import decode
from digit_vae.model.vae import build_vae
from digit_vae.model.weights import weights_bytes

pytestmark = pytest.mark.usefixtures("cpu")
PARAMS = replace(load_params(SMALL_PARAMS).classifier, batch_size=32)


def exactly(mean, covariance, count=200):
    """Features whose sample mean and covariance are these to the last digits."""
    raw = np.random.default_rng(0).normal(size=(count, len(mean)))
    raw -= raw.mean(axis=0)
    white = raw @ np.linalg.inv(np.linalg.cholesky(np.cov(raw, rowvar=False))).T
    return white @ np.linalg.cholesky(covariance).T + mean


def judged(classes):
    return Judged(np.eye(10)[classes] * 0.8 + 0.02, np.zeros((len(classes), 64)))


def test_frechet_distance_of_covariances_that_commute():
    """|m1 - m2|^2 + sum (s1 - s2)^2 over the deviations along the axes that both share."""
    axes = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    first, second = np.array([1.0, 2.0, 0.5]), np.array([0.1, 2.0, 3.0])
    moved = np.array([1.0, -2.0, 0.5])
    measured = frechet_distance(
        exactly(np.zeros(3), (axes * first**2) @ axes.T), exactly(moved, (axes * second**2) @ axes.T)
    )
    assert measured == pytest.approx((moved**2).sum() + ((first - second) ** 2).sum())


def test_frechet_distance_of_any_covariances_is_the_papers_formula():
    random = np.random.default_rng(2)
    first, second = random.normal(size=(500, 6)), random.normal(size=(300, 6)) @ random.normal(size=(6, 6)) + 1
    covariances = [np.cov(each, rowvar=False) for each in (first, second)]
    between = sqrtm(covariances[0] @ covariances[1]).real
    expected = ((first.mean(axis=0) - second.mean(axis=0)) ** 2).sum() + np.trace(sum(covariances) - 2 * between)
    assert frechet_distance(first, second) == pytest.approx(expected)
    assert frechet_distance(second, first) == pytest.approx(expected)


def test_equal_sets_are_at_no_distance_even_where_features_never_move():
    features = np.random.default_rng(3).normal(size=(100, 5))
    features[:, 2:4] = 0
    assert frechet_distance(features, features[::-1]) == pytest.approx(0, abs=1e-6)


def test_confidence_and_balance_of_hand_made_judgements():
    assert judged(np.arange(50) % 10).class_balance == pytest.approx(1)
    assert judged(np.full(50, 3)).class_balance == 0
    assert judged(np.array([0, 0, 1, 1])).class_balance == pytest.approx(np.log(2) / np.log(10))
    assert Judged(np.eye(4)[[0, 1, 2, 3]], np.zeros((4, 64))).class_balance == pytest.approx(1)
    assert judged(np.arange(50) % 10).confidence == pytest.approx(0.82)
    np.testing.assert_array_equal(judged(np.array([4, 2])).classes, [4, 2])


def test_judge_gives_probabilities_and_the_last_layer_before_the_logits(digits):
    keras.utils.set_random_seed(0)
    classifier = build_classifier(10)
    found = judge(classifier, digits[:30])
    kernel, bias = classifier.get_layer("logits").get_weights()
    exponentials = np.exp(found.features @ kernel + bias)
    assert found.features.shape == (30, 64)
    np.testing.assert_allclose(found.probabilities, exponentials / exponentials.sum(axis=1, keepdims=True), rtol=1e-4)
    np.testing.assert_array_equal(judge(classifier, digits[:30, ..., 0]).features, found.features)


def test_training_learns_the_digits_and_gives_the_same_bits_again(digits):
    from sklearn.datasets import load_digits

    labels = load_digits().target[: len(digits)]
    reports = []
    first, again = (
        train_classifier(PARAMS, digits, labels, lambda epoch, logs: reports.append((epoch, logs["loss"])))
        for _ in range(2)
    )
    assert [epoch for epoch, _ in reports] == [1, 2, 1, 2]
    assert reports[:2] == reports[2:]
    for one, same in zip(first.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, same)
    assert (judge(first, digits).classes == labels).mean() > 0.5


@pytest.fixture
def untrained(make_params):
    keras.utils.set_random_seed(1)
    return build_vae(make_params()), build_classifier(10)


def test_the_plane_is_judged_at_the_middle_of_each_cell_with_the_highest_z1_first(untrained):
    vae, classifier = untrained
    judged = judge_plane(vae, classifier, np.array([-2.0, 0.0, 2.0, 4.0]))
    corners = np.array([[-1, 3], [1, 3], [3, 3], [-1, 1], [1, 1], [3, 1], [-1, -1], [1, -1], [3, -1]], np.float32)
    np.testing.assert_array_equal(judged.probabilities, judge(classifier, decode(vae, corners)).probabilities)


def test_the_classifier_comes_back_from_its_file_or_names_its_stage(untrained, tmp_path, digits):
    path = tmp_path / "model.weights.h5"
    with pytest.raises(UserError, match=r"model.weights.h5 is missing.* `dvc repro classifier`"):
        load_classifier(path, np.arange(10))
    path.write_bytes(weights_bytes(untrained[1]))
    loaded = load_classifier(path, np.arange(10))
    np.testing.assert_array_equal(judge(loaded, digits[:9]).features, judge(untrained[1], digits[:9]).features)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"model.weights.h5 is damaged .*`dvc repro classifier`"):
        load_classifier(path, np.arange(10))


def test_the_seconds_left_are_those_of_the_epochs_that_are_left(digits):
    labels, told = np.arange(60) % 10, []
    arrays = Arrays(digits[:60], labels, digits[60:90], labels[:30])
    params = replace(PARAMS, epochs=3, minimum_accuracy=0.0)
    make_classifier(params, arrays, lambda epoch, logs, left: told.append((epoch, sorted(logs), left)))
    assert [each[:2] for each in told] == [(epoch, ["accuracy", "loss"]) for epoch in (1, 2, 3)]
    assert told[0][2] > 0
    assert told[-1][2] == 0


def test_there_are_as_many_logits_as_the_training_labels_have_classes_and_gaps_among_them_count(digits, tmp_path):
    labels = np.array([1, 25, 3] * 20)
    arrays = Arrays(digits[:60], labels, digits[60:90], labels[:30])
    weights, metrics = make_classifier(replace(PARAMS, epochs=1, minimum_accuracy=0.0), arrays, lambda *_: None)
    (tmp_path / "model.weights.h5").write_bytes(weights)
    judged = judge(load_classifier(tmp_path / "model.weights.h5", labels), digits[:5])
    assert judged.probabilities.shape == (5, 26)
    assert json.loads(metrics)["images"] == 30


def test_without_labels_there_is_no_classifier(digits, tmp_path):
    none = np.empty(0, np.uint8)
    weights, metrics = make_classifier(PARAMS, Arrays(digits[:60], none, digits[60:90], none), lambda *_: None)
    (tmp_path / "model.weights.h5").write_bytes(weights)
    assert (weights, json.loads(metrics)) == (b"", {"images": 30})
    assert load_classifier(tmp_path / "model.weights.h5", none) is None
