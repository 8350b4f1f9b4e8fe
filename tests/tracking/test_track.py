import json
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import measured
import numpy as np
import pytest
from mlflow import MlflowClient
from synthetic import EPOCH_SECONDS, STARTED, history, timings, write_evaluation, write_run

from digit_vae.base.files import write_json, write_npy
from digit_vae.config.params import load_params, runs
from digit_vae.tracking.store import PARENT
from pipeline import track

# MLflow's own use of SQLAlchemy
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

ROOT = Path(__file__).parent.parent
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


def logged(folder):
    """All runs of the store in `folder` by name, without the parents."""
    client = MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")
    found = client.search_runs([client.get_experiment_by_name("digit-vae").experiment_id])
    return {run.info.run_name: run for run in found if "run" in run.data.tags}


def stored(folder):
    """Every row of the store's database, and every artifact."""
    with sqlite3.connect(folder / "mlflow.db") as connection:
        rows = list(connection.iterdump())
    return rows, {path: path.read_bytes() for path in (folder / "mlartifacts").rglob("*") if path.is_file()}


def test_all_runs_with_files_are_brought_in_once(mlflow_project, run_stage, capsys):
    names = [run.name for run in runs(load_params(), extended=False)]
    for name in names[:2]:
        write_run(mlflow_project, name)
    write_json(mlflow_project / "reports/metrics/variants/baseline.json", {"folds": 2})
    assert run_stage(track.main) == 0
    assert logged(mlflow_project).keys() == set(names[:2])
    summary = capsys.readouterr().out
    assert f"2 of {len(names)} runs and 0 of benchmarks, 2 of them brought in just now" in summary
    assert f"not trained yet: {', '.join(names[2:])}" in summary

    before = stored(mlflow_project)
    assert run_stage(track.main) == 0
    assert stored(mlflow_project) == before
    assert "0 of them brought in" in capsys.readouterr().out


def test_an_evaluation_brings_metrics_and_figures(mlflow_project, run_stage):
    write_run(mlflow_project, "baseline-0")
    assert run_stage(track.main) == 0
    write_evaluation(mlflow_project, "baseline-0", elbo=-151.5)
    write_npy(mlflow_project / "data/processed/test_labels.npy", np.arange(12, dtype=np.uint8) % 10)
    assert run_stage(track.main) == 0
    run = logged(mlflow_project)["baseline-0"]
    assert run.data.metrics["validation.elbo"] == -151.5
    artifacts = Path(run.info.artifact_uri.removeprefix("file://"))
    figures = {path.name: path.read_bytes()[:4] for path in (artifacts / "figures").iterdir()}
    expected = ("digits.png", "latent_map.png", "latent_plane.png", "latent_scatter.png", "loss_curves.png")
    assert figures == dict.fromkeys(expected, b"\x89PNG")
    assert {path.name for path in artifacts.iterdir() if path.is_file()} == {
        "history.json",
        "metrics.json",
        "model.weights.h5",
        "samples.npz",
        "timings.json",
    }


def test_figures_that_were_deleted_are_lacking_until_track_draws_them_again(mlflow_project, run_stage, capsys):
    write_run(mlflow_project, "baseline-0")
    assert run_stage(track.main) == 0
    before = stored(mlflow_project)[1]
    (figures,) = mlflow_project.glob("mlartifacts/*/artifacts/figures/loss_curves.png")
    shutil.rmtree(figures.parent)
    assert run_stage(track.main, "--verify") == 0
    assert "lacks artifact figures: `make track` completes it" in capsys.readouterr().out
    assert run_stage(track.main) == run_stage(track.main) == 0
    summaries = capsys.readouterr().out.splitlines()
    assert [re.search(r", (\d) of them brought", line)[1] for line in summaries] == ["1", "0"]
    assert stored(mlflow_project)[1] == before


def test_the_classifier_and_the_reports_figures_and_tables_are_one_run(mlflow_project, run_stage, capsys):
    reports = mlflow_project / "reports"
    write_json(reports / "metrics/classifier.json", {"accuracy": 0.9925})
    for name in ("figures/seeds.png", "tables/seeds.csv", "tables/seeds.md"):
        (reports / name).parent.mkdir(exist_ok=True)
        (reports / name).write_bytes(name.encode())
    write_run(mlflow_project, "baseline-0")
    assert run_stage(track.main) == 0
    client = MlflowClient(tracking_uri=f"sqlite:///{mlflow_project / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("digit-vae").experiment_id
    (run,) = client.search_runs([experiment], "run_name = 'report'")
    assert run.data.metrics == {"classifier.accuracy": 0.9925}
    assert run.data.params["classifier.epochs"] == str(load_params().classifier.epochs)
    artifacts = Path(run.info.artifact_uri.removeprefix("file://"))
    assert {path.name for path in artifacts.iterdir() if path.is_file()} == {
        "classifier.json",
        "seeds.csv",
        "seeds.png",
    }
    before = stored(mlflow_project)
    assert run_stage(track.main) == 0
    assert stored(mlflow_project) == before
    assert run_stage(track.main, "--verify") == 0
    assert "3 present: " in capsys.readouterr().out


def test_recorded_benchmarks_become_runs_of_one_parent_each_and_only_once(mlflow_project, run_stage, capsys):
    folder = mlflow_project / "reports/benchmarks"
    write_json(folder / "a-cpu.json", measured.benchmark(seeds=2))
    write_json(folder / "a-gpu.json", measured.benchmark(seeds=1, machine=measured.GPU))
    assert run_stage(track.main) == 0
    assert "and 3 of benchmarks, 3 of them brought in just now" in capsys.readouterr().out
    runs_by_name = logged(mlflow_project)
    assert runs_by_name.keys() == {"a-cpu-seed-0", "a-cpu-seed-1", "a-gpu-seed-0"}
    run = runs_by_name["a-cpu-seed-1"]
    assert {
        "device": "cpu",
        "precision": "float32",
        "machine": "Some CPU @ 2GHz, 2 cores",
    }.items() <= run.data.tags.items()
    assert (run.data.metrics["train_seconds"], run.data.metrics["val_loss"]) == (11, 181)
    assert run.data.metrics["matrix_gflops"] == 100
    assert runs_by_name["a-gpu-seed-0"].data.tags["machine"] == "Some GPU"
    client = MlflowClient(tracking_uri=f"sqlite:///{mlflow_project / 'mlflow.db'}")
    parents = {client.get_run(runs_by_name[f"a-cpu-seed-{seed}"].data.tags[PARENT]).info.run_name for seed in (0, 1)}
    assert parents == {"a-cpu"}
    parent = client.get_run(run.data.tags[PARENT])
    assert parent.data.metrics["epoch_seconds.median"] == 10.5
    assert [point.step for point in client.get_metric_history(run.info.run_id, "train_seconds")] == [1, 2]

    before = stored(mlflow_project)
    assert run_stage(track.main) == 0
    assert stored(mlflow_project) == before
    assert run_stage(track.main, "--verify") == 0
    assert "5 present: " in capsys.readouterr().out


def test_verify_says_what_belongs_and_fails_for_what_the_files_do_not_say(mlflow_project, run_stage, capsys):
    for name in ("baseline-0", "baseline-1"):
        write_run(mlflow_project, name)
        write_evaluation(mlflow_project, name)
        assert run_stage(track.main) == 0
    capsys.readouterr()
    assert run_stage(track.main, "--verify") == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "3 present: " in out
    assert "0 incomplete\n0 superseded\n0 training\n0 not there" in out

    write_evaluation(mlflow_project, "baseline-1", elbo=-1.0)
    write_run(mlflow_project, "baseline-0", started_at=1_800_000_000.0)
    assert run_stage(track.main, "--verify") == 1
    out, err = capsys.readouterr()
    run_id = logged(mlflow_project)["baseline-1"].info.run_id
    assert f"baseline-1 ({run_id}) claims metric test.elbo -155.0, the files say -1.0\n" in out
    assert "claims to be the run of the present files, which are another attempt's" in out
    assert "1 not there, `make track` brings them in: baseline-0\n" in out
    assert "error: 2 of 3 runs in MLflow claim what the files do not say" in err

    assert run_stage(track.main) == 0
    assert run_stage(track.main, "--verify") == 0


def test_verify_says_what_a_run_lacks_and_track_completes_it(mlflow_project, run_stage, capsys):
    write_run(mlflow_project, "baseline-0")
    track.follow(events("baseline-0", end=False)[:2])
    assert run_stage(track.main, "--verify") == 0
    out = capsys.readouterr().out
    run_id = logged(mlflow_project)["baseline-0"].info.run_id
    assert f"1 incomplete: baseline-0 ({run_id[:8]})\n" in out
    lacks = r"metric kl_loss of epoch 2, metric kl_loss of epoch 3, metric loss of epoch 2 and \d+ more"
    assert re.search(rf"^baseline-0 \({run_id}\) lacks {lacks}: `make track` completes it$", out, re.MULTILINE)
    assert run_stage(track.main) == 0
    assert run_stage(track.main, "--verify") == 0
    assert "0 incomplete\n" in capsys.readouterr().out


def test_a_renamed_run_is_there_under_a_false_name_until_track_names_it(mlflow_project, run_stage, capsys):
    write_run(mlflow_project, "baseline-0")
    assert run_stage(track.main) == 0
    run_id = logged(mlflow_project)["baseline-0"].info.run_id
    client = MlflowClient(tracking_uri=f"sqlite:///{mlflow_project / 'mlflow.db'}")
    client.update_run(run_id, name="the best")
    assert run_stage(track.main, "--verify") == 1
    out = capsys.readouterr().out
    assert "0 not there\n" in out
    assert f"baseline-0 ({run_id}) claims run name the best, the files say baseline-0\n" in out
    assert run_stage(track.main) == run_stage(track.main, "--verify") == 0


def test_a_damaged_file_is_one_line(mlflow_project, run_stage, capsys):
    write_run(mlflow_project, "baseline-0")
    (mlflow_project / "models/baseline-0/timings.json").write_text("{")
    assert run_stage(track.main) == 1
    assert "models/baseline-0/timings.json is damaged" in capsys.readouterr().err


def test_a_training_that_ends_is_complete(mlflow_project, capsys):
    write_run(mlflow_project, "baseline-0")
    track.follow(events("baseline-0"))
    run = logged(mlflow_project)["baseline-0"]
    assert run.info.status == "FINISHED"
    track.track()
    assert "0 of them brought in" in capsys.readouterr().out
    assert logged(mlflow_project)["baseline-0"].to_dictionary() == run.to_dictionary()


def test_the_end_of_the_input_without_an_end_is_a_killed_run(mlflow_project):
    *whole, _ = events("baseline-0", end=False)
    track.follow([*whole, '{"event": "epo'])
    run = logged(mlflow_project)["baseline-0"]
    assert run.info.status == "KILLED"
    assert run.data.metrics["loss"] == history("baseline-0")["epochs"][1]["loss"]


def test_one_of_several_runs_dies(mlflow_project):
    write_run(mlflow_project, "baseline-0")
    first, other = events("baseline-0"), events("baseline-1", end=False)
    track.follow([first[0], other[0], *first[1:], *other[1:]])
    statuses = {name: run.info.status for name, run in logged(mlflow_project).items()}
    assert statuses == {"baseline-0": "FINISHED", "baseline-1": "KILLED"}


def test_without_a_server_there_is_one_warning(project, monkeypatch, capsys):
    write_run(project, "baseline-0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", CLOSED)
    track.follow(events("baseline-0"))
    (warning,) = capsys.readouterr().err.splitlines()
    assert warning.startswith("warning: baseline-0 is not logged from its start on; `make track` brings it in later")


def test_what_was_not_logged_is_brought_in_once_with_its_own_times(mlflow_project, monkeypatch):
    write_run(mlflow_project, "baseline-0")
    with monkeypatch.context() as down:
        down.setenv("MLFLOW_TRACKING_URI", CLOSED)
        track.follow(events("baseline-0"))
    track.track()
    run = logged(mlflow_project)["baseline-0"]
    assert (run.info.status, run.info.start_time) == ("FINISHED", STARTED * 1000)
    client = MlflowClient(tracking_uri=f"sqlite:///{mlflow_project / 'mlflow.db'}")
    logged_at = [point.timestamp for point in client.get_metric_history(run.info.run_id, "loss")]
    assert logged_at == [(STARTED + epoch * EPOCH_SECONDS) * 1000 for epoch in (1, 2, 3)]
    before = stored(mlflow_project)
    track.track()
    assert stored(mlflow_project) == before


def test_a_server_that_does_not_answer_is_given_up(project, monkeypatch, capsys):
    write_run(project, "baseline-0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        track.follow(events("baseline-0"))
    (warning,) = capsys.readouterr().err.splitlines()
    assert warning.startswith("warning: baseline-0 is not logged from its start on; `make track` brings it in later")


def test_a_server_that_went_away_and_came_back_has_all_at_the_end(mlflow_project, capsys):
    write_run(mlflow_project, "baseline-0")
    follower = track.Follower()
    start, *epochs, end = map(json.loads, events("baseline-0"))
    follower.take(start)
    reachable = follower._tracker._client
    follower._tracker._client = MlflowClient(tracking_uri=CLOSED)
    for epoch in epochs:
        follower.take(epoch)
    follower._tracker._client = reachable
    follower.take(end)
    follower.close()
    (warning,) = capsys.readouterr().err.splitlines()
    assert "baseline-0 is not logged from epoch 1 on" in warning
    assert logged(mlflow_project)["baseline-0"].info.status == "FINISHED"
    track.track()
    assert "0 of them brought in" in capsys.readouterr().out


@pytest.mark.parametrize("writers", [2, pytest.param(8, marks=pytest.mark.slow)])
def test_trackers_that_make_the_store_at_once_lose_nothing(project, monkeypatch, writers):
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    names = [run.name for run in runs(load_params())][:writers]
    for name in names:
        write_run(project, name)
    followers = {
        name: subprocess.Popen([sys.executable, "-m", "digit_vae.tracking.track", "--follow"], stdin=subprocess.PIPE, text=True)
        for name in names
    }
    for name, follower in followers.items():
        follower.stdin.write("".join(events(name)))
    for follower in followers.values():
        follower.communicate()
    assert [follower.returncode for follower in followers.values()] == [0] * writers
    for name, run in logged(project).items():
        assert run.info.status == "FINISHED"
        assert run.data.metrics["loss"] == history(name)["epochs"][-1]["loss"]
    assert logged(project).keys() == set(names)
