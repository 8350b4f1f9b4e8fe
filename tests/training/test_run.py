"""What a training leaves: files by path that say what they are of, and checkpoints that fit or are left alone."""

import hashlib
import json
from dataclasses import asdict, replace
from typing import NamedTuple

import numpy as np
import pytest

from digit_vae.base.errors import UserError
from digit_vae.base.paths import RunFiles
from digit_vae.config.runs import find_run, run_params
from digit_vae.evaluation.elbo import load_vae
from digit_vae.model.vae import Losses
from digit_vae.training import run as training
from digit_vae.training.division import Images
from digit_vae.training.run import train_run

pytestmark = pytest.mark.usefixtures("cpu")
NAME = "l1_l2-fold0-0"
FILES = RunFiles("paper", NAME)
HELD_OUT = np.arange(0, 300, 5)
DATA = {"train_images": "a" * 64, "validation": "b" * 64}


class StopError(Exception):
    """Ends a training whose start is all that a test wants to see."""


class Made(NamedTuple):
    files: dict
    events: list

    def json(self, path):
        return json.loads(self.files[path])

    @property
    def checkpoints(self):
        return [event["content"] for event in self.events if event["event"] == "checkpoint"]


def make(params, digits, name=NAME, **options):
    """A training of the run on 300 digits, of which each fifth is held out."""
    events = []
    held_out = HELD_OUT if "fold" in name else np.empty(0, np.int64)
    arrays = Images(options.pop("images", digits[:300]), held_out, digits[300:])
    arguments = {"data": DATA, "report": events.append} | options
    return Made(train_run(params, find_run(params, name), arrays, **arguments), events)


def start(params, digits, name=NAME, data=DATA, saved=None, commit=None):
    """How such a training says that it starts."""

    def stop(event):
        raise StopError(event)

    arrays = Images(digits[:300], HELD_OUT, digits[300:])
    with pytest.raises(StopError) as stopped:
        train_run(params, find_run(params, name), arrays, data=data, report=stop, saved=saved, commit=commit)
    return stopped.value.args[0]


def with_train(params, **changes):
    return replace(params, train=replace(params.train, **changes))


@pytest.fixture(scope="module")
def made(small_params, digits, cpu):
    assert cpu["device"] == small_params.train.device
    return make(small_params, digits, commit="c" * 40)


def test_files_are_by_path_and_say_what_they_are_of(made, small_params):
    assert set(made.files) == {FILES.encoder, FILES.decoder, FILES.history, FILES.timings}
    history = made.json(FILES.history)
    assert {key: value for key, value in history.items() if key != "epochs"} == {
        "run": NAME,
        "variant": "l1_l2",
        "split": "fold0",
        "seed": 0,
        "params": asdict(run_params(small_params, find_run(small_params, NAME))),
        "data": DATA,
        "weights_sha256": {
            "encoder": hashlib.sha256(made.files[FILES.encoder]).hexdigest(),
            "decoder": hashlib.sha256(made.files[FILES.decoder]).hexdigest(),
        },
    }
    for number, epoch in enumerate(history["epochs"], start=1):
        assert set(epoch) == {"epoch", "health", *Losses._fields, *(f"val_{name}" for name in Losses._fields)}
        assert epoch["epoch"] == number
        for prefix in ("", "val_"):
            loss, *terms = (epoch[prefix + name] for name in Losses._fields)
            assert loss == pytest.approx(sum(terms), rel=1e-5)


def test_what_the_machine_decides_is_in_a_file_of_its_own(made, cpu):
    timings = made.json(FILES.timings)
    assert set(timings) == {
        *("run", "started_at", "finished_at", "git_commit", "inputs_sha256", "machine", "setup_seconds", "epochs")
    }
    assert (timings["run"], timings["git_commit"]) == (NAME, "c" * 40)
    assert timings["machine"] == cpu | {"precision": "float32"}
    stamps = [timings["started_at"], *(epoch["finished_at"] for epoch in timings["epochs"]), timings["finished_at"]]
    assert stamps == sorted(stamps)
    assert len(timings["epochs"]) == 2


def kl_loss(made, params, name, images, folder):
    """That of the trained weights in its closed form, which is free of the noise of sampling."""
    files = RunFiles("paper", name)
    paths = [folder / path.name for path in (files.encoder, files.decoder)]
    for path, part in zip(paths, (files.encoder, files.decoder), strict=True):
        path.write_bytes(made.files[part])
    vae = load_vae(run_params(params, find_run(params, name)), *paths, made_by="train")
    mean, log_var = (np.asarray(part, np.float64) for part in vae.encoder(images / 255))
    return (0.5 * (mean**2 + np.exp(log_var) - 1 - log_var)).sum(axis=1).mean()


def test_the_weights_are_those_whose_kl_on_the_held_out_images_the_history_has(made, small_params, digits, tmp_path):
    expected = kl_loss(made, small_params, NAME, digits[HELD_OUT], tmp_path)
    assert made.json(FILES.history)["epochs"][-1]["val_kl_loss"] == pytest.approx(expected, rel=1e-4)


def test_events_tell_the_start_then_each_checkpoint_ahead_of_its_epoch(made):
    begun, *rest = made.events
    history, timings = made.json(FILES.history), made.json(FILES.timings)
    assert [event["event"] for event in made.events] == ["start", "checkpoint", "epoch", "checkpoint", "epoch"]
    assert {event["run"] for event in made.events} == {NAME}
    assert begun["history"].items() <= (history | {"epochs": []}).items()
    assert begun["timings"].items() <= (timings | {"epochs": []}).items()
    epochs = [event for event in rest if event["event"] == "epoch"]
    assert [event["history"] for event in epochs] == history["epochs"]
    assert [event["timing"] for event in epochs] == timings["epochs"]
    assert [event["note"] for event in (begun, *epochs)] == [None, None, None]


def test_images_that_are_held_out_are_validated_on_and_not_learnt_from(made, small_params, digits):
    inverted = digits[:300].copy()
    inverted[HELD_OUT] = 255 - inverted[HELD_OUT]
    other = make(with_train(small_params, epochs=1), digits, images=inverted)
    [epoch], (first, _) = (each.json(FILES.history)["epochs"] for each in (other, made))
    assert {name: epoch[name] for name in Losses._fields} == {name: first[name] for name in Losses._fields}
    assert epoch["val_loss"] != pytest.approx(first["val_loss"], rel=0.01)


def test_a_training_goes_on_from_its_checkpoint_to_the_same_bytes(made, small_params, digits):
    again = make(small_params, digits, saved=made.checkpoints[0])
    assert [event["event"] for event in again.events] == ["start", "checkpoint", "epoch"]
    assert "1" in again.events[0]["note"]
    assert again.events[0]["history"]["epochs"] == made.json(FILES.history)["epochs"][:1]
    for path in (FILES.encoder, FILES.decoder, FILES.history):
        assert again.files[path] == made.files[path]
    timings, before = again.json(FILES.timings), made.json(FILES.timings)
    assert timings["started_at"] == before["started_at"]
    assert timings["epochs"][0] == before["epochs"][0]
    assert timings["git_commit"] == before["git_commit"]


@pytest.mark.parametrize("damage", [lambda _: b"", lambda packed: packed[:-1], lambda packed: b"\0" + packed[1:]])
def test_a_damaged_checkpoint_is_not_used(made, small_params, digits, damage):
    event = start(small_params, digits, saved=damage(made.checkpoints[0]))
    assert "damaged" in event["note"]
    assert event["history"]["epochs"] == event["timings"]["epochs"] == []


def test_a_checkpoint_of_other_params_data_run_code_or_machine_is_not_used(made, small_params, digits, monkeypatch):
    saved = made.checkpoints[0]
    assert len(start(small_params, digits, saved=saved)["history"]["epochs"]) == 1
    others = {
        "params": start(with_train(small_params, learning_rate=0.002), digits, saved=saved),
        "data": start(small_params, digits, saved=saved, data=DATA | {"validation": "d" * 64}),
        "run": start(small_params, digits, saved=saved, name="l1_l2-fold1-0"),
    }
    with monkeypatch.context() as patch:
        patch.setattr(training, "code_hashes", lambda *_: {"training/loop.py": "e" * 64})
        others["code"] = start(small_params, digits, saved=saved)
    monkeypatch.setenv("NPY_DISABLE_CPU_FEATURES", "AVX512F")
    others["machine"] = start(small_params, digits, saved=saved)
    assert {name: len(event["history"]["epochs"]) for name, event in others.items()} == dict.fromkeys(others, 0)
    assert all(event["note"] for event in others.values())


def test_the_hash_of_the_inputs_follows_params_data_and_code_alone(small_params, digits, monkeypatch):
    def inputs(params=small_params, **options):
        return start(params, digits, **options)["timings"]["inputs_sha256"]

    before = inputs()
    assert inputs(commit="f" * 40) == before
    assert inputs(replace(small_params, evaluate=replace(small_params.evaluate, seed=9))) == before
    assert inputs(data=DATA | {"train_images": "d" * 64}) != before
    assert inputs(with_train(small_params, learning_rate=0.002)) != before
    monkeypatch.setattr(training, "code_hashes", lambda *_: {"training/loop.py": "e" * 64})
    assert inputs() != before


@pytest.fixture
def one_epoch(small_params):
    """Params of one epoch that is judged with these limits."""
    return lambda **limits: replace(
        with_train(small_params, epochs=1), health=replace(small_params.health, epochs=1, **limits)
    )


def test_a_full_run_is_validated_on_the_test_images_and_warned_of_at_its_end(one_epoch, digits, tmp_path):
    name, params = "baseline-full-0", one_epoch(warn_dead_share=1e-6, warn_collapsed=None)
    made = make(params, digits, name)
    last = made.events[-1]
    expected = kl_loss(made, params, name, digits[300:], tmp_path)
    assert last["history"]["val_kl_loss"] == pytest.approx(expected, rel=1e-4)
    dead = last["history"]["health"]["dead_units"]
    assert [layer for layer in dead if f"layer {layer} " in last["note"]] == [layer for layer in dead if dead[layer]]


def test_a_run_beyond_a_limit_of_health_that_fails_ends_ahead_of_its_checkpoint(made, one_epoch, digits, monkeypatch):
    """Of the first epoch of a training that was made, told once more."""
    events, [first, _] = [], made.json(FILES.history)["epochs"]
    told = training.loop.State([training.loop.Epoch(first, made.json(FILES.timings)["epochs"][0])], [])
    monkeypatch.setattr(training.loop, "train", lambda *arguments: arguments[4](told))
    params = one_epoch(fail_dead_share=0.001)
    with pytest.raises(UserError, match=r"fail_dead_share.* 0.001"):
        make(params, digits, report=events.append)
    assert [event["event"] for event in events] == ["start"]
