import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from mirrored import all_runs, client_of, logged, stored
from mlflow import MlflowClient
from synthetic import EPOCH_SECONDS, STARTED, history, timings, write_evaluation, write_run

import digit_vae
from digit_vae.config.loading import load_params
from digit_vae.config.runs import runs
from digit_vae.tracking import follower
from digit_vae.tracking.mirror import FOLLOWER
from digit_vae.tracking.track import track

# MLflow's own use of SQLAlchemy
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

RUN, OTHER = "baseline-fold0-0", "baseline-fold1-0"
CLOSED = "http://127.0.0.1:9"


def events(run, *, epochs=3, end=True):
    """What a trainer sends, one JSON object a line."""
    losses, seconds = history(run, epochs), timings(run, epochs)
    start = {"history": losses | {"epochs": []}, "timings": seconds | {"epochs": []}}
    sent = [{"event": "start", "run": run} | start]
    for each, timing in zip(losses["epochs"], seconds["epochs"], strict=True):
        sent.append({"event": "epoch", "run": run, "history": each, "timing": timing})
    if end:
        sent.append({"event": "end", "run": run})
    return [json.dumps(event) + "\n" for event in sent]


def test_a_training_that_ends_is_complete(mlflow_project, capsys):
    write_run(mlflow_project, RUN)
    follower.follow(events(RUN))
    run = logged(mlflow_project)[RUN]
    assert run.info.status == "FINISHED"
    track()
    assert "0 of them brought in" in capsys.readouterr().out
    assert logged(mlflow_project)[RUN].to_dictionary() == run.to_dictionary()


def test_the_end_of_the_input_without_an_end_is_a_killed_run(mlflow_project):
    *whole, _ = events(RUN, end=False)
    follower.follow([*whole, '{"event": "epo'])
    run = logged(mlflow_project)[RUN]
    assert run.info.status == "KILLED"
    assert run.data.metrics["train/loss"] == history(RUN)["epochs"][1]["loss"]


def test_one_of_several_runs_dies(mlflow_project):
    write_run(mlflow_project, RUN)
    first, other = events(RUN), events(OTHER, end=False)
    follower.follow([first[0], other[0], *first[1:], *other[1:]])
    statuses = {name: run.info.status for name, run in logged(mlflow_project).items()}
    assert statuses == {RUN: "FINISHED", OTHER: "KILLED"}


def test_a_run_of_an_experiment_of_dvc_is_logged_in_the_projects_store(mlflow_project, tmp_path_factory, monkeypatch):
    write_run(mlflow_project, RUN)
    track()
    elsewhere = tmp_path_factory.mktemp("experiment")
    (elsewhere / "params.yaml").write_bytes((mlflow_project / "params.yaml").read_bytes())
    write_run(elsewhere, RUN)
    with monkeypatch.context() as experiment:
        experiment.chdir(elsewhere)
        experiment.setenv("DVC_ROOT", str(mlflow_project))
        experiment.setenv("DVC_EXP_NAME", "tidy-owl")
        follower.follow(events(RUN))
        write_evaluation(elsewhere, RUN, elbo=-151.5)
        follower.follow(events(RUN)[-1:])  # as mirror_evaluation sends it
    found = logged(mlflow_project)
    assert found.keys() == {RUN, f"tidy-owl/{RUN}"}
    assert found[f"tidy-owl/{RUN}"].data.metrics["test/elbo"] == -151.5
    assert {run.data.tags["digit_vae.current"] for run in all_runs(client_of(mlflow_project))} == {"true"}
    assert {path.name for path in elsewhere.iterdir()} == {"params.yaml", "models", "reports"}


def test_without_a_server_there_is_one_warning(project, monkeypatch, capsys):
    write_run(project, RUN)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", CLOSED)
    follower.follow(events(RUN))
    (warning,) = capsys.readouterr().err.splitlines()
    assert warning.startswith(f"warning: {RUN} is not logged from its start on")
    assert "make track" in warning


def test_what_was_not_logged_is_brought_in_once_with_its_own_times(mlflow_project, monkeypatch):
    write_run(mlflow_project, RUN)
    with monkeypatch.context() as down:
        down.setenv("MLFLOW_TRACKING_URI", CLOSED)
        follower.follow(events(RUN))
    track()
    run = logged(mlflow_project)[RUN]
    assert (run.info.status, run.info.start_time) == ("FINISHED", STARTED * 1000)
    logged_at = client_of(mlflow_project).get_metric_history(run.info.run_id, "train/loss")
    assert [point.timestamp for point in logged_at] == [(STARTED + epoch * EPOCH_SECONDS) * 1000 for epoch in (1, 2, 3)]
    before = stored(mlflow_project)
    track()
    assert stored(mlflow_project) == before


def test_a_server_that_does_not_answer_is_given_up(project, monkeypatch, capsys):
    write_run(project, RUN)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        follower.follow(events(RUN))
    (warning,) = capsys.readouterr().err.splitlines()
    assert warning.startswith(f"warning: {RUN} is not logged from its start on")


def test_a_server_that_went_away_and_came_back_has_all_at_the_end(mlflow_project, monkeypatch, capsys):
    write_run(mlflow_project, RUN)
    its = follower.Follower()
    start, *epochs, end = map(json.loads, events(RUN))
    its.take(start)
    with monkeypatch.context() as away:
        gone = MlflowClient(tracking_uri=CLOSED)
        away.setattr(MlflowClient, "log_batch", lambda *_, **__: gone.get_experiment("1"))
        for epoch in epochs:
            its.take(epoch)
    its.take(end)
    its.close()
    (warning,) = capsys.readouterr().err.splitlines()
    assert f"{RUN} is not logged from epoch 1 on" in warning
    assert logged(mlflow_project)[RUN].info.status == "FINISHED"
    track()
    assert "0 of them brought in" in capsys.readouterr().out


def start(names):
    """A follower each, in a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(Path(digit_vae.__file__).parents[1])}
    return {name: subprocess.Popen(FOLLOWER, stdin=subprocess.PIPE, text=True, env=environment) for name in names}


@pytest.mark.parametrize("writers", [2, pytest.param(8, marks=pytest.mark.slow)])
def test_followers_that_make_the_store_at_once_lose_nothing(project, monkeypatch, writers):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    its = runs(load_params())[:writers]
    for run in its:
        write_run(project, run.name, graph=run.graph)
    followers = start([run.name for run in its])
    for name, process in followers.items():
        process.stdin.write("".join(events(name)))
    for process in followers.values():
        process.communicate()
    assert [process.returncode for process in followers.values()] == [0] * writers
    for name, run in logged(project).items():
        assert run.info.status == "FINISHED"
        assert run.data.metrics["train/loss"] == history(name)["epochs"][-1]["loss"]
    assert logged(project).keys() == set(followers)


def wait_for_the_last_epoch(folder, process):
    """Until the process has logged all epochs of RUN."""
    last = history(RUN)["epochs"][-1]["loss"]
    while not any(run.data.metrics.get("train/loss") == last for run in logged_so_far(folder)):
        assert process.poll() is None
        time.sleep(0.2)


def logged_so_far(folder):
    return logged(folder).values() if client_of(folder).get_experiment_by_name("digit-vae") else ()


def test_a_killed_follower_leaves_a_run_that_the_next_call_completes(mlflow_project, capsys):
    write_run(mlflow_project, RUN)
    process = start([RUN])[RUN]
    process.stdin.write("".join(events(RUN, end=False)))
    process.stdin.flush()
    wait_for_the_last_epoch(mlflow_project, process)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert logged(mlflow_project)[RUN].info.status == "RUNNING"
    track()
    assert "1 of them brought in" in capsys.readouterr().out
    assert logged(mlflow_project)[RUN].info.status == "FINISHED"


def test_an_interrupt_is_for_the_trainer_alone(mlflow_project):
    write_run(mlflow_project, RUN)
    process = start([RUN])[RUN]
    *before, end = events(RUN)
    process.stdin.write("".join(before))
    process.stdin.flush()
    wait_for_the_last_epoch(mlflow_project, process)
    process.send_signal(signal.SIGINT)
    process.communicate(end)
    assert process.returncode == 0
    assert logged(mlflow_project)[RUN].info.status == "FINISHED"
