"""Stage evaluate as DVC runs it: its files, and what it says of a missing or damaged one."""

import json

import keras
import pytest
from synthetic import write_history, write_params

from digit_vae.base.files import write_bytes
from digit_vae.base.paths import CLASSIFIER_WEIGHTS, RunFiles
from digit_vae.config.loading import load_params
from digit_vae.config.runs import find_run, run_params
from digit_vae.evaluation.classifier import build_classifier
from digit_vae.model.vae import build_vae
from digit_vae.model.weights import weights_bytes
from pipeline import evaluate

pytestmark = pytest.mark.usefixtures("cpu")
RUN = "improved-full-0"
FILES = RunFiles("beyond", RUN)


@pytest.fixture
def trained(processed):
    """A project with a run of the graph beyond the paper's, as if it had been trained, and a classifier."""
    keras.utils.set_random_seed(0)
    params = run_params(load_params(), find_run(load_params(), RUN))
    vae = build_vae(params)
    write_bytes(processed / FILES.encoder, weights_bytes(vae.encoder))
    write_bytes(processed / FILES.decoder, weights_bytes(vae.decoder))
    write_history(processed, RUN, params, "beyond")
    write_bytes(processed / CLASSIFIER_WEIGHTS, weights_bytes(build_classifier(10)))
    return processed


def reports(project):
    return {path.name for path in (project / FILES.reports).iterdir()}


def test_an_evaluation_writes_its_files_and_removes_the_checkpoint(trained, run_stage):
    write_bytes(trained / FILES.checkpoint, b"what the training would have gone on from")
    assert run_stage(evaluate.main, RUN) == 0
    assert not (trained / FILES.checkpoint).exists()
    made = (FILES.metrics, FILES.evaluation, FILES.samples, FILES.digits)
    assert [path for path in made if not (trained / path).is_file()] == []
    metrics = json.loads((trained / FILES.metrics).read_bytes())
    assert metrics["validation"] == metrics["test"]
    assert metrics["test"]["images"] == 100
    assert json.loads((trained / FILES.evaluation).read_bytes())["run"] == RUN


@pytest.mark.parametrize(
    ("path", "stage"),
    [
        (FILES.encoder, f"beyond/dvc.yaml:train_recipe@{RUN}"),
        ("data/processed/train_images.npy", "preprocess"),
        ("data/processed/train_labels.npy", "preprocess"),
        ("data/processed/test_labels.npy", "preprocess"),
        ("data/processed/test_images.npy", "preprocess"),
        ("data/processed/splits/full-0.npy", "preprocess"),
    ],
)
def test_one_changed_bit_is_one_line_that_names_file_and_stage(trained, run_stage, capsys, path, stage):
    content = bytearray((trained / path).read_bytes())
    content[-1] ^= 1
    (trained / path).write_bytes(content)
    write_bytes(trained / FILES.checkpoint, b"what the training would have gone on from")
    assert run_stage(evaluate.main, RUN) == 1
    [said] = capsys.readouterr().err.splitlines()
    assert f"{path} is damaged" in said
    assert f"`dvc repro {stage}`" in said
    assert reports(trained) == {"history.json"}
    assert (trained / FILES.checkpoint).exists()


def test_a_run_of_other_params_is_one_line(trained, run_stage, capsys):
    write_params(trained, train={"beta": 2.0})
    assert run_stage(evaluate.main, RUN) == 1
    [said] = capsys.readouterr().err.splitlines()
    assert "other params" in said
    assert reports(trained) == {"history.json"}


def test_a_run_that_is_not_trained_or_not_there_is_one_line(processed, run_stage, capsys):
    assert run_stage(evaluate.main, "baseline-fold0-0") == 1
    assert "classifier" in capsys.readouterr().err
    write_bytes(CLASSIFIER_WEIGHTS, b"a classifier's")
    assert run_stage(evaluate.main, "baseline-fold0-0") == 1
    assert "history.json is missing" in capsys.readouterr().err
    assert run_stage(evaluate.main, "baseline-fold9-0") == 1
    assert "baseline-fold9-0" in capsys.readouterr().err
    assert not (processed / "reports").exists()
