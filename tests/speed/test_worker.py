import json
import time
from pathlib import Path

import numpy as np
import pytest

from digit_vae.speed import keras_fit as stock_keras
from digit_vae.base.errors import UserError
from digit_vae.base.files import write_npy
from pipeline import worker

MEASURED = ("loss", "reconstruction_loss", "val_loss", "train_seconds", "cpu_seconds")


@pytest.fixture
def job(processed, make_params):
    """One epoch on the fold of `processed`."""
    return {
        "params": vars(make_params(epochs=1)),
        "images": str(processed / "data/processed/train_images.npy"),
        "validations": [str(processed / "data/processed/folds/0.npy")],
    }


def told(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.usefixtures("cpu")
def test_a_run_tells_its_epochs_and_what_it_took(job, run_stage, capsys):
    test_images = job["images"].replace("train_images", "test_images")
    job |= {"work": "train", "validations": [*job["validations"], test_images]}
    assert run_stage(worker.main, json.dumps(job)) == 0
    *epochs, last = told(capsys)
    runs = last["result"]["runs"]
    assert [run["epochs"] for run in runs] == [[each["epoch"]] for each in epochs]
    assert epochs[0]["epoch"].keys() >= set(MEASURED)
    assert 0 < runs[0]["epochs"][0]["cpu_seconds"] < runs[1]["epochs"][0]["cpu_seconds"] <= time.process_time()
    assert runs[0]["started_at"] <= runs[0]["finished_at"] <= runs[1]["started_at"]
    assert runs[0]["peak_bytes"] > 100 * 2**20


@pytest.mark.usefixtures("cpu")
def test_a_machine_tells_its_fingerprint_and_rate(run_stage, monkeypatch, capsys):
    monkeypatch.setattr(worker, "MATRIX_SIZE", {"cpu": 64})
    assert run_stage(worker.main, json.dumps({"work": "machine", "device": "cpu", "precision": "mixed_bfloat16"})) == 0
    (last,) = told(capsys)
    machine = last["result"]["machine"]
    assert (machine["device"], machine["precision"], machine["threads"]) == ("cpu", "mixed_bfloat16", 1)
    assert last["result"]["matrix_gflops"] > 0


def test_keras_gets_what_each_fold_learns_from_as_floats(job, run_stage, monkeypatch, digits, capsys):
    given = []

    def fit(params, images, validation_images):
        given.append((params.epochs, images, validation_images))
        return [2.0, 1.0], 160.5

    monkeypatch.setattr(stock_keras, "fit", fit)
    write_npy(job_fold := (Path(job["images"]).parent / "folds/1.npy"), np.arange(1, 300, 5))
    job |= {"work": "keras", "validations": [*job["validations"], str(job_fold)]}
    assert run_stage(worker.main, json.dumps(job)) == 0
    assert told(capsys) == [{"result": {"epoch_seconds": [[2.0, 1.0]] * 2, "val_losses": [160.5] * 2}}]
    assert [(epochs, len(images)) for epochs, images, _ in given] == [(1, 240), (1, 240)]
    assert given[1][1].dtype == np.float32
    np.testing.assert_allclose(given[1][2] * 255, digits[1:300:5], rtol=1e-6)


@pytest.mark.usefixtures("project")
def test_a_users_mistake_is_told_and_raised_by_who_asked(make_params, monkeypatch):
    root = Path(worker.__file__).parent.parent
    monkeypatch.setenv("PYTHONPATH", f"{root}:{root / 'src'}")
    job = {"work": "train", "params": vars(make_params()), "images": "nowhere.npy", "validations": []}
    with pytest.raises(UserError, match=r"^nowhere\.npy is missing: `dvc repro preprocess` makes it"):
        worker.measure(job)


def fake(monkeypatch, code):
    """Lets `code` be the worker's process."""
    monkeypatch.setattr(worker.sys, "executable", "/bin/sh")
    popen = worker.subprocess.Popen
    monkeypatch.setattr(worker.subprocess, "Popen", lambda _, **options: popen(["/bin/sh", "-c", code], **options))


def test_epochs_are_passed_on_and_the_process_is_timed(monkeypatch):
    fake(monkeypatch, """echo '{"epoch": {"epoch": 1}}'; echo '{"epoch": {"epoch": 2}}'; echo '{"result": {"a": 5}}'""")
    seen = []
    result = worker.measure({"work": "train"}, seen.append)
    assert seen == [{"epoch": 1}, {"epoch": 2}]
    assert result["a"] == 5
    assert result["process_seconds"] > 0


@pytest.mark.parametrize("code", ["exit 3", """echo '{"result": {}}'; exit 3"""])
def test_a_process_that_dies_is_an_error(monkeypatch, code):
    fake(monkeypatch, code)
    with pytest.raises(UserError, match="measuring train ended with exit status 3"):
        worker.measure({"work": "train"})
