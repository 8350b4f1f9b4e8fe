import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from synthetic import write_params

from digit_vae.base.paths import CLASSIFIER_METRICS, CLASSIFIER_WEIGHTS
from digit_vae.evaluation.classifier import judge, load_classifier
from pipeline import classifier

pytestmark = pytest.mark.usefixtures("cpu")
ROOT = Path(__file__).parents[2]


def test_the_classifier_is_written_with_what_it_says_of_the_test_images(processed, run_stage, digits, capsys):
    write_params(processed, classifier={"batch_size": 16, "minimum_accuracy": 0.3})
    assert run_stage(classifier.main) == 0
    metrics = json.loads((processed / CLASSIFIER_METRICS).read_bytes())
    labels = np.load(processed / "data/processed/test_labels.npy")
    judged = judge(load_classifier(processed / CLASSIFIER_WEIGHTS, labels), digits[300:])
    assert metrics["images"] == 100
    assert metrics["accuracy"] == (judged.classes == labels).mean() > 0.3
    assert metrics["confidence"] == pytest.approx(judged.confidence)
    assert metrics["frechet_train"] > 0
    assert 0 <= metrics["precision_train"] <= 1
    assert 0 <= metrics["recall_train"] <= 1
    said = capsys.readouterr().out.splitlines()
    assert ["1/2" in said[0], "2/2" in said[1], len(said)] == [True, True, 2]


def test_a_classifier_that_is_too_weak_is_one_line_and_leaves_nothing(processed, run_stage, capsys):
    write_params(processed, classifier={"epochs": 1, "minimum_accuracy": 1.0})
    assert run_stage(classifier.main) == 1
    [said] = capsys.readouterr().err.splitlines()
    assert "classifier.minimum_accuracy: expected" in said
    assert "received 0." in said
    assert not (processed / CLASSIFIER_WEIGHTS).exists()
    assert not (processed / CLASSIFIER_METRICS).exists()


def test_a_full_disk_is_one_line_and_leaves_nothing(processed, run_stage, full_disk, capsys):
    write_params(processed, classifier={"epochs": 1, "minimum_accuracy": 0.0})
    with full_disk(100_000):
        assert run_stage(classifier.main) == 1
    [said] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert "could not be written" in said
    assert not [path for path in (processed / "models").rglob("*") if path.is_file()]


def test_a_users_choice_of_another_backend_of_keras_has_no_effect_on_a_stage(processed):
    """By the environment and by a keras.json, in a process of its own, as DVC starts it."""
    write_params(processed, classifier={"epochs": 1, "minimum_accuracy": 0.0})
    for folder in ("src", "pipeline"):
        shutil.copytree(ROOT / folder, processed / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (processed / "keras.json").write_text('{"backend": "jax"}', encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": "src", "KERAS_BACKEND": "torch", "KERAS_HOME": str(processed)}
    command = [sys.executable, "-m", "pipeline.classifier"]
    done = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    assert load_classifier(processed / CLASSIFIER_WEIGHTS, np.arange(10)).output_shape == (None, 10)
