import json
import re

import pytest
from searched import DATA, searched, trial, write_searched

from digit_vae.base.errors import UserError
from digit_vae.base.paths import SEARCH
from digit_vae.search.inputs import inputs_of
from digit_vae.search.record import NOTHING, best, loss_of, made_of, read_search, result_of, write_search

OPTIONS = {"learning_rate": 0.003, "warmup_steps": 3, "hidden_bias": 1.0, "initializer": "he_normal"}
HISTORY = {
    "epochs": [
        {"epoch": epoch, "loss": 150.0, "val_loss": 151.0 - epoch, "val_reconstruction_loss": 144.25 - epoch,
         "val_kl_loss": 6.5, "penalty": 0.25,
         "health": {"dead_units": {"hidden": 4 - epoch}, "collapsed_dimensions": 1}}
        for epoch in (1, 2)
    ]
}  # fmt: skip


def test_what_is_written_is_read_back_with_a_line_for_each_trial(project, small_params):
    found = write_searched(project, small_params)
    assert read_search() == found
    lines = SEARCH.read_text(encoding="utf-8").splitlines()
    assert sum(line.startswith('{"failed"') for line in lines) == len(found.trials) == 8
    before = SEARCH.read_bytes()
    write_search(read_search())
    assert SEARCH.read_bytes() == before


def test_without_a_file_and_without_trials_there_is_no_search(project):
    assert read_search() == NOTHING
    write_search(NOTHING)
    assert read_search() == NOTHING
    assert project


def test_the_committed_record_is_sound(request, monkeypatch):
    monkeypatch.chdir(request.config.rootpath)
    assert read_search().trials


def test_trials_stand_in_the_order_of_their_numbers(small_params):
    found = searched(small_params)
    backwards = NOTHING.model_copy(update={"inputs": found.inputs})
    for each in reversed(found.trials):
        backwards = backwards.with_trial(each)
    assert backwards == found


def test_the_loss_is_the_negative_elbo_after_the_last_epoch():
    """Without the penalty, which is none of the ELBO."""
    result = result_of(HISTORY)
    assert (result.loss, result.kl) == (142.25 + 6.5, 6.5)
    assert result.epochs["val_loss"] == [150.0, 149.0]
    assert (result.dead_units, result.collapsed_dimensions) == ({"hidden": 2}, 1)


def test_what_the_machine_decides_stands_apart():
    machine = {"cpu": "A", "cores": 2, "gpu": None, "device": "cpu", "precision": "float32", "instructions": ["avx"]}
    epoch = {"epoch": 1, "train_seconds": 3.14159, "validation_seconds": 0.5, "finished_at": 1000.126}
    made = made_of({"started_at": 990.0, "git_commit": "c", "machine": machine, "epochs": [epoch]}, 1001.5)
    assert made.epochs == {"train_seconds": [3.14], "validation_seconds": [0.5], "finished_at": [1000.13]}
    assert made.machine == {"cpu": "A", "cores": 2, "gpu": None, "device": "cpu", "precision": "float32"}


def test_of_equal_trials_the_first_is_the_best(small_params):
    trials = [trial(small_params, number, OPTIONS) for number in range(3)]
    diverged = trial(small_params, 3, OPTIONS | {"learning_rate": 0.01})
    assert best([diverged, *reversed(trials)]) == trials[0]
    assert loss_of(diverged) == float("inf")
    assert best([diverged]) is None


DAMAGES = {
    "no JSON": lambda _: b"{",
    "another shape": lambda _: b"[]",
    "no number": lambda content: json.dumps(content["trials"][0].update(number="one") or content).encode(),
    "an unknown key": lambda content: json.dumps(content | {"more": 1}).encode(),
    "a trial twice": lambda content: json.dumps(content | {"trials": 2 * content["trials"][:1]}).encode(),
    "a loss that is no number": lambda content: re.sub(
        r'"loss": \[[0-9.]+', '"loss": [NaN', json.dumps(content)
    ).encode(),
    "a machine without a name": lambda content: json.dumps(
        content["trials"][0]["made"]["machine"].pop("cpu") and content
    ).encode(),
    "no space": lambda content: json.dumps(content["inputs"].pop("search.space") and content).encode(),
    "no training images": lambda content: json.dumps(
        content["inputs"]["data"].pop("train_images") and content
    ).encode(),
    "an option less": lambda content: json.dumps(
        content["trials"][1]["options"].pop("learning_rate") and content
    ).encode(),
    "none of the choices": lambda content: json.dumps(
        content["trials"][1]["options"].update(initializer="zeros") or content
    ).encode(),
    "no dead units": lambda content: json.dumps(
        content["trials"][0]["result"]["dead_units"].pop("hidden") and content
    ).encode(),
    "no inputs": lambda content: json.dumps(content | {"inputs": {}}).encode(),
    "no result": lambda content: json.dumps(content["trials"][0].update(result=None, failed=None) or content).encode(),
    "a loss of fewer epochs": lambda content: json.dumps(
        content["trials"][1]["result"]["epochs"]["val_loss"].pop() and content
    ).encode(),
    "no clock": lambda content: json.dumps(
        content["trials"][0]["made"]["epochs"].pop("finished_at") and content
    ).encode(),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_record_is_one_sentence(project, small_params, damage):
    write_searched(project, small_params)
    content = json.loads(SEARCH.read_text(encoding="utf-8"))
    SEARCH.write_bytes(DAMAGES[damage](content))
    with pytest.raises(UserError, match=rf"^{SEARCH} is damaged .*`digit-vae search --anew`") as error:
        read_search()
    assert "\n" not in str(error.value)


def test_a_full_disk_leaves_the_record_as_it_was(project, small_params, full_disk):
    found = write_searched(project, small_params)
    before = SEARCH.read_bytes()
    with full_disk(len(before) // 2), pytest.raises(UserError, match="could not be written"):
        write_search(found)
    assert SEARCH.read_bytes() == before


def test_inputs_are_those_that_the_record_gives_back(project, small_params):
    write_searched(project, small_params)
    assert read_search().inputs == inputs_of(small_params, DATA)
