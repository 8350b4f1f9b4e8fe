"""What an evaluation makes of a run: the measures by section, what figures show, and what the machine decided."""

import hashlib
import json
from dataclasses import replace
from typing import NamedTuple

import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits
from synthetic import write_history

from digit_vae.base.errors import UserError
from digit_vae.base.files import write_bytes
from digit_vae.base.paths import CLASSIFIER_WEIGHTS, RunFiles
from digit_vae.config.runs import find_run, run_params
from digit_vae.data.arrays import Arrays
from digit_vae.evaluation import latent, likelihood
from digit_vae.evaluation.classifier import build_classifier, load_classifier
from digit_vae.evaluation.coding import decode, generate, posterior
from digit_vae.evaluation.elbo import encode, measure
from digit_vae.evaluation.mixture import IMAGES, draw_posterior, fit_mixture
from digit_vae.evaluation.quality import generate_mixture, measure_quality
from digit_vae.evaluation.run import evaluate_run
from digit_vae.model.vae import VAE, build_vae
from digit_vae.model.weights import weights_bytes

pytestmark = pytest.mark.usefixtures("cpu")
NAME = "dropout-fold0-0"
FILES = RunFiles("paper", NAME)
HELD_OUT = np.arange(0, 300, 5)
NONE = np.empty(0, np.int64)


class Evaluated(NamedTuple):
    vae: VAE
    files: dict

    def json(self, path):
        return json.loads(self.files[path])


@pytest.fixture(scope="module")
def arrays(digits):
    labels = load_digits().target[: len(digits)].astype(np.uint8)
    return Arrays(digits[:300], labels[:300], digits[300:], labels[300:])


def save_trained(root, params, name=NAME):
    """Weights as if the run had been trained, and a classifier; returns the run's model."""
    keras.utils.set_random_seed(0)
    run = find_run(params, name)
    files, settings = run.files, run_params(params, run)
    vae = build_vae(settings)
    write_bytes(root / files.encoder, weights_bytes(vae.encoder))
    write_bytes(root / files.decoder, weights_bytes(vae.decoder))
    write_history(root, name, settings)
    write_bytes(root / CLASSIFIER_WEIGHTS, weights_bytes(build_classifier(10)))
    return vae


def evaluated_below(root, params, arrays, held_out=HELD_OUT, name=NAME):
    return evaluate_run(params, find_run(params, name), root, arrays, held_out, "c" * 40)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory, small_params, arrays):
    root = tmp_path_factory.mktemp("evaluated")
    vae = save_trained(root, small_params)
    return Evaluated(vae, evaluated_below(root, small_params, arrays))


def mixture_of(vae, arrays, settings):
    """Of the images that the run learnt from."""
    learnt = np.delete(arrays.train_images, HELD_OUT, axis=0)
    z = draw_posterior(latent.Posterior(*posterior(vae, learnt)), IMAGES, settings.seed)
    return fit_mixture(z, settings.mixture_components, settings.seed)


def test_elbo_and_likelihood_are_those_of_the_validation_and_of_the_test_images(evaluated, small_params, digits):
    settings, metrics = small_params.evaluate, evaluated.json(FILES.metrics)
    expected = {
        name: measure(encode(evaluated.vae, images, settings), settings.active_unit_variance)
        for name, images in (("validation", digits[HELD_OUT]), ("test", digits[300:]))
    }
    of_test = encode(evaluated.vae, digits[300:], settings)
    expected["likelihood"] = likelihood.measure(evaluated.vae, digits[300:], of_test, settings)
    assert {name: metrics[name] for name in expected} == expected
    assert (metrics["validation"]["images"], metrics["test"]["images"]) == (60, 100)
    assert set(metrics) == {*expected, "latent", "quality"}


def test_the_latent_space_and_the_images_are_measured_with_labels_of_their_own(
    evaluated, small_params, arrays, tmp_path
):
    settings, metrics, vae = small_params.evaluate, evaluated.json(FILES.metrics), evaluated.vae
    train_mean, test = posterior(vae, arrays.train_images)[0], latent.Posterior(*posterior(vae, arrays.test_images))
    of_latent = {"draws": settings.samples, "seed": settings.seed}
    expected = latent.measure(train_mean, arrays.train_labels, test, arrays.test_labels, **of_latent)
    assert metrics["latent"] == pytest.approx(expected)
    save_trained(tmp_path, small_params)
    classifier = load_classifier(tmp_path / CLASSIFIER_WEIGHTS, arrays.train_labels)
    mixture = mixture_of(vae, arrays, settings)
    quality = measure_quality(vae, classifier, arrays.test_images, arrays.test_labels, mixture, settings)
    for kind, values in quality.items():
        assert metrics["quality"][kind] == pytest.approx(values)
    divided = metrics["latent"]["mutual_information"] + metrics["latent"]["aggregate_divergence"]
    assert divided == pytest.approx(metrics["test"]["kl_loss"], rel=1e-5)


def test_what_the_machine_decides_is_in_a_file_of_its_own(evaluated, cpu, small_params, tmp_path):
    found = evaluated.json(FILES.evaluation)
    save_trained(tmp_path, small_params)
    assert found["classifier_sha256"] == hashlib.sha256((tmp_path / CLASSIFIER_WEIGHTS).read_bytes()).hexdigest()
    assert (found["run"], found["git_commit"]) == (NAME, "c" * 40)
    assert found["machine"].items() > cpu.items()
    assert set(found["machine"]) - set(cpu) == {"scipy", "scikit-learn"}
    assert 0 < found["started_at"] < found["finished_at"]


def test_samples_are_what_the_figures_need(evaluated, digits, tmp_path):
    (tmp_path / "samples.npz").write_bytes(evaluated.files[FILES.samples])
    with np.load(tmp_path / "samples.npz") as samples:
        assert {name: (array.shape, array.dtype.name) for name, array in samples.items()} == {
            "z_mean": ((100, 2), "float32"),
            "originals": ((10, 28, 28), "uint8"),
            "reconstructions": ((10, 28, 28), "uint8"),
            "generated": ((10, 28, 28), "uint8"),
            "mixture": ((10, 28, 28), "uint8"),
            "plane": ((4, 4, 28, 28), "uint8"),
            "map_classes": ((8, 8), "uint8"),
            "map_confidence": ((8, 8), "float64"),
            "map_mass": ((8, 8), "float64"),
            "map_edges": ((9,), "float64"),
        }
        assert 0.9 < samples["map_mass"].sum() <= 1
        np.testing.assert_array_equal(samples["originals"], digits[300:310, ..., 0])
        z_mean, _ = evaluated.vae.encoder(digits[300:] / 255)
        np.testing.assert_allclose(samples["z_mean"], z_mean, rtol=1e-4, atol=1e-6)


def test_what_is_shown_beside_others_is_the_same_for_every_run(evaluated, arrays, tmp_path):
    (tmp_path / "digits.npz").write_bytes(evaluated.files[FILES.digits])
    with np.load(tmp_path / "digits.npz") as shown:
        for digit, original in enumerate(shown["originals"]):
            first = arrays.test_images[arrays.test_labels == digit][0, ..., 0]
            np.testing.assert_array_equal(original, first)
        assert shown["reconstructions"].shape == (10, 28, 28)
        radius = 1.17741  # the median of the distance from the origin in two dimensions
        fourth = radius * np.array([[np.cos(0.6 * np.pi), np.sin(0.6 * np.pi)]], np.float32)
        np.testing.assert_allclose(shown["decoded"][3], decode(evaluated.vae, fourth)[0], atol=1)


def test_digits_of_prior_and_mixture_are_shown(evaluated, arrays, small_params, tmp_path):
    for name in ("samples", "digits"):
        (tmp_path / f"{name}.npz").write_bytes(evaluated.files[getattr(FILES, name)])
    drawn = generate_mixture(evaluated.vae, mixture_of(evaluated.vae, arrays, small_params.evaluate), 10, 0)
    with np.load(tmp_path / "samples.npz") as samples, np.load(tmp_path / "digits.npz") as shown:
        np.testing.assert_allclose(shown["mixture"].astype(int), drawn, atol=1)
        np.testing.assert_array_equal(samples["mixture"], shown["mixture"])
        np.testing.assert_array_equal(shown["prior"], generate(evaluated.vae, 10, 0))


def test_git_has_a_small_map_of_the_plane(evaluated, tmp_path):
    for name in ("samples", "digits"):
        (tmp_path / f"{name}.npz").write_bytes(evaluated.files[getattr(FILES, name)])
    with np.load(tmp_path / "samples.npz") as samples, np.load(tmp_path / "digits.npz") as shown:
        np.testing.assert_array_equal(shown["map_classes"], samples["map_classes"])
        np.testing.assert_array_equal(shown["map_edges"], samples["map_edges"])
        np.testing.assert_allclose(shown["map_percent"] / 100, samples["map_confidence"], atol=0.0051)
        assert shown["map_percent"].dtype == np.uint8


def test_the_same_run_gives_the_same_bytes(evaluated, tmp_path, small_params, arrays):
    save_trained(tmp_path, small_params)
    again = evaluated_below(tmp_path, small_params, arrays)
    assert set(again) == set(evaluated.files) == {FILES.metrics, FILES.evaluation, FILES.samples, FILES.digits}
    for path in (FILES.metrics, FILES.samples, FILES.digits):
        assert again[path] == evaluated.files[path]


def test_a_full_run_of_three_latent_dimensions_is_validated_on_the_test_images_and_has_no_plane(
    tmp_path, small_params, arrays
):
    params = replace(small_params, train=replace(small_params.train, latent_dim=3))
    name, files = "baseline-full-0", RunFiles("paper", "baseline-full-0")
    save_trained(tmp_path, params, name)
    made = evaluated_below(tmp_path, params, arrays, NONE, name)
    metrics = json.loads(made[files.metrics])
    assert metrics["validation"] == metrics["test"]
    assert set(metrics["test"]["kl_per_dimension"]) == {"z0", "z1", "z2"}
    assert "log_likelihood" not in metrics["likelihood"]["grey"]
    (tmp_path / "samples.npz").write_bytes(made[files.samples])
    with np.load(tmp_path / "samples.npz") as samples:
        assert set(samples) == {"z_mean", "originals", "reconstructions", "generated", "mixture"}


def shown(made, file, folder):
    (folder / "shown.npz").write_bytes(made[file])
    with np.load(folder / "shown.npz") as arrays:
        return dict(arrays)


def test_without_labels_what_tells_of_them_is_left_out(tmp_path, small_params, arrays):
    save_trained(tmp_path, small_params)
    (tmp_path / CLASSIFIER_WEIGHTS).write_bytes(b"")
    none = np.empty(0, np.uint8)
    made = evaluated_below(tmp_path, small_params, arrays._replace(train_labels=none, test_labels=none))
    metrics = json.loads(made[FILES.metrics])
    assert set(metrics) == {"validation", "test", "likelihood", "latent"}
    assert set(metrics["latent"]) == {"mutual_information", "aggregate_divergence", "information_error"}
    samples = shown(made, FILES.samples, tmp_path)
    assert set(samples) >= {"plane", "map_mass", "map_edges"}
    assert not set(samples) & {"map_classes", "map_confidence"}
    np.testing.assert_array_equal(shown(made, FILES.digits, tmp_path)["originals"], arrays.test_images[:10, ..., 0])


def test_a_class_that_the_test_images_lack_is_not_shown(tmp_path, small_params, arrays):
    save_trained(tmp_path, small_params)
    few = np.flatnonzero(arrays.test_labels % 3 == 0)
    some = arrays._replace(test_images=arrays.test_images[few], test_labels=arrays.test_labels[few])
    originals = shown(evaluated_below(tmp_path, small_params, some), FILES.digits, tmp_path)["originals"]
    firsts = [some.test_images[some.test_labels == digit][0, ..., 0] for digit in (0, 3, 6, 9)]
    np.testing.assert_array_equal(originals, firsts)


def flip_last_byte(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("path", "stage"),
    [
        (FILES.encoder, "train_ablation@dropout-fold0-0"),
        (FILES.decoder, "train_ablation@dropout-fold0-0"),
        (FILES.history, "train_ablation@dropout-fold0-0"),
        (CLASSIFIER_WEIGHTS, "classifier"),
    ],
)
def test_what_is_missing_or_damaged_is_named_with_its_stage(tmp_path, small_params, arrays, path, stage):
    save_trained(tmp_path, small_params)
    content = (tmp_path / path).read_bytes()
    (tmp_path / path).unlink()
    with pytest.raises(UserError, match=rf"{path} is missing.* `dvc repro {stage}`"):
        evaluated_below(tmp_path, small_params, arrays)
    (tmp_path / path).write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=rf"{path} is damaged.* `dvc repro {stage}`"):
        evaluated_below(tmp_path, small_params, arrays)


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_weights_of_which_one_bit_is_another_are_refused(tmp_path, small_params, arrays, part):
    save_trained(tmp_path, small_params)
    flip_last_byte(tmp_path / getattr(FILES, part))
    with pytest.raises(UserError, match=rf"{part}.weights.h5 is damaged.*history.json"):
        evaluated_below(tmp_path, small_params, arrays)


def test_a_run_that_was_trained_with_other_params_is_refused(tmp_path, small_params, arrays):
    save_trained(tmp_path, small_params)
    other = replace(small_params, train=replace(small_params.train, beta=2.0))
    with pytest.raises(UserError, match=r"history.json is of other params.*train_ablation@dropout-fold0-0"):
        evaluated_below(tmp_path, other, arrays)
