"""Stage train as DVC runs it: files and checkpoints on the disk, events to the mirror, mistakes in one line."""

import hashlib
import json
import shutil
import sys

import numpy as np
import pytest
from synthetic import write_params, write_small_project

from digit_vae.base.errors import exit_status
from digit_vae.base.files import write_bytes
from digit_vae.base.paths import PROCESSED, RunFiles
from pipeline import train

pytestmark = pytest.mark.usefixtures("cpu")
RUN = "l1_l2-fold0-0"
FILES = RunFiles("paper", RUN)
RESULTS = (FILES.encoder, FILES.decoder, FILES.history)


def recorder(sent):
    """In place of the mirror: keeps what is sent, as JSON has it, and that it was closed."""

    class Recorder:
        def send(self, event):
            sent.append(json.loads(json.dumps(event)))

        def __enter__(self):
            return self

        def __exit__(self, *_):
            sent.append("closed")

    return Recorder


def kinds(events):
    return [event if isinstance(event, str) else event["event"] for event in events]


@pytest.fixture
def events(monkeypatch):
    sent = []
    monkeypatch.setattr(train, "Mirror", recorder(sent))
    return sent


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def results(root):
    return {path: (root / path).read_bytes() for path in RESULTS}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, digits):
    """A project where the run is trained, which no test changes, and what was sent to the mirror."""
    root, sent = tmp_path_factory.mktemp("undisturbed"), []
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setattr(sys, "argv", ["stage", RUN])
        patch.setattr(train, "Mirror", recorder(sent))
        write_small_project(root, digits)
        assert exit_status(train.main) == 0
    return root, sent


@pytest.fixture
def trained(undisturbed, tmp_path, monkeypatch):
    """A copy of that project, as the working folder."""
    root = tmp_path / "trained"
    shutil.copytree(undisturbed[0], root)
    monkeypatch.chdir(root)
    return root


def test_a_run_becomes_its_files(undisturbed):
    root, _ = undisturbed
    written = {path.relative_to(root) for folder in ("models", "reports") for path in (root / folder).rglob("*.*")}
    assert written == {FILES.encoder, FILES.decoder, FILES.history, FILES.timings}
    history = json.loads((root / FILES.history).read_bytes())
    assert history["weights_sha256"] == {
        "encoder": sha256(root / FILES.encoder),
        "decoder": sha256(root / FILES.decoder),
    }
    data = root / PROCESSED
    assert history["data"] == {
        "train_images": sha256(data / "train_images.npy"),
        "validation": sha256(data / "splits/fold0-0.npy"),
    }
    assert [epoch["epoch"] for epoch in history["epochs"]] == [1, 2]


def test_its_events_reach_the_mirror_without_the_checkpoints(undisturbed):
    root, sent = undisturbed
    history, timings = (json.loads((root / path).read_bytes()) for path in (FILES.history, FILES.timings))
    assert kinds(sent) == ["start", "epoch", "epoch", "end", "closed"]
    assert [event["history"] for event in sent[1:3]] == history["epochs"]
    assert [event["timing"] for event in sent[1:3]] == timings["epochs"]


@pytest.fixture
def interrupted(processed, run_stage, events, monkeypatch):
    """A project whose training ended as soon as its first checkpoint was written."""

    def stop(path, content):
        write_bytes(path, content)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(train, "write_bytes", stop)
        assert run_stage(train.main, RUN) == 130
    assert kinds(events) == ["start", "closed"]  # the epoch comes after its checkpoint
    assert [path.name for path in (processed / "checkpoints").iterdir()] == [RUN]
    assert not (processed / "models").exists()
    events.clear()
    return processed


def test_an_interrupted_training_is_continued_to_the_same_bytes(interrupted, undisturbed, run_stage, events, capsys):
    assert run_stage(train.main, RUN) == 0
    assert "after epoch 1" in capsys.readouterr().out
    assert kinds(events) == ["start", "epoch", "end", "closed"]
    assert results(interrupted) == results(undisturbed[0])


def test_a_full_disk_is_one_line_and_leaves_the_last_good_files(trained, run_stage, events, full_disk, capsys):
    good = results(trained)
    checkpoint = (trained / FILES.checkpoint).read_bytes()
    write_params(trained, train={"learning_rate": 0.002})
    with full_disk(1_000_000):
        assert run_stage(train.main, RUN) == 1
    [said] = capsys.readouterr().err.splitlines()
    assert f"{FILES.checkpoint} could not be written" in said
    assert results(trained) == good
    assert [path.name for path in (trained / "checkpoints").iterdir()] == [RUN]
    assert (trained / FILES.checkpoint).read_bytes() == checkpoint
    assert kinds(events) == ["start", "closed"]


def test_a_place_that_cannot_be_written_is_one_line_and_costs_no_epoch(trained, run_stage, events, capsys):
    checkpoint = (trained / FILES.checkpoint).read_bytes()
    shutil.rmtree(trained / "models")
    (trained / "models").write_bytes(b"in the way")
    assert run_stage(train.main, RUN) == 1
    [said] = capsys.readouterr().err.splitlines()
    assert f"{FILES.encoder} could not be written" in said
    assert kinds(events) == ["start", "closed"]
    assert (trained / FILES.checkpoint).read_bytes() == checkpoint


def test_a_diverging_run_writes_nothing_and_does_not_end_in_the_mirror(processed, run_stage, events, capsys):
    write_params(processed, train={"learning_rate": 10.0})
    assert run_stage(train.main, "baseline-fold0-0") == 1
    [said] = capsys.readouterr().err.splitlines()
    assert "diverged" in said
    assert "learning_rate" in said
    assert not [*(processed / "models").rglob("*.*"), *(processed / "reports").rglob("*.*")]
    assert "end" not in kinds(events)
    assert events[-1] == "closed"


@pytest.mark.parametrize(
    ("spoil", "run", "words"),
    [
        (lambda _: None, "baseline-fold9-0", ["baseline-fold9-0", "baseline-fold0-0"]),
        (lambda data: (data / "splits/fold1-0.npy").unlink(), "baseline-fold1-0", ["fold1-0.npy is missing"]),
        (lambda data: (data / "splits/full-0.npy").write_bytes(b""), "baseline-full-0", ["full-0.npy is damaged"]),
        (lambda data: np.save(data / "train_images.npy", np.zeros(3)), RUN, ["train_images.npy is damaged"]),
        (lambda data: (data / "manifest.json").unlink(), RUN, ["manifest.json is missing", "preprocess"]),
    ],
)
def test_a_mistake_is_one_line_and_starts_nothing(processed, run_stage, events, capsys, spoil, run, words):
    spoil(processed / PROCESSED)
    assert run_stage(train.main, run) == 1
    [said] = capsys.readouterr().err.splitlines()
    assert [word for word in words if word not in said] == []
    assert not (processed / "models").exists()
    assert events == []
