import json
import sys

import keras
import numpy as np
import pytest
from synthetic import write_history, write_small_project

from digit_vae.evaluation.elbo import latent
from digit_vae.evaluation.elbo import likelihood
from digit_vae.evaluation.elbo import quality
from digit_vae.evaluation.classifier import build_classifier
from digit_vae.base.errors import exit_status
from digit_vae.evaluation.elbo import decode, encode, measure, posterior
from digit_vae.base.files import write_bytes
from digit_vae.model.vae import build_vae
from digit_vae.config.params import find_run, load_params, run_params
from pipeline import evaluate

pytestmark = pytest.mark.usefixtures("cpu")


def save_run(project, name):
    """Weights as if the run had been trained; returns its model."""
    keras.utils.set_random_seed(0)
    params = run_params(load_params(), find_run(load_params(), name))
    vae = build_vae(params)
    folder = project / "models" / name
    folder.mkdir(parents=True)
    vae.save_weights(folder / "model.weights.h5")
    write_history(folder, params)
    weights = project / evaluate.CLASSIFIER
    weights.parent.mkdir(exist_ok=True)
    build_classifier().save_weights(weights)
    return vae


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory, digits):
    """A project where baseline-0 is evaluated, for all tests that do no more than read it, and its model."""
    project = tmp_path_factory.mktemp("evaluated")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        patch.setattr(sys, "argv", ["stage", "baseline-0"])
        write_small_project(project, digits)
        vae = save_run(project, "baseline-0")
        assert exit_status(evaluate.main) == 0
    return project, vae


def results(project, name):
    folder = project / f"models/{name}"
    return project / f"reports/metrics/runs/{name}.json", folder / "samples.npz", folder / "digits.npz"


def labels_of(project, part):
    return np.load(project / f"data/processed/{part}_labels.npy")


def test_metrics_are_those_of_the_validation_and_of_the_test_images(processed, run_stage, digits):
    vae = save_run(processed, "batch_norm-0")
    assert run_stage(evaluate.main, "batch_norm-0") == 0
    settings = load_params().evaluate
    expected = {
        name: measure(encode(vae, images, settings), settings.active_unit_variance)
        for name, images in (("validation", digits[:300:5]), ("test", digits[300:]))
    }
    expected["likelihood"] = likelihood.measure(vae, digits[300:], encode(vae, digits[300:], settings), settings)
    metrics = json.loads(results(processed, "batch_norm-0")[0].read_text())
    assert {name: metrics[name] for name in expected} == expected
    assert (metrics["validation"]["images"], metrics["test"]["images"]) == (60, 100)


def test_a_full_run_is_validated_on_the_test_images(processed, run_stage):
    save_run(processed, "baseline-full")
    checkpoint = processed / "checkpoints/baseline-full"
    write_bytes(checkpoint, b"what the training would have gone on from")
    assert run_stage(evaluate.main, "baseline-full") == 0
    assert not checkpoint.exists()
    metrics = json.loads(results(processed, "baseline-full")[0].read_text())
    assert metrics["validation"] == metrics["test"]


def test_the_latent_space_and_the_images_are_measured_with_labels_of_their_own(evaluated, digits):
    project, vae = evaluated
    metrics = json.loads(results(project, "baseline-0")[0].read_text())
    train_mean, test = posterior(vae, digits[:300])[0], latent.Posterior(*posterior(vae, digits[300:]))
    train_labels, test_labels = (labels_of(project, part) for part in ("train", "test"))
    settings = load_params(project / "params.yaml").evaluate
    assert metrics["latent"] == pytest.approx(
        latent.measure(train_mean, train_labels, test, test_labels, draws=settings.samples, seed=settings.seed)
    )
    classifier = quality.load_classifier(project / evaluate.CLASSIFIER)
    expected = quality.measure(
        vae, classifier, digits[300:], test_labels, generated=settings.generated, seed=settings.seed
    )
    for kind, values in expected.items():
        assert metrics["quality"][kind] == pytest.approx(values)
    divided = metrics["latent"]["mutual_information"] + metrics["latent"]["aggregate_divergence"]
    assert divided == pytest.approx(metrics["test"]["kl_loss"], rel=1e-5)


def test_what_is_shown_beside_others_is_the_same_for_every_run(evaluated, digits):
    project, vae = evaluated
    labels = labels_of(project, "test")
    with np.load(results(project, "baseline-0")[2]) as shown:
        for digit, original in enumerate(shown["originals"]):
            np.testing.assert_array_equal(original, digits[300:][labels == digit][0, ..., 0])
        assert shown["reconstructions"].shape == (10, 28, 28)
        radius = 1.17741  # the median of the distance from the origin in two dimensions
        fourth = radius * np.array([[np.cos(0.6 * np.pi), np.sin(0.6 * np.pi)]], np.float32)
        np.testing.assert_allclose(shown["decoded"][3], decode(vae, fourth)[0], atol=1)


def test_samples_are_what_the_figures_need(evaluated, digits):
    project, vae = evaluated
    with np.load(results(project, "baseline-0")[1]) as samples:
        assert {name: (array.shape, array.dtype.name) for name, array in samples.items()} == {
            "z_mean": ((100, 2), "float32"),
            "originals": ((10, 28, 28), "uint8"),
            "reconstructions": ((10, 28, 28), "uint8"),
            "generated": ((10, 28, 28), "uint8"),
            "plane": ((20, 20, 28, 28), "uint8"),
            "map_classes": ((8, 8), "uint8"),
            "map_confidence": ((8, 8), "float64"),
            "map_mass": ((8, 8), "float64"),
            "map_edges": ((9,), "float64"),
        }
        assert 0.9 < samples["map_mass"].sum() <= 1
        np.testing.assert_array_equal(samples["originals"], digits[300:310, ..., 0])
        np.testing.assert_allclose(samples["z_mean"], vae.encoder(digits[300:] / 255)[0], rtol=1e-4, atol=1e-6)


def test_a_latent_space_of_three_dimensions_has_no_plane(processed, run_stage):
    path = processed / "params.yaml"
    path.write_text(path.read_text().replace("latent_dim: 2", "latent_dim: 3"))
    save_run(processed, "baseline-0")
    assert run_stage(evaluate.main, "baseline-0") == 0
    with np.load(results(processed, "baseline-0")[1]) as samples:
        assert not {"plane", "map_classes"} & set(samples)
    metrics = json.loads(results(processed, "baseline-0")[0].read_text())
    assert set(metrics["test"]["kl_per_dimension"]) == {"z0", "z1", "z2"}
    assert "log_likelihood" not in metrics["likelihood"]["grey"]


def test_the_same_run_gives_the_same_bytes(evaluated, processed, run_stage):
    save_run(processed, "baseline-0")
    assert run_stage(evaluate.main, "baseline-0") == 0
    before, again = (
        [path.read_bytes() for path in results(project, "baseline-0")] for project in (evaluated[0], processed)
    )
    assert again == before


def test_missing_weights_name_their_stage(processed, run_stage, capsys):
    assert run_stage(evaluate.main, "baseline-0") == 1
    expected = "models/baseline-0/history.json is missing: `dvc repro train@baseline-0` makes it"
    assert expected in capsys.readouterr().err
    assert not (processed / "reports").exists()


def flip_last_byte(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damaged", "made_by"),
    [
        ("models/baseline-0/model.weights.h5", "train@baseline-0"),
        ("data/processed/train_images.npy", "preprocess"),
        ("data/processed/train_labels.npy", "preprocess"),
        ("data/processed/test_labels.npy", "preprocess"),
        ("data/processed/test_images.npy", "preprocess"),
        ("data/processed/folds/0.npy", "preprocess"),
    ],
)
def test_one_changed_bit_is_seen_and_named(processed, run_stage, capsys, damaged, made_by):
    save_run(processed, "baseline-0")
    flip_last_byte(processed / damaged)
    assert run_stage(evaluate.main, "baseline-0") == 1
    said = capsys.readouterr().err
    assert f"{damaged} is damaged (its SHA-256 is not the one in " in said
    assert f"run `dvc repro {made_by}` to make it again" in said
    assert not (processed / "reports").exists()


def test_weights_of_other_params_are_refused(processed, run_stage, capsys):
    save_run(processed, "baseline-0")
    path = processed / "params.yaml"
    path.write_text(path.read_text().replace("seed: 0\n  device", "seed: 4\n  device"))
    assert run_stage(evaluate.main, "baseline-0") == 1
    assert "models/baseline-0 was trained with other params than params.yaml has" in capsys.readouterr().err
