import json
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest

from digit_vae.base.errors import UserError
from digit_vae.speed import keras_fit, steps, worker
from digit_vae.speed.bench import write_repeated

MEASURED = ("loss", "reconstruction_loss", "val_loss", "train_seconds", "cpu_seconds")


@pytest.fixture
def work(processed, make_params, monkeypatch, capsys):
    """Does a job as the process of its own would, in this one; returns what it tells."""
    del processed

    def do(**job):
        settings = {"params": vars(make_params(epochs=1)), "splits": ["fold0-0"]}
        monkeypatch.setattr(sys, "argv", ["worker", json.dumps(settings | job)])
        worker.main()
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return do


@pytest.mark.usefixtures("cpu")
def test_a_run_tells_its_epochs_and_what_it_took(work):
    *epochs, last = work(work="train", splits=["fold0-0", "full"])
    runs = last["result"]["runs"]
    assert [run["epochs"] for run in runs] == [[each["epoch"]] for each in epochs]
    assert epochs[0]["epoch"].keys() >= set(MEASURED)
    assert 0 < runs[0]["epochs"][0]["cpu_seconds"] < runs[1]["epochs"][0]["cpu_seconds"] <= time.process_time()
    assert runs[0]["started_at"] <= runs[0]["finished_at"] <= runs[1]["started_at"]
    assert runs[0]["peak_bytes"] > 100 * 2**20


@pytest.mark.parametrize(("platform", "unit"), [("linux", 1024), ("darwin", 1)])
def test_the_peak_of_memory_is_in_bytes_on_every_system(monkeypatch, platform, unit):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(worker.resource, "getrusage", lambda _: SimpleNamespace(ru_maxrss=7))
    assert worker._peak_bytes() == 7 * unit


@pytest.mark.usefixtures("cpu")
def test_a_machine_tells_its_fingerprint_and_rate(work, monkeypatch):
    monkeypatch.setattr(worker, "MATRIX_SIZE", {"cpu": 64})
    (last,) = work(work="machine", device="cpu", precision="mixed_bfloat16")
    machine = last["result"]["machine"]
    assert (machine["device"], machine["precision"], machine["threads"]) == ("cpu", "mixed_bfloat16", 1)
    assert last["result"]["matrix_gflops"] > 0


def test_steps_are_those_of_the_params_in_as_many_rounds_as_asked_for(work, monkeypatch, make_params, digits):
    """What they take with XLA and without is measured in test_steps.py."""
    measured, asked = {"xla": [2.0, 2.5], "no_xla": [3.0, 3.5]}, []

    def step_milliseconds(params, images, **amounts):
        asked.append((params, images, amounts))
        return measured

    monkeypatch.setattr(steps, "step_milliseconds", step_milliseconds)
    params = make_params(batch_size=4)
    (told,) = work(work="steps", params=vars(params), rounds=2)
    assert told == {"result": {"step_milliseconds": measured}}
    [(given, images, amounts)] = asked
    assert (given, amounts) == (params, {"rounds": 2, "steps": worker.STEPS["cpu"]})
    np.testing.assert_array_equal(images, digits[:300])


@pytest.mark.slow
@pytest.mark.usefixtures("cpu")
def test_parts_of_a_large_epoch_and_small_ones_take_turns(work, processed, digits):
    write_repeated(digits[:300], 2, processed / "large.npy")
    *turns, last = work(work="more_data", times=2, large=str(processed / "large.npy"))
    result = last["result"]
    assert result["rounds"] == [turn["epoch"] for turn in turns]
    assert [sorted(turn) for turn in result["rounds"]] == [["large", "small"]] * 2
    assert all(seconds > 0 for turn in result["rounds"] for seconds in turn.values())
    assert result["images"] == 300


def test_keras_gets_what_each_fold_learns_from_as_floats(work, monkeypatch, processed, digits):
    given = []

    def fit(params, images, validation_images):
        given.append((params.epochs, images, validation_images))
        return [2.0, 1.0], 160.5

    monkeypatch.setattr(keras_fit, "fit", fit)
    (told,) = work(work="keras", splits=["fold0-0", "fold1-0"])
    assert told == {"result": {"epoch_seconds": [[2.0, 1.0]] * 2, "val_losses": [160.5] * 2}}
    held_out = np.load(processed / "data/processed/splits/fold1-0.npy")
    _, images, validation_images = given[1]
    assert (len(images), images.dtype) == (300 - len(held_out), np.float32)
    np.testing.assert_allclose(validation_images * 255, digits[:300][held_out], rtol=1e-6)


def test_a_mistake_is_told(work, processed):
    (processed / "data/processed/train_images.npy").unlink()
    (told,) = work(work="train")
    assert "dvc repro preprocess" in told["error"]


def fake(monkeypatch, code):
    """Lets `code` be the worker's process."""
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
    with pytest.raises(UserError, match="train ended with exit status 3"):
        worker.measure({"work": "train"})


def test_what_the_process_says_is_raised_by_who_asked(monkeypatch):
    fake(monkeypatch, """echo '{"error": "expected a GPU"}'""")
    with pytest.raises(UserError, match=r"^expected a GPU$"):
        worker.measure({"work": "train"})
