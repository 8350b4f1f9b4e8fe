"""What a store in MLflow holds, for tests of what writes it."""

import sqlite3
from dataclasses import replace
from pathlib import Path

from mlflow import MlflowClient

from digit_vae.tracking.store import CHECKOUT, NOTE, PARENT, WRITER


def client_of(folder):
    return MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")


def all_runs(client):
    return client.search_runs([client.get_experiment_by_name("digit-vae").experiment_id])


def runs_named(client, name):
    return [run for run in all_runs(client) if run.info.run_name == name]


def logged(folder):
    """All runs of the store in `folder` by name, without the groups."""
    return {run.info.run_name: run for run in all_runs(client_of(folder)) if "run" in run.data.tags}


def points(client, run, name):
    return [(point.step, point.timestamp, point.value) for point in client.get_metric_history(run.info.run_id, name)]


def content(client, run):
    """All that a run holds but what differs from store to store (ids) or from way to way (who logged it, and where)."""
    tags = {key: value for key, value in run.data.tags.items() if key not in (PARENT, WRITER, CHECKOUT)}
    tags[NOTE] = tags.get(NOTE, "").replace(run.info.run_id, "ID")  # it links to the run's own pages
    histories = {key: points(client, run, key) for key in run.data.metrics}
    artifacts = sorted(artifact.path for artifact in client.list_artifacts(run.info.run_id))
    inputs = [entry.to_dictionary() for entry in client.get_run(run.info.run_id).inputs.dataset_inputs]
    info = run.info.status, run.info.start_time, run.info.end_time
    return info, run.data.params, tags, histories, artifacts, inputs


def stored(folder):
    """Every row of the store's database, and every artifact."""
    with sqlite3.connect(folder / "mlflow.db") as connection:
        rows = list(connection.iterdump())
    return rows, {path: path.read_bytes() for path in (folder / "mlartifacts").rglob("*") if path.is_file()}


def artifacts_of(run):
    """The folder with a run's artifacts."""
    return Path(run.info.artifact_uri.removeprefix("file://"))


def as_started(record):
    """The record as it stands before the first epoch."""
    return replace(record, points=(), metrics={}, files={}, finished=None)
