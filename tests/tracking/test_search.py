"""A search in MLflow: its trials under one parent, as they end and from the record."""

import json

import pytest
from mirrored import all_runs, client_of, content, logged, runs_named, stored
from searched import KL, write_searched

from digit_vae.base.errors import UserError, exit_status
from digit_vae.base.paths import SEARCH
from digit_vae.search.record import best
from digit_vae.tracking import follower
from digit_vae.tracking.reading import read_project, read_trial
from digit_vae.tracking.store import CURRENT, PARENT
from digit_vae.tracking.track import main, verify_main

# MLflow's own use of SQLAlchemy
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")


def track():
    return exit_status(lambda: main([]))


@pytest.fixture
def found(mlflow_project, small_params):
    return write_searched(mlflow_project, small_params)


def family(folder):
    [parent] = runs_named(client_of(folder), "search")
    trials = logged(folder)
    assert {run.data.tags[PARENT] for run in trials.values()} == {parent.info.run_id}
    return parent, trials


def test_the_trials_are_brought_in_under_one_parent_and_come_back(mlflow_project, found, capsys):
    assert track() == 0
    assert "8 trials of the search, 8 of them brought in just now" in capsys.readouterr().out
    parent, trials = family(mlflow_project)
    assert trials.keys() == {f"search_{number:02}-fold0-0" for number in range(8)}
    chosen = best(found.trials)
    assert parent.data.metrics == {"search/trials": 8, "search/best": chosen.number, "search/loss": chosen.result.loss}
    assert {run.data.metrics.get("search/loss", None) for run in trials.values()} == {
        each.result.loss if each.result else None for each in found.trials
    }
    client_of(mlflow_project).delete_run(trials["search_03-fold0-0"].info.run_id)
    assert track() == 0
    assert family(mlflow_project)[1].keys() == trials.keys()
    assert exit_status(lambda: verify_main([])) == 0
    assert "0 incomplete" in capsys.readouterr().out


def test_a_second_track_changes_nothing(mlflow_project, found):
    assert found.trials
    assert track() == 0
    before = stored(mlflow_project)
    assert track() == 0
    assert stored(mlflow_project) == before


def test_a_trial_has_its_params_and_a_point_an_epoch(mlflow_project, found):
    assert track() == 0
    chosen = best(found.trials)
    run = logged(mlflow_project)[f"search_{chosen.number:02}-fold0-0"]
    options = {name: str(value) for name, value in chosen.options.items()}
    assert options.items() <= run.data.params.items()
    assert (run.data.params["epochs"], run.data.params["seed"]) == ("2", "0")
    history = client_of(mlflow_project).get_metric_history(run.info.run_id, "train/val_loss")
    assert [(point.step, point.value) for point in history] == list(enumerate(chosen.result.epochs["val_loss"], 1))
    assert run.data.metrics["train/val_kl_loss"] == KL
    assert run.data.metrics["health/dead_units/hidden"] == 3
    assert (run.data.tags["round"], run.data.tags["split"]) == (str(chosen.round), "fold0")


def test_a_trial_that_diverged_is_there_with_the_reason(mlflow_project, small_params):
    found = write_searched(mlflow_project, small_params)
    lines = SEARCH.read_text(encoding="utf-8")
    content = json.loads(lines)
    content["trials"][2] |= {"result": None, "failed": "training diverged: loss is nan"}
    SEARCH.write_text(json.dumps(content), encoding="utf-8")
    assert track() == 0
    run = logged(mlflow_project)["search_02-fold0-0"]
    assert "training diverged: loss is nan" in run.data.tags["mlflow.note.content"]
    assert not run.data.metrics
    assert len(logged(mlflow_project)) == len(found.trials)


def test_as_trials_end_they_are_logged_as_from_the_record(mlflow_project, found):
    names = [f"search_{each.number:02}-fold0-0" for each in found.trials]
    follower.follow([json.dumps({"event": "trial", "run": name}) + "\n" for name in names])
    client = client_of(mlflow_project)
    as_they_ended = {name: content(client, run) for name, run in logged(mlflow_project).items()}
    assert as_they_ended.keys() == set(names)
    assert track() == 0
    assert {name: content(client, run) for name, run in logged(mlflow_project).items()} == as_they_ended


def test_a_trial_without_a_record_is_a_warning_and_ends_nothing(mlflow_project, found, capsys):
    assert found.trials
    lines = [json.dumps({"event": "trial", "run": f"search_{number}-fold0-0"}) + "\n" for number in ("99", "00")]
    follower.follow(lines)
    assert "search_99-fold0-0 is not logged" in capsys.readouterr().err
    assert logged(mlflow_project).keys() == {"search_00-fold0-0"}
    with pytest.raises(UserError, match="expected a trial called search_99-fold0-0"):
        read_trial("search_99-fold0-0")


def test_a_search_that_was_made_anew_supersedes_the_one_before(mlflow_project, found):
    assert track() == 0
    content = json.loads(SEARCH.read_text(encoding="utf-8"))
    for each in content["trials"]:
        each["made"]["started_at"] += 1000
    SEARCH.write_text(json.dumps(content), encoding="utf-8")
    assert track() == 0
    trials = [run for run in all_runs(client_of(mlflow_project)) if "run" in run.data.tags]
    current = [run.data.tags[CURRENT] for run in trials]
    assert (current.count("true"), current.count("false")) == (len(found.trials), len(found.trials))


def test_without_a_search_there_is_none(mlflow_project, small_params, capsys):
    assert read_project(small_params).trials == []
    assert track() == 0
    assert "search" not in capsys.readouterr().out
    assert mlflow_project
