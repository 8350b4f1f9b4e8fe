import json

import numpy as np
import pytest
import yaml

from digit_vae.evaluation.classifier import judge
from digit_vae.evaluation.quality import load_classifier
from pipeline import classifier

pytestmark = pytest.mark.usefixtures("cpu")


def set_params(project, **values):
    path = project / "params.yaml"
    content = yaml.safe_load(path.read_text())
    content["classifier"] |= values
    path.write_text(yaml.safe_dump(content, sort_keys=False))


def test_the_classifier_is_written_with_what_it_says_of_the_test_images(processed, run_stage, digits, capsys):
    set_params(processed, epochs=2, batch_size=16, minimum_accuracy=0.3)
    assert run_stage(classifier.main) == 0
    metrics = json.loads((processed / classifier.METRICS).read_text())
    judged = judge(load_classifier(processed / classifier.WEIGHTS), digits[300:])
    labels = np.load(processed / "data/processed/test_labels.npy")
    assert metrics["images"] == 100
    assert metrics["accuracy"] == (judged.classes == labels).mean() > 0.3
    assert metrics["confidence"] == pytest.approx(judged.confidence)
    assert metrics["frechet_train"] > 0
    assert [line.split("  ")[0] for line in capsys.readouterr().out.splitlines()] == [
        "classifier epoch 1/2",
        "classifier epoch 2/2",
    ]


def test_a_classifier_that_is_too_weak_is_an_error_and_leaves_nothing(processed, run_stage, capsys):
    set_params(processed, epochs=1, minimum_accuracy=1)
    assert run_stage(classifier.main) == 1
    assert "expected an accuracy of 1 on the test images (classifier.minimum_accuracy), received 0." in (
        capsys.readouterr().err
    )
    assert not (processed / classifier.WEIGHTS).exists()
    assert not (processed / classifier.METRICS).exists()


def test_a_full_disk_is_an_error_and_leaves_nothing(processed, run_stage, full_disk, capsys):
    set_params(processed, epochs=1, minimum_accuracy=0)
    with full_disk(100_000):
        assert run_stage(classifier.main) == 1
    assert "models/classifier/model.weights.h5 could not be written" in capsys.readouterr().err
    assert not list((processed / "models/classifier").iterdir())
