import fcntl
import json
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.exceptions import MlflowException
from synthetic import EPOCH_SECONDS, LOSSES, STARTED, history, timings

from digit_vae.tracking.store import store as tracking
from digit_vae.base.errors import UserError
from digit_vae.base.files import write_json
from digit_vae.tracking.store import CHECKOUT, CURRENT, FILES, PARENT, WRITER, Comparison, Record, Tracker

# MLflow's own use of SQLAlchemy
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

TEST_METRICS = {
    "test": {"elbo": -155.5, "kl_per_dimension": {"z0": 3.5}},
    "likelihood": {"binarised": {"iw_bound": {"k1000": -140.5}}},
}


@pytest.fixture
def tracker(mlflow_project):
    return Tracker(mlflow_project)


@pytest.fixture
def client(mlflow_project):
    return MlflowClient(tracking_uri=f"sqlite:///{mlflow_project / 'mlflow.db'}")


@pytest.fixture
def make_record(mlflow_project):
    """A record whose files are on disk, with what is given replaced in it."""

    def make(run="baseline-0", epochs=3, started_at=STARTED, metrics=(), **params):
        contents = {"history.json": history(run, epochs, **params), "timings.json": timings(run, epochs, started_at)}
        if metrics:
            contents["metrics.json"] = metrics
        files = {name: mlflow_project / run / name for name in contents}
        for name, path in files.items():
            write_json(path, contents[name])
        return Record(contents["history.json"], contents["timings.json"], dict(metrics), files)

    return make


def as_started(record):
    """The record as it stands before the first epoch."""
    return Record(record.history | {"epochs": []}, record.timings | {"epochs": []})


def runs_named(client, name):
    experiment = client.get_experiment_by_name("digit-vae")
    return client.search_runs([experiment.experiment_id], f"run_name = '{name}'")


def points(client, run, key):
    return [(point.step, point.timestamp, point.value) for point in client.get_metric_history(run.info.run_id, key)]


def content(client, run):
    """All that a run holds but what differs from store to store (ids) or from way to way (who logged it, and where)."""
    tags = {key: value for key, value in run.data.tags.items() if key not in (PARENT, WRITER, CHECKOUT)}
    histories = {key: points(client, run, key) for key in run.data.metrics}
    artifacts = sorted(artifact.path for artifact in client.list_artifacts(run.info.run_id))
    inputs = [entry.to_dictionary() for entry in client.get_run(run.info.run_id).inputs.dataset_inputs]
    info = run.info.status, run.info.start_time, run.info.end_time
    return info, run.data.params, tags, histories, artifacts, inputs


def dump(path):
    with sqlite3.connect(path / "mlflow.db") as connection:
        return list(connection.iterdump())


def test_a_run_holds_what_its_files_say_at_their_times(tracker, client, make_record):
    record = make_record(metrics=TEST_METRICS)
    assert tracker.sync([record], {}).brought == ["baseline-0"]
    (run,) = runs_named(client, "baseline-0")

    start, end = STARTED * 1000, (STARTED + 4 * EPOCH_SECONDS) * 1000
    assert (run.info.status, run.info.start_time, run.info.end_time) == ("FINISHED", start, end)
    assert run.data.params == {key: str(value) for key, value in record.history["params"].items()}
    for key in (*LOSSES, "val_loss"):
        expected = [
            (epoch, (STARTED + epoch * EPOCH_SECONDS) * 1000, record.history["epochs"][epoch - 1][key])
            for epoch in (1, 2, 3)
        ]
        assert points(client, run, key) == expected
    assert [value for *_, value in points(client, run, "train_seconds")] == [EPOCH_SECONDS - 2] * 3
    assert run.data.metrics["test.elbo"] == -155.5
    assert run.data.metrics["test.kl_per_dimension.z0"] == 3.5
    assert run.data.metrics["likelihood.binarised.iw_bound.k1000"] == -140.5
    assert not run.data.metrics.keys() & {"epoch", "finished_at"}


def test_tags_datasets_and_artifacts(tracker, client, make_record):
    tracker.sync([make_record("beta_2-full")], {})
    (run,) = runs_named(client, "beta_2-full")
    expected = {
        "variant": "beta_2",
        "split": "full",
        "device": "cpu",
        "precision": "float32",
        "cpu": "A CPU",
        "gpu": "none",
        "machine": "A CPU, 2 cores",
        "git_commit": "0" * 40,
        "mlflow.source.git.commit": "0" * 40,
        CURRENT: "true",
    }
    assert expected.items() <= run.data.tags.items()
    datasets = {
        entry.tags[0].value: (entry.dataset.name, entry.dataset.digest)
        for entry in client.get_run(run.info.run_id).inputs.dataset_inputs
    }
    assert datasets["training"] == ("train_images", "a" * 36)
    assert datasets["validation"][0] == "test_images"
    path = download_artifacts(artifact_uri=f"{run.info.artifact_uri}/history.json")
    assert json.loads(Path(path).read_text()) == history("beta_2-full")


def test_a_second_sync_changes_nothing(tracker, mlflow_project, make_record):
    records = [make_record("baseline-0", metrics=TEST_METRICS), make_record("baseline-full")]
    tracker.sync(records, {})
    before = dump(mlflow_project)
    assert Tracker(mlflow_project).sync(records, {}).unchanged == ["baseline-0", "baseline-full"]
    assert dump(mlflow_project) == before


def test_a_run_logged_while_it_trained_equals_one_made_from_files(tracker, client, make_record):
    record = make_record()
    tracker.sync([record], {})
    (from_files,) = runs_named(client, record.name)
    expected = content(client, from_files)
    client.delete_run(from_files.info.run_id)

    tracker.start(as_started(record))
    for losses, timing in zip(record.history["epochs"], record.timings["epochs"], strict=True):
        tracker.epoch(record.name, losses, timing)
        (live,) = runs_named(client, record.name)
        assert live.info.status == "RUNNING"
        assert live.data.metrics["loss"] == losses["loss"]
    tracker.end(record)
    assert content(client, runs_named(client, record.name)[0]) == expected


def test_a_killed_run_that_goes_on_is_the_same_run_with_each_epoch_once(tracker, client, make_record, mlflow_project):
    record = make_record()
    tracker.sync([record], {})
    (from_files,) = runs_named(client, record.name)
    expected = content(client, from_files)
    client.delete_run(from_files.info.run_id)

    losses, seconds = record.history["epochs"], record.timings["epochs"]
    tracker.start(as_started(record))
    tracker.epoch(record.name, losses[0], seconds[0])
    tracker.kill(record.name)
    (killed,) = runs_named(client, record.name)
    assert killed.info.status == "KILLED"

    other = Tracker(mlflow_project)  # of the next call; the second epoch was finished, and never logged
    other.start(Record(record.history | {"epochs": losses[:2]}, record.timings | {"epochs": seconds[:2]}))
    (live,) = runs_named(client, record.name)
    assert (live.info.run_id, live.info.status) == (killed.info.run_id, "RUNNING")
    assert [step for step, *_ in points(client, live, "loss")] == [1, 2]
    other.epoch(record.name, losses[2], seconds[2])
    other.end(record)
    assert content(client, runs_named(client, record.name)[0]) == expected


def test_an_evaluation_is_added_later_and_a_changed_one_becomes_the_latest(tracker, client, make_record):
    for metrics in ({}, TEST_METRICS, {"test": {"elbo": -160.0}}, {"test": {"elbo": -155.5}}):
        tracker.sync([make_record(metrics=metrics)], {})
    (run,) = runs_named(client, "baseline-0")
    assert run.data.metrics["test.elbo"] == -155.5
    assert [value for *_, value in points(client, run, "test.elbo")] == [-155.5, -160.0, -155.5]
    assert len(points(client, run, "loss")) == 3


def test_another_attempt_is_another_run_and_the_earlier_is_no_longer_current(tracker, client, make_record):
    for started_at in (STARTED, STARTED + 1000):
        tracker.sync([make_record(started_at=started_at)], {})
    assert {run.data.tags["started_at"]: run.data.tags[CURRENT] for run in runs_named(client, "baseline-0")} == {
        str(STARTED): "false",
        str(STARTED + 1000): "true",
    }


def test_runs_of_a_variant_share_a_parent_with_the_spread_over_folds(tracker, client, make_record, mlflow_project):
    spread = {"folds": 2, "test": {"elbo": {"mean": -155.0, "std": 0.5}}}
    write_json(mlflow_project / "baseline.json", spread)
    records = [make_record("baseline-0"), make_record("baseline-1"), make_record("beta_2-full", beta=2.0)]
    tracker.sync(records, {"baseline": Comparison(spread, {"comparison.json": mlflow_project / "baseline.json"})})
    (parent,) = runs_named(client, "baseline")
    assert parent.data.metrics == {"folds": 2, "test.elbo.mean": -155.0, "test.elbo.std": 0.5}
    assert parent.data.params["beta"] == "1.0"
    assert parent.info.status == "FINISHED"
    for name in ("baseline-0", "baseline-1"):
        assert runs_named(client, name)[0].data.tags[PARENT] == parent.info.run_id
    assert runs_named(client, "beta_2-full")[0].data.tags[PARENT] != parent.info.run_id


def test_a_variant_with_mixed_params_is_not_compared(tracker, client, make_record, mlflow_project):
    write_json(mlflow_project / "baseline.json", {"folds": 2})
    records = [make_record("baseline-0"), make_record("baseline-1", seed=7)]
    tracker.sync(records, {"baseline": Comparison({"folds": 2}, {"comparison.json": mlflow_project / "baseline.json"})})
    assert [parent.data.metrics for parent in runs_named(client, "baseline")] == [{}, {}]


def test_what_is_known_of_all_runs_is_a_parent_without_children(tracker, client, make_record, mlflow_project):
    figure = mlflow_project / "seeds.png"
    figure.write_bytes(b"a figure")
    record = make_record()
    what = {"run": "report", "variant": "report", "params": {"classifier.epochs": 8}}
    overview = Record(what, record.timings, {"classifier": {"accuracy": 0.99}}, {"seeds.png": figure})
    tracker.sync([record], {}, overview)
    (run,) = runs_named(client, "report")
    assert run.data.metrics == {"classifier.accuracy": 0.99}
    assert run.data.params == {"classifier.epochs": "8"}
    assert (run.info.status, run.data.tags[CURRENT]) == ("FINISHED", "true")
    assert (Path(run.info.artifact_uri.removeprefix("file://")) / "seeds.png").read_bytes() == b"a figure"

    figure.write_bytes(b"another figure")
    assert any("seeds.png" in claim for each in tracker.audit([record], {}, overview) for claim in each.false_claims)
    tracker.sync([record], {}, overview)
    assert not any(each.false_claims for each in tracker.audit([record], {}, overview))
    tracker.sync([record], {})
    assert runs_named(client, "report")[0].data.tags[CURRENT] == "false"


def test_what_was_deleted_comes_back(tracker, client, make_record, mlflow_project):
    record = make_record(metrics=TEST_METRICS)
    tracker.sync([record], {})
    (run,) = runs_named(client, record.name)
    before = content(client, run)
    (mlflow_project / "mlartifacts" / run.info.run_id / "artifacts" / "history.json").unlink()
    assert tracker.sync([record], {}).brought == [record.name]
    assert content(client, run) == before

    with sqlite3.connect(mlflow_project / "mlflow.db") as connection:  # MLflow itself deletes no inputs
        connection.execute("DELETE FROM inputs")
    (lacking,) = (each.lacking for each in tracker.audit([record], {}) if each.run == record.name)
    assert lacking == [
        f"dataset train_images {'a' * 36}",
        f"dataset fold_0 {record.history['data']['validation'][:36]}",
    ]
    assert tracker.sync([record], {}).brought == [record.name]
    assert content(client, run) == before

    client.delete_experiment(run.info.experiment_id)
    assert Tracker(mlflow_project).sync([record], {}).unchanged == [record.name]
    assert content(client, runs_named(client, record.name)[0]) == before


def test_another_store_made_from_the_same_files_is_equal(tracker, client, make_record, mlflow_project, mlflow_tables):
    record = make_record(metrics=TEST_METRICS)
    tracker.sync([record], {})
    other = mlflow_project / "other"
    other.mkdir()
    shutil.copy(mlflow_tables, other)
    Tracker(other).sync([record], {})
    rebuilt = MlflowClient(tracking_uri=f"sqlite:///{other / 'mlflow.db'}")
    runs = [(each, *runs_named(each, record.name)) for each in (client, rebuilt)]
    assert content(*runs[0]) == content(*runs[1])


def test_a_deleted_run_and_a_deleted_parent_come_back_as_one_family(tracker, client, make_record, audit):
    records = [make_record("baseline-0"), make_record("baseline-1")]
    tracker.sync(records, {})
    for deleted in ("baseline-0", "baseline"):
        client.delete_run(runs_named(client, deleted)[0].info.run_id)
        lacking = {each.run: each.lacking for each in tracker.audit(records, {})}
        assert all(lacking.values()) == (deleted == "baseline")
        assert tracker.sync(records, {}).brought == (["baseline-0"] if deleted == "baseline-0" else [])
        (parent,) = runs_named(client, "baseline")
        family = [*(runs_named(client, record.name)[0] for record in records), parent]
        assert [run.data.tags.get(PARENT, parent.info.run_id) for run in family] == [parent.info.run_id] * 3
        assert [run.data.tags[CURRENT] for run in family] == ["true"] * 3
        assert {state for state, _ in audit(*records)} == {"present"}


def test_a_renamed_run_and_a_renamed_parent_get_their_names_back(tracker, client, make_record):
    record = make_record()
    tracker.sync([record], {})
    before = [content(client, *runs_named(client, name)) for name in ("baseline-0", "baseline")]
    for name in ("baseline-0", "baseline"):
        client.update_run(runs_named(client, name)[0].info.run_id, name="the best")
    assert {each.run for each in tracker.audit([record], {})} == {"baseline-0", "baseline"}
    assert tracker.sync([record], {}).unchanged == ["baseline-0"]
    assert [content(client, *runs_named(client, name)) for name in ("baseline-0", "baseline")] == before


def test_a_run_of_a_dead_process_is_closed_at_its_last_sign_of_life(tracker, client, make_record):
    record = make_record()
    tracker.start(as_started(record))
    tracker.epoch(record.name, record.history["epochs"][0], record.timings["epochs"][0])
    assert tracker.sync([], {}).killed == []
    (run,) = runs_named(client, record.name)
    assert (run.info.status, run.data.tags[CURRENT]) == ("RUNNING", "true")

    process = subprocess.Popen(["true"])
    process.wait()
    client.set_tag(run.info.run_id, WRITER, f"{socket.gethostname()} {process.pid} {STARTED}")
    assert tracker.sync([], {}).killed == [record.name]
    (run,) = runs_named(client, record.name)
    assert (run.info.status, run.info.end_time) == ("KILLED", (STARTED + EPOCH_SECONDS) * 1000)
    assert run.data.tags[CURRENT] == "false"
    assert tracker.sync([record], {}).brought == [record.name]
    assert [run.info.status for run in runs_named(client, record.name)] == ["FINISHED"]


def test_another_process_with_the_same_number_is_not_the_writer(tracker, client, make_record):
    tracker.start(as_started(make_record()))
    (run,) = runs_named(client, "baseline-0")
    writer = run.data.tags[WRITER].rsplit(" ", 1)[0]
    client.set_tag(run.info.run_id, WRITER, f"{writer} {STARTED}")
    assert tracker.sync([], {}).killed == ["baseline-0"]


def test_a_killed_writer_that_nobody_waited_for_is_dead(tracker, client, make_record):
    tracker.start(as_started(make_record()))
    (run,) = runs_named(client, "baseline-0")
    with subprocess.Popen(["sleep", "60"]) as process:
        started = psutil.Process(process.pid).create_time()
        client.set_tag(run.info.run_id, WRITER, f"{socket.gethostname()} {process.pid} {started}")
        assert tracker.sync([], {}).killed == []
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, and still in the table of processes
        assert tracker.sync([], {}).killed == ["baseline-0"]


@pytest.mark.parametrize("writer", ["", "me", "me myself I", "localhost 1", f"{socket.gethostname()} -1 0", "a 1 nan"])
def test_a_writer_that_names_no_process_is_dead(tracker, client, make_record, writer):
    tracker.start(as_started(make_record()))
    (run,) = runs_named(client, "baseline-0")
    client.set_tag(run.info.run_id, WRITER, writer)
    assert tracker.sync([], {}).killed == ["baseline-0"]


@pytest.mark.parametrize("tag", [WRITER, PARENT, FILES, CURRENT, CHECKOUT, "variant", "cpu"])
def test_a_tag_that_was_deleted_is_not_needed(tracker, client, make_record, audit, tag):
    record = make_record()
    for sync in (lambda: tracker.start(as_started(record)), lambda: tracker.sync([record], {})):
        sync()
        (run,) = runs_named(client, record.name)
        if tag in run.data.tags:
            client.delete_tag(run.info.run_id, tag)
        tracker.audit([], {})
        tracker.sync([], {})
        tracker.sync([record], {})
        assert audit(record) == {("present", "baseline-0"): [], ("present", "baseline"): []}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"history.json": 3}'])
def test_an_edited_list_of_files_has_them_brought_in_again(tracker, client, make_record, text):
    record = make_record()
    tracker.sync([record], {})
    client.set_tag(runs_named(client, record.name)[0].info.run_id, FILES, text)
    assert tracker.sync([record], {}).brought == [record.name]
    assert tracker.sync([record], {}).brought == []


HOUR = 3600
STARTED_MS = round(STARTED * 1000)


@pytest.mark.parametrize(
    ("resumed", "now", "closed"),
    [(0, 23 * HOUR, False), (0, 25 * HOUR, True), (20 * HOUR, 43 * HOUR, False), (20 * HOUR, 45 * HOUR, True)],
)
def test_a_run_on_another_host_is_closed_a_day_after_its_last_sign_of_life(
    tracker, client, make_record, monkeypatch, resumed, now, closed
):
    record = make_record()
    tracker.start(as_started(record))
    tracker.epoch(record.name, record.history["epochs"][0], record.timings["epochs"][0])
    (run,) = runs_named(client, record.name)
    last = STARTED + EPOCH_SECONDS
    client.set_tag(run.info.run_id, WRITER, f"another.host 1 {last + resumed}")
    monkeypatch.setattr(tracking, "time", SimpleNamespace(time=lambda: last + now))
    assert tracker.sync([], {}).killed == ([record.name] if closed else [])
    (run,) = runs_named(client, record.name)
    assert (run.info.status, run.info.end_time) == (("KILLED", last * 1000) if closed else ("RUNNING", None))


@pytest.fixture
def checkouts(mlflow_project, mlflow_tables, monkeypatch):
    """The trackers of two checkouts with one store."""
    shared = mlflow_project / "shared"
    shared.mkdir()
    shutil.copy(mlflow_tables, shared)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{shared / 'mlflow.db'}")
    return [Tracker(mlflow_project / name) for name in ("mine", "yours")]


def test_a_checkout_says_nothing_of_the_runs_of_another(checkouts, make_record):
    mine, yours = checkouts
    first, second = make_record(), make_record("baseline-1", started_at=STARTED + 1000, seed=7)
    mine.sync([first], {})
    mine.start(as_started(make_record("dropout-0")))
    (open_run,) = runs_named(mine._client, "dropout-0")
    mine._client.set_tag(open_run.info.run_id, WRITER, f"{socket.gethostname()} 1 {STARTED}")  # its process is dead

    assert yours.sync([second], {}).killed == []
    assert [
        run.data.tags[CURRENT] for name in ("baseline-0", "baseline-1") for run in runs_named(mine._client, name)
    ] == [
        "true",
        "true",
    ]
    assert {each.run: each.false_claims for each in yours.audit([second], {})} == {"baseline-1": [], "baseline": []}
    assert {each.state for each in yours.audit([first], {}) if each.run == "baseline-0"} == {"present"}
    assert mine.sync([], {}).killed == ["dropout-0"]
    assert {run.data.tags[CURRENT] for run in runs_named(mine._client, "baseline-0")} == {"false"}


def test_a_run_bears_its_writer_from_its_first_moment(tracker, client, make_record, monkeypatch):
    def unreachable(*_, **__):
        raise MlflowException("gone")

    with monkeypatch.context() as vanished:
        vanished.setattr(tracker._client, "log_batch", unreachable)
        with pytest.raises(UserError, match="gone"):
            tracker.start(as_started(make_record()))
    (made,) = [*runs_named(client, "baseline"), *runs_named(client, "baseline-0")]
    assert made.info.status == "RUNNING"
    assert made.data.tags[WRITER].split()[1] == str(os.getpid())


def test_a_run_that_is_not_of_this_project_is_left_alone(tracker, client, make_record):
    tracker.sync([make_record()], {})
    experiment = client.get_experiment_by_name("digit-vae").experiment_id
    other = client.create_run(experiment, run_name="by hand")
    assert tracker.sync([], {}).killed == []
    (run,) = runs_named(client, "by hand")
    assert (run.info.status, CURRENT in run.data.tags) == (other.info.status, False)


def test_the_health_of_each_epoch_is_logged(tracker, client, audit, make_record):
    record = make_record()
    for number, epoch in enumerate(record.history["epochs"]):
        epoch["health"] = {"dead_units": {"dense": number}, "collapsed_dimensions": 0}
    tracker.sync([record], {})
    (run,) = runs_named(client, record.name)
    assert [value for *_, value in points(client, run, "health.dead_units.dense")] == [0, 1, 2]
    assert audit(record)["present", record.name] == []


def test_long_trainings_fit_into_batches(tracker, client, make_record):
    tracker.sync([make_record(epochs=150)], {})  # 1,500 points
    (run,) = runs_named(client, "baseline-0")
    assert len(points(client, run, "loss")) == 150
    assert FILES in run.data.tags


def test_the_store_is_made_once_by_whoever_is_first(project, mlflow_tables, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    arrived, made, flock = threading.Semaphore(0), [], fcntl.flock

    def arrive(lock, operation):
        arrived.release()
        flock(lock, operation)

    def make_when_the_other_has_come(path):
        made.append(path)
        assert all(arrived.acquire(timeout=10) for _ in range(2))
        shutil.copy(mlflow_tables, path)

    monkeypatch.setattr(tracking.fcntl, "flock", arrive)
    monkeypatch.setattr(tracking, "_create_database", make_when_the_other_has_come)
    with ThreadPoolExecutor() as pool:
        trackers = list(pool.map(Tracker, [project, project]))
    assert len(trackers) == 2
    assert made == [project / "mlflow.db"]


def test_a_moved_folder_is_an_error_that_says_what_to_do(mlflow_project):
    Tracker(mlflow_project)
    moved = mlflow_project / "moved"
    moved.mkdir()
    (mlflow_project / "mlflow.db").rename(moved / "mlflow.db")
    with pytest.raises(UserError, match=r"delete mlflow.db and run `make track`"):
        Tracker(moved)


def test_a_database_with_options_in_its_address_is_made_there(project, mlflow_tables, monkeypatch):
    monkeypatch.setattr(tracking, "_create_database", lambda path: shutil.copy(mlflow_tables, path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project / 'x.db'}?timeout=5")
    Tracker(project)
    assert {path.name for path in project.iterdir()} == {"params.yaml", "x.db", "x.db.lock"}


def test_a_folder_that_cannot_be_written_is_an_error(mlflow_project):
    (mlflow_project / "mlflow.db.lock").mkdir()
    with pytest.raises(UserError, match=r"MLflow at sqlite:\S+ failed: .*Is a directory"):
        Tracker(mlflow_project)


@pytest.fixture
def audit(tracker, mlflow_project):
    """What `Tracker.audit` finds, by state and run name; it leaves the store as it is."""

    def by_state(*records, comparisons=()):
        before = dump(mlflow_project)
        audited = tracker.audit(records, dict(comparisons))
        assert dump(mlflow_project) == before
        return {(each.state, each.run): each.false_claims for each in audited}

    return by_state


def test_an_audit_tells_the_present_runs_from_superseded_ones(tracker, audit, make_record, mlflow_project):
    earlier = make_record(started_at=STARTED - 1000, seed=7)
    tracker.sync([earlier], {})
    write_json(mlflow_project / "baseline.json", {"folds": 2})
    compared = {"baseline": Comparison({"folds": 2}, {"comparison.json": mlflow_project / "baseline.json"})}
    records = [make_record(metrics=TEST_METRICS), make_record("baseline-1")]
    tracker.sync(records, compared)
    assert audit(*records, comparisons=compared) == {
        ("present", "baseline-0"): [],
        ("present", "baseline-1"): [],
        ("present", "baseline"): [],
        ("superseded", "baseline-0"): [],
        ("superseded", "baseline"): [],
    }


def test_a_stale_run_that_says_it_is_current_is_named(tracker, audit, make_record):
    tracker.sync([make_record()], {})
    retrained = make_record(started_at=STARTED + 1000)
    claim = "to be the run of the present files, which are another attempt's"
    assert audit(retrained) == {("superseded", "baseline-0"): [claim], ("present", "baseline"): []}
    tracker.sync([retrained], {})
    assert not any(audit(retrained).values())


@pytest.mark.parametrize(
    ("tamper", "claim"),
    [
        (
            lambda client, run, _: client.log_metric(run, "test.elbo", -100.0),
            "metric test.elbo -100.0, the files say -155.5",
        ),
        (
            lambda client, run, _: client.log_metric(run, "loss", 1.0, step=2),
            r"metric loss 1.0 after epoch 2, the files say \d+.*",
        ),
        (
            lambda client, run, _: client.log_metric(run, "loss", 1.0, step=9),
            "metric loss 1.0 after epoch 9, the files say None",
        ),
        (lambda client, run, _: client.log_metric(run, "accuracy", 1.0), "metric accuracy 1.0, the files say None"),
        (lambda client, run, _: client.set_tag(run, "device", "gpu"), "tag device gpu, the files say cpu"),
        (lambda client, run, _: client.set_tag(run, "git_commit", "f"), "tag git_commit f, the files say 0{40}"),
        (lambda client, run, _: client.set_tag(run, CURRENT, "false"), "not to be the run of the present files"),
        (
            lambda client, run, _: client.set_terminated(run, "FINISHED", STARTED_MS + 5),
            rf"start and end \({STARTED_MS}, {STARTED_MS + 5}\), the files say \({STARTED_MS}, \d+\)",
        ),
        (lambda client, run, _: client.update_run(run, name="the best"), "run name the best, the files say baseline-0"),
        (lambda client, run, _: client.log_param(run, "layers", 9), "param layers 9, the files say None"),
        (lambda client, run, _: client.log_text(run, "x", "new.txt"), "artifact new.txt, which the files do not have"),
        (
            lambda client, run, _: client.log_text(run, "x", "deep/metrics.json"),
            "artifact deep/metrics.json, which the files do not have",
        ),
        (
            lambda client, run, _: client.log_inputs(run, datasets=[tracking._dataset("new", "b" * 64, "training")]),
            "dataset new b{36} training, the files say None",
        ),
        (
            lambda client, run, _: client.log_text(run, "{}", "history.json"),
            "artifact history.json with another content than the file has",
        ),
        (
            lambda _client, _run, record: write_json(record.files["metrics.json"], {"test": {"elbo": -1.0}}),
            "artifact metrics.json with another content than the file has",
        ),
    ],
)
def test_what_the_files_do_not_say_is_named(tracker, client, audit, make_record, tamper, claim):
    record = make_record(metrics=TEST_METRICS)
    tracker.sync([record], {})
    (run,) = runs_named(client, record.name)
    tamper(client, run.info.run_id, record)
    found = audit(record)
    assert found["present", "baseline"] == []
    assert re.fullmatch(claim, *found["present", "baseline-0"])


def test_what_a_run_lacks_is_named_until_it_is_brought_in(tracker, client, audit, make_record, mlflow_project):
    record = make_record(metrics=TEST_METRICS)
    tracker.start(as_started(record))
    tracker.epoch(record.name, record.history["epochs"][0], record.timings["epochs"][0])
    (run,) = runs_named(client, record.name)
    tracker.kill(record.name)
    assert audit(record)["incomplete", record.name] == []
    lacking = {each.run: each.lacking for each in tracker.audit([record], {})}
    assert lacking["baseline"] == []
    assert {"metric test.elbo", "metric loss of epoch 2", "artifact history.json", "its end"} < {*lacking[record.name]}
    assert "metric loss of epoch 1" not in lacking[record.name]

    tracker.sync([record], {})
    assert audit(record)["present", record.name] == []
    (mlflow_project / "mlartifacts" / run.info.run_id / "artifacts/history.json").unlink()
    [found] = [each for each in tracker.audit([record], {}) if each.run == record.name]
    assert (found.state, found.lacking) == ("incomplete", ["artifact history.json"])


def test_a_finished_run_that_says_it_is_running_is_named(tracker, client, audit, make_record):
    record = make_record()
    tracker.sync([record], {})
    (run,) = runs_named(client, record.name)
    client.set_tag(run.info.run_id, WRITER, f"{socket.gethostname()} 1 {STARTED}")
    client.update_run(run.info.run_id, "RUNNING")
    assert audit(record)["incomplete", record.name] == ["to be running, but its process is gone"]


def test_a_run_that_trains_claims_nothing_yet(tracker, audit, make_record):
    tracker.start(as_started(make_record()))
    assert audit() == {
        ("training", "baseline-0"): [],
        ("training", "baseline"): [],
    }


def test_an_unreachable_server_is_an_error_without_its_password(project, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    with pytest.raises(UserError, match=r"http://me:\*\*\*@127\.0\.0\.1:9") as raised:
        Tracker(project)
    assert "secret" not in str(raised.value)


class Answering(BaseHTTPRequestHandler):
    """As much of an MLflow server as it takes to start a run; keeps what it is sent."""

    def do_GET(self):
        experiment = {"experiment_id": "1", "name": "digit-vae", "lifecycle_stage": "active"}
        self.answer({"experiment": experiment} if "get-by-name" in self.path else {})

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.sent.append((self.path, body.decode(), self.headers["Authorization"]))
        info = {"run_id": "r", "experiment_id": "1", "status": "RUNNING", "lifecycle_stage": "active", "start_time": 1}
        tags = json.loads(body).get("tags", []) if "runs/create" in self.path else []
        self.answer({"run": {"info": info, "data": {"tags": tags}}, "run_info": info})

    def answer(self, content):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())

    def log_message(self, *_):
        pass


def test_a_server_is_told_the_password_and_stores_it_nowhere(project, make_record, monkeypatch, capfd):
    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        server.sent = []
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:s3cret@127.0.0.1:{server.server_port}")
        record = make_record()
        tracker = Tracker(project)
        tracker.start(as_started(record))
        tracker.epoch(record.name, record.history["epochs"][0], record.timings["epochs"][0])
        server.shutdown()
    with pytest.raises(UserError) as gone:
        tracker.epoch(record.name, record.history["epochs"][1], record.timings["epochs"][1])
    assert {"runs/create", "runs/log-batch", "runs/set-tag"} <= {path.split("mlflow/")[1] for path, *_ in server.sent}
    password = b64encode(b"me:s3cret").decode()
    assert {authorization for *_, authorization in server.sent} == {f"Basic {password}"}
    shown = [*(path + body for path, body, _ in server.sent), str(gone.value), *capfd.readouterr()]
    assert not [text for text in shown if "s3cret" in text or password in text]


@pytest.mark.parametrize("uri", ["http://me:secret@127.0.0.1:99999", "postgresql://me:secret@host:port/runs"])
def test_an_address_with_a_bad_port_is_an_error(project, monkeypatch, uri):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(UserError, match=r"^MLflow at \w+://me:\*\*\*@\S+ failed: [^\n]+$") as raised:
        Tracker(project)
    assert "secret" not in str(raised.value)


def test_a_missing_database_driver_is_an_error(project, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "mssql+pymssql://me:secret@host/runs")
    with pytest.raises(UserError, match="pymssql"):
        Tracker(project)


def test_pickles_stay_off_whatever_the_environment_says():
    look = "import os, digit_vae.tracking.store; print(os.environ['MLFLOW_ALLOW_PICKLE_DESERIALIZATION'])"
    environment = os.environ | {"MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "true"}
    done = subprocess.run([sys.executable, "-c", look], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "false\n"
