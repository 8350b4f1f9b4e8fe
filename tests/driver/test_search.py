"""The search: resumed, limited and refused with trainings that a formula stands for, and once for real on Ray."""

import contextlib
import json
import re
import shutil
from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from mirrored import all_runs, client_of
from searched import searched, trial, write_searched
from small_graph import ROOT, drive, lines_until, start
from synthetic import write_params, write_small_project

from digit_vae.base.errors import UserError
from digit_vae.base.paths import SEARCH
from digit_vae.driver import search as driver
from digit_vae.driver.search import DIVERGED, carried_on, opened, trial_params
from digit_vae.search.inputs import inputs_of
from digit_vae.search.proposals import plan_of
from digit_vae.search.record import Search, read_search, trial_run, write_search
from digit_vae.tracking.store import PARENT

COMMAND = ("digit_vae", "search", "--jobs", "2")


class KilledError(Exception):
    """As if the process had been killed."""


@pytest.fixture
def params(small_params):
    return replace(small_params, search=replace(small_params.search, trials=11))


@pytest.fixture
def carry_on(params):
    """Goes on with a record, the trials of a round ending in some order. ends: after so many trials it is killed."""
    plan = plan_of(params)

    def go_on(found, *, order=list, ends=None, more=None):
        kept = [found]

        def train(wanted):
            for number in order(wanted):
                if ends is not None and len(kept) > ends:
                    raise KilledError
                yield trial(params, number, wanted[number])

        with suppress(KilledError):
            carried_on(plan, found, train, lambda made, _: kept.append(made), more)
        return kept[-1]

    return go_on


@pytest.fixture
def nothing(params):
    return Search(inputs=inputs_of(params, {"train_images": "a" * 64, "validation": "b" * 64}), trials=[])


@pytest.mark.parametrize("ends", range(11))
def test_a_search_that_was_killed_ends_as_an_undisturbed_one(params, carry_on, nothing, ends):
    killed = carry_on(nothing, ends=ends, order=reversed)
    assert len(killed.trials) == ends
    assert carry_on(killed) == searched(params)


def test_in_which_order_trials_end_is_the_same_to_the_next_round(params, carry_on, nothing):
    assert carry_on(nothing, order=reversed) == carry_on(nothing) == searched(params)


def test_a_limited_search_makes_so_many_more(carry_on, nothing, params):
    some = carry_on(nothing, more=4)
    assert [each.number for each in some.trials] == [0, 1, 2, 3]
    assert carry_on(some, more=0) == some
    assert carry_on(carry_on(some, more=2), more=100) == searched(params)


def test_a_trial_has_its_options_its_device_and_no_limit_of_health(params):
    params = replace(params, search=replace(params.search, device="gpu"))
    run = trial_run(7, "fold1", 3)
    changed = trial_params(params, run, {"hidden_bias": 1.25})
    assert (run.name, run.split_name) == ("search_07-fold1-3", "fold1-3")
    assert changed.variants["search_07"] == {"hidden_bias": 1.25, "device": "gpu"}
    assert changed.train.device == "cpu"
    assert changed.variants.items() > params.variants.items()
    assert (changed.health.fail_dead_share, changed.health.fail_collapsed) == (None, None)
    assert changed.health.warn_dead_share == params.health.warn_dead_share


@pytest.mark.usefixtures("cpu")
def test_a_loss_that_is_no_number_is_told_by_the_words_that_the_search_looks_for(make_params, digits):
    from digit_vae.training.loop import train

    diverging = make_params(learning_rate=10.0, beta=1e6)
    with pytest.raises(UserError, match=f"^{DIVERGED}"):
        train(diverging, digits, np.arange(300), digits[300:])


def test_trials_are_given_no_test_images(processed):
    arrays = driver.training_images()
    assert len(arrays.train_images) == 300
    assert not any(map(len, arrays[1:]))
    assert processed


def recorded(project, params):
    """The record of the whole search with the data that are there."""
    data = driver.data_hashes(trial_run(0, "fold0", 0))
    found = searched(params, data)
    with contextlib.chdir(project):
        write_search(found)
    return found


def test_what_is_recorded_is_gone_on_with_or_left_for_a_search_anew(processed, params):
    assert opened(params, anew=False).trials == []
    found = recorded(processed, params)
    assert opened(params, anew=False) == found
    assert opened(params, anew=True) == Search(inputs=found.inputs, trials=[])


def test_a_record_of_other_inputs_or_edited_is_refused(processed, params):
    write_searched(processed, params)
    with pytest.raises(UserError, match="data changed since its 11 trials"):
        opened(params, anew=False)
    found = recorded(processed, params)
    with pytest.raises(UserError, match=r"search\.a_round changed since"):
        opened(replace(params, search=replace(params.search, a_round=4)), anew=False)
    edited = found.trials[4].model_copy(update={"options": found.trials[4].options | {"hidden_bias": 0.5}})
    write_search(Search(inputs=found.inputs, trials=[*found.trials[:4], edited, *found.trials[5:]]))
    with pytest.raises(UserError, match="expected trial 4 to have what round 1 proposes"):
        opened(params, anew=False)


def test_a_complete_search_starts_no_cluster(processed, params, monkeypatch, capsys):
    (processed / ".dvc").mkdir()
    found = recorded(processed, params)
    monkeypatch.setattr(driver, "cluster", lambda *_: pytest.fail("a cluster is started"))
    assert driver.search(params) == found
    more = replace(params, search=replace(params.search, trials=20))
    assert driver.search(more, more=0) == found
    assert "11 of 20 trials are recorded" in capsys.readouterr().out


def test_without_dvcs_folder_nothing_is_begun_and_none_is_made(processed, params):
    with pytest.raises(UserError, match=r"^\.dvc is missing.*`git checkout HEAD -- \.dvc`"):
        driver.search(params)
    assert not (processed / ".dvc").exists()


def test_a_trial_that_fails_before_it_has_begun_is_one_sentence(processed, params, monkeypatch):
    """As all do on a machine without the GPU that they ask for."""

    class Failing(SimpleNamespace):
        """In the place of the pool: the one trial ends at once."""

        running, has_room = 1, True

        def train(self, _, run, name):
            self.ended = [(run, name)]

        def poll(self, _):
            return [], self.ended

        def result(self, _):
            raise UserError("expected a GPU")

    monkeypatch.setattr(driver, "Pool", lambda *_: Failing())
    trials = driver.Trials(params, 1, Search(inputs={}, trials=[]), 1)
    with pytest.raises(UserError, match=r"^search_00-fold0-0 failed, .*: expected a GPU$"):
        list(trials({0: {"hidden_bias": 1.0}}))
    assert not (processed / SEARCH).exists()


def test_while_one_searches_another_is_refused(processed, params):
    (processed / ".dvc").mkdir()
    with driver.alone(), pytest.raises(UserError, match="`make search`"):
        driver.search(params)
    assert processed


SMALL = {"trials": 7, "a_round": 3, "startup_rounds": 1, "first": ["wild"]}
SPACE = {"learning_rate": {"low": 0.001, "high": 10.0, "log": True}, "hidden_bias": {"low": 0.0, "high": 2.0}}
PLAIN = ("baseline", "l1_l2", "dropout", "improved", "warmup", "beta_0_5", "beta_2")
VARIANTS = {name: {} for name in PLAIN} | {"wild": {"learning_rate": 10.0, "hidden_bias": 2.0}}


def write_project(folder, digits):
    """The code and few images; of the first trial it is known that it diverges."""
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / ".dvc").mkdir()
    return write_small_project(folder, digits, variants=VARIANTS, search=SMALL | {"space": SPACE})


def trials_of(folder):
    with contextlib.chdir(folder):
        return read_search().trials


def repeated(folder):
    """What of each trial repeats bit for bit."""
    return [(each.number, each.options, each.result, each.failed) for each in trials_of(folder)]


@pytest.mark.integration
@pytest.mark.slow
def test_a_search_on_ray_killed_and_resumed_is_the_undisturbed_one(tmp_path, digits):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        write_project(folder, digits)
    status, out, error = drive(whole, *COMMAND)
    assert (status, error) == (0, "")
    assert "7 of 7 trials are in reports/beyond/search.json" in out
    assert "\n  searched:\n    learning_rate: " in out
    with start(killed, COMMAND) as process:
        for _ in lines_until(process, lambda line: re.search(r"search_0[345]\S* +epoch 1/2", line)):
            pass
        process.kill()
    assert 3 <= len(trials_of(killed)) < 7  # in the second of three rounds
    status, _, error = drive(killed, *COMMAND)
    assert (status, error) == (0, "")
    assert repeated(killed) == repeated(whole)
    assert not list((killed / "checkpoints").glob("search*"))

    first, *others = trials_of(whole)
    assert first.failed.startswith(DIVERGED)
    ended = [each.result for each in others if each.result]
    assert ended
    assert all(len(each.epochs["val_loss"]) == 2 for each in ended)
    assert {path.name for path in (whole / "reports").rglob("*") if path.is_file()} == {"search.json"}
    assert not (whole / "models").exists()

    logged = all_runs(client_of(killed))
    [parent] = [run for run in logged if run.info.run_name == "search"]
    trials = [run for run in logged if run.data.tags.get(PARENT) == parent.info.run_id]
    assert {run.info.run_name for run in trials} == {f"search_{number:02}-fold0-0" for number in range(7)}
    assert sum("train/val_loss" in run.data.metrics for run in trials) == len(ended)

    write_params(killed, variants=VARIANTS, search=SMALL | {"space": SPACE, "startup_rounds": 2})
    before = (killed / SEARCH).read_bytes()
    status, _, error = drive(killed, *COMMAND)
    assert (status, error.count("\n")) == (1, 1)
    assert "search.startup_rounds changed since its 7 trials" in error
    assert (killed / SEARCH).read_bytes() == before
    assert json.loads(before)["trials"]
