"""A store of its own for each test, and records to bring in."""

from dataclasses import replace

import pytest
from mirrored import client_of, stored
from synthetic import STARTED, history, timings

from digit_vae.base.files import write_json
from digit_vae.config.runs import find_run
from digit_vae.tracking.audit import audit
from digit_vae.tracking.reading import readers
from digit_vae.tracking.record import numbers, of_run, read_by, with_comparisons
from digit_vae.tracking.store import Store
from digit_vae.tracking.sync import sync


@pytest.fixture
def store(mlflow_project):
    return Store(mlflow_project)


@pytest.fixture
def client(mlflow_project):
    return client_of(mlflow_project)


@pytest.fixture
def make_record(mlflow_project, small_params):
    """A record whose files are on disk, with what is given replaced in it."""

    def make(run="baseline-fold0-0", epochs=3, started_at=STARTED, metrics=(), **params):
        contents = {"history.json": history(run, epochs, **params), "timings.json": timings(run, epochs, started_at)}
        declared = find_run(small_params, run)
        record = of_run(declared, contents["history.json"], contents["timings.json"])
        if metrics:
            contents["metrics.json"] = metrics
        files = {name: mlflow_project / run / name for name in contents}
        for name, path in files.items():
            write_json(path, contents[name])
        record = read_by(record, readers(small_params, declared))
        return replace(record, metrics=numbers(dict(metrics)), files=files)

    return make


@pytest.fixture
def bring_in(store):
    """Brings these records in, with their groups."""

    def bring(*records, comparisons=(), further=()):
        return sync(store, records, [*with_comparisons(records, dict(comparisons)), *further])

    return bring


@pytest.fixture
def audited(store, mlflow_project):
    """What an audit of these records and their groups finds; it leaves the store as it is."""

    def look(*records, comparisons=(), further=()):
        before = stored(mlflow_project)
        found = audit(store, records, [*with_comparisons(records, dict(comparisons)), *further])
        assert stored(mlflow_project) == before
        return found

    return look


@pytest.fixture
def false_claims(audited):
    """The same as false claims, by state and run name."""

    def look(*records, **options):
        return {(each.state, each.run): each.false_claims for each in audited(*records, **options)}

    return look
