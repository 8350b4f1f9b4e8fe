import hashlib
import json
import re
from dataclasses import asdict

import numpy as np
import pytest
from synthetic import write_manifest

from digit_vae.training.loop import loop as training
from digit_vae.base.errors import UserError
from digit_vae.base.files import write_bytes
from digit_vae.model.vae import build_vae
from digit_vae.config.params import find_run, load_params, run_params, runs
from pipeline import train

pytestmark = pytest.mark.usefixtures("cpu")
FOLD = "data/processed/folds/0.npy"
LOSSES = ("loss", "reconstruction_loss", "kl_loss", "penalty")


@pytest.fixture
def small_project(processed):
    """`processed` with two epochs instead of ten."""
    change_params(processed, "epochs: 10", "epochs: 2")
    return processed


@pytest.fixture
def events(monkeypatch):
    """What is sent to the mirror, in place of a mirror."""
    sent = []

    class Recorder:
        def send(self, event):
            sent.append(json.loads(json.dumps(event)))

        def __enter__(self):
            return self

        def __exit__(self, *_):
            sent.append("closed")

    monkeypatch.setattr(train, "Mirror", Recorder)
    return sent


def change_params(folder, old, new):
    path = folder / "params.yaml"
    path.write_text(path.read_text().replace(old, new))


def change_fold(folder):
    np.save(folder / FOLD, np.arange(0, 300, 10))
    write_manifest(folder / "data/processed")


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_run_becomes_three_files_and_its_events(small_project, run_stage, events, capsys):
    assert run_stage(train.main, "l1_l2-0") == 0

    folder = small_project / "models/l1_l2-0"
    assert {path.name for path in folder.iterdir()} == {"model.weights.h5", "history.json", "timings.json"}
    history, timings = (json.loads((folder / name).read_text()) for name in ("history.json", "timings.json"))

    params = run_params(load_params(), find_run(load_params(), "l1_l2-0"))
    data = small_project / "data/processed"
    assert {key: value for key, value in history.items() if key != "epochs"} == {
        "weights_sha256": sha256(folder / "model.weights.h5"),
        "run": "l1_l2-0",
        "variant": "l1_l2",
        "split": "0",
        "params": asdict(params),
        "data": {"train_images": sha256(data / "train_images.npy"), "validation": sha256(small_project / FOLD)},
    }
    for number, epoch in enumerate(history["epochs"], start=1):
        assert set(epoch) == {"epoch", "health", *LOSSES, *(f"val_{name}" for name in LOSSES)}
        assert epoch["epoch"] == number
        for prefix in ("", "val_"):
            loss, *terms = (epoch[prefix + name] for name in LOSSES)
            assert loss == pytest.approx(sum(terms), rel=1e-5)
    assert len(history["epochs"]) == len(timings["epochs"]) == 2

    assert set(timings) == {
        *("run", "started_at", "finished_at", "git_commit", "inputs_sha256", "machine", "setup_seconds", "epochs")
    }
    assert timings["machine"].items() >= {"device": "cpu", "precision": "float32", "threads": 1, "gpu": None}.items()
    stamps = [timings["started_at"], *(epoch["finished_at"] for epoch in timings["epochs"]), timings["finished_at"]]
    assert stamps == sorted(stamps)

    build_vae(params).load_weights(folder / "model.weights.h5")

    start, first, second, end, closed = events
    assert start["event"] == "start"
    assert start["history"].items() <= (history | {"epochs": []}).items()
    assert start["timings"].items() <= (timings | {"epochs": []}).items()
    assert [first["history"], second["history"]] == history["epochs"]
    assert [first["timing"], second["timing"]] == timings["epochs"]
    assert (end, closed) == ({"event": "end", "run": "l1_l2-0"}, "closed")

    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"run 7 of {len(runs(load_params()))}: l1_l2-0"
    assert ["epoch 1/2" in said[1], "epoch 2/2" in said[2], len(said)] == [True, True, 3]


@pytest.mark.usefixtures("small_project", "events")
def test_a_fold_learns_from_the_images_of_the_others(run_stage, digits, monkeypatch, capsys):
    def train_with(_, images, learn, validation_images, __, start):
        assert [len(part) for part in start] == [0, 0]
        np.testing.assert_array_equal(images, digits[:300])
        np.testing.assert_array_equal(learn, [index for index in range(300) if index % 5])
        np.testing.assert_array_equal(validation_images, digits[:300:5])
        raise UserError("this was all to be seen")

    monkeypatch.setattr(training, "train", train_with)
    assert run_stage(train.main, "l1_l2-0") == 1
    assert "this was all to be seen" in capsys.readouterr().err


@pytest.fixture
def interrupted(small_project, run_stage, events, monkeypatch):
    """A training of `l1_l2-0` that ended after its first epoch; returns what it sent to the mirror."""

    def stop(path, content):
        write_bytes(path, content)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(train, "write_bytes", stop)
        assert run_stage(train.main, "l1_l2-0") == 130
    assert not (small_project / "models").exists()
    sent = events[:]
    events.clear()
    return sent


def results(folder):
    return {path.name: path.read_bytes() for path in (folder / "models").glob("*/[!t]*")}


def test_an_interrupted_training_is_continued_to_the_same_bytes(small_project, run_stage, interrupted, events, capsys):
    assert [path.name for path in (small_project / "checkpoints").iterdir()] == ["l1_l2-0"]
    assert [event["event"] for event in interrupted[:-1]] == ["start"]  # the epoch comes after its checkpoint
    assert run_stage(train.main, "l1_l2-0") == 0
    assert "l1_l2-0: goes on after epoch 1" in capsys.readouterr().out
    timings = json.loads((small_project / "models/l1_l2-0/timings.json").read_text())
    assert timings["started_at"] == interrupted[0]["timings"]["started_at"]
    start, second, end, _ = events
    assert [epoch["epoch"] for epoch in start["history"]["epochs"]] == [1]
    assert (start["timings"]["started_at"], start["timings"]["epochs"]) == (
        timings["started_at"],
        timings["epochs"][:1],
    )
    assert (second["history"]["epoch"], end["event"]) == (2, "end")

    continued = results(small_project)
    assert run_stage(train.main, "l1_l2-0") == 0  # nothing is left to train until the checkpoint is gone
    assert "l1_l2-0: goes on after epoch 2" in capsys.readouterr().out
    assert results(small_project) == continued
    (small_project / "checkpoints/l1_l2-0").unlink()
    assert run_stage(train.main, "l1_l2-0") == 0
    assert results(small_project) == continued
    assert json.loads((small_project / "models/l1_l2-0/timings.json").read_text())["started_at"] > timings["started_at"]


@pytest.mark.usefixtures("interrupted")
@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: (folder / "checkpoints/l1_l2-0").write_bytes(b""), "its checkpoint is damaged: it starts anew"),
        (lambda folder: change_params(folder, "learning_rate: 0.001", "learning_rate: 0.002"), "is of other params"),
        (lambda folder: change_fold(folder), "is of other params, data"),
    ],
    ids=["damaged", "params", "data"],
)
def test_a_checkpoint_that_does_not_fit_is_not_used(small_project, run_stage, events, capsys, spoil, said):
    spoil(small_project)
    assert run_stage(train.main, "l1_l2-0") == 0
    assert said in capsys.readouterr().out
    assert [event["event"] for event in events[:-1]] == ["start", "epoch", "epoch", "end"]
    found = results(small_project)
    (small_project / "checkpoints/l1_l2-0").unlink()
    assert run_stage(train.main, "l1_l2-0") == 0
    assert results(small_project) == found


def test_a_full_disk_is_one_line_and_leaves_the_last_good_files(small_project, run_stage, events, full_disk, capsys):
    assert run_stage(train.main, "l1_l2-0") == 0
    good = results(small_project)
    change_params(small_project, "learning_rate: 0.001", "learning_rate: 0.002")
    with full_disk(1_000_000):
        assert run_stage(train.main, "l1_l2-0") == 1
    assert capsys.readouterr().err == "error: checkpoints/l1_l2-0 could not be written: File too large\n"
    assert results(small_project) == good
    assert [path.name for path in (small_project / "checkpoints").iterdir()] == ["l1_l2-0"]  # the last good one
    assert events[-1] == "closed"
    assert run_stage(train.main, "l1_l2-0") == 0
    assert results(small_project).keys() == good.keys()
    assert results(small_project) != good


def test_weights_that_find_no_room_are_one_line(make_params, full_disk):
    vae = build_vae(make_params())
    with full_disk(100_000), pytest.raises(UserError, match="the weights could not be written to a temporary file: "):
        train.weights_bytes(vae)


@pytest.mark.usefixtures("events")
def test_a_place_that_cannot_be_written_is_one_line_and_costs_no_epoch(small_project, run_stage, capsys):
    (small_project / "models").write_text("in the way")
    assert run_stage(train.main, "l1_l2-0") == 1
    assert "error: models/l1_l2-0/model.weights.h5 could not be written: " in capsys.readouterr().err
    (small_project / "models").unlink()
    assert run_stage(train.main, "l1_l2-0") == 0
    assert "l1_l2-0: goes on after epoch 2" in capsys.readouterr().out


def test_the_hash_of_the_inputs_follows_params_data_and_nothing_else(project):
    def inputs(run="baseline-full", data="a"):
        params = load_params()
        return train.describe(params, find_run(params, run), {"train_images": data}, None).timings["inputs_sha256"]

    before = inputs()
    assert inputs() == before
    assert inputs(data="b") != before
    assert inputs(run="second_run-full") != before
    change_params(project, "learning_rate: 0.001", "learning_rate: 0.002")
    assert inputs() != before


def test_a_run_beyond_a_limit_of_health_that_warns_says_so_at_its_end(small_project, run_stage, capsys):
    change_params(small_project, "warn_dead_share: 0.8", "warn_dead_share: 0.01")
    change_params(small_project, "health:\n  epochs: 5", "health:\n  epochs: 1")
    assert run_stage(train.main, "l1_l2-0") == 0
    [line] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("l1_l2-0: warning: ")]
    assert re.search(r"\d+ of 16 units of layer hidden are dead", line)


def test_a_run_beyond_a_limit_of_health_that_fails_ends_there(small_project, run_stage, capsys):
    change_params(small_project, "fail_dead_share: 1.0", "fail_dead_share: 0.001")
    change_params(small_project, "health:\n  epochs: 5", "health:\n  epochs: 2")
    assert run_stage(train.main, "l1_l2-0") == 1
    assert re.search(r"error: \d+ of \d+ units of layer \w+ are dead: expected less", capsys.readouterr().err)
    assert not (small_project / "models/l1_l2-0").exists()


def test_a_diverging_run_writes_nothing_and_does_not_end_in_the_mirror(small_project, run_stage, events, capsys):
    change_params(small_project, "learning_rate: 0.001", "learning_rate: 10")
    assert run_stage(train.main, "baseline-0") == 1
    assert "training diverged" in capsys.readouterr().err
    assert not (small_project / "models").exists()
    assert events[-1] == "closed"
    assert {"event": "end", "run": "baseline-0"} not in events


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ("baseline-9", "there is no run 'baseline-9' in params.yaml; it has baseline-full, baseline-0"),
        ("baseline-1", "folds/1.npy is missing: `dvc repro preprocess` makes it"),
    ],
)
def test_a_mistake_is_one_line(processed, run_stage, events, capsys, run, message):
    assert run_stage(train.main, run) == 1
    assert message in capsys.readouterr().err
    assert not (processed / "models").exists()
    assert events == []
