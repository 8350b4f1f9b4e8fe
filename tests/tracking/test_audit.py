import itertools
import re
import shutil
import socket
from dataclasses import replace

import pytest
from mirrored import artifacts_of, as_started, runs_named
from synthetic import STARTED, history, timings

from digit_vae.base.files import write_json
from digit_vae.tracking.audit import audit
from digit_vae.tracking.record import Comparison, Dataset, epoch_points, with_comparisons
from digit_vae.tracking.store import CURRENT, WRITER, Store
from digit_vae.tracking.sync import Live, dataset_input, sync

# MLflow's own use of SQLAlchemy
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

RUN, OTHER, GROUP = "baseline-fold0-0", "baseline-fold1-0", "ablation/baseline"
STARTED_MS = round(STARTED * 1000)
METRICS = {"test": {"elbo": -155.5}}


@pytest.fixture
def live(store):
    return Live(store)


def test_an_audit_tells_the_present_runs_from_superseded_ones(bring_in, false_claims, make_record, mlflow_project):
    bring_in(make_record(started_at=STARTED - 1000, batch_size=7))
    write_json(mlflow_project / "ablation.json", {"baseline": {"folds": 2}})
    compared = {GROUP: Comparison({"folds": 2}, {"ablation.json": mlflow_project / "ablation.json"})}
    records = [make_record(metrics=METRICS), make_record(OTHER)]
    bring_in(*records, comparisons=compared)
    assert false_claims(*records, comparisons=compared) == {
        ("present", RUN): [],
        ("present", OTHER): [],
        ("present", GROUP): [],
        ("superseded", RUN): [],
        ("superseded", GROUP): [],
    }


def test_a_stale_run_that_says_it_is_current_is_named(bring_in, false_claims, make_record):
    bring_in(make_record())
    retrained = make_record(started_at=STARTED + 1000)
    claim = "to be the run of the present files, which are another attempt's"
    assert false_claims(retrained) == {("superseded", RUN): [claim], ("present", GROUP): []}
    bring_in(retrained)
    assert not any(false_claims(retrained).values())


@pytest.mark.parametrize(
    ("tamper", "claim"),
    [
        (
            lambda client, run, _: client.log_metric(run, "test/elbo", -100.0),
            "metric test/elbo -100.0, the files say -155.5",
        ),
        (
            lambda client, run, _: client.log_metric(run, "train/loss", 1.0, step=2),
            r"metric train/loss 1.0 after epoch 2, the files say \d+.*",
        ),
        (
            lambda client, run, _: client.log_metric(run, "train/loss", 1.0, step=9),
            "metric train/loss 1.0 after epoch 9, the files say None",
        ),
        (lambda client, run, _: client.log_metric(run, "accuracy", 1.0), "metric accuracy 1.0, the files say None"),
        (lambda client, run, _: client.set_tag(run, "device", "gpu"), "tag device gpu, the files say cpu"),
        (lambda client, run, _: client.set_tag(run, "commit", "f"), "tag commit f, the files say 0{40}"),
        (lambda client, run, _: client.set_tag(run, CURRENT, "false"), "not to be the run of the present files"),
        (
            lambda client, run, _: client.set_terminated(run, "FINISHED", STARTED_MS + 5),
            rf"start and end \({STARTED_MS}, {STARTED_MS + 5}\), the files say \({STARTED_MS}, \d+\)",
        ),
        (lambda client, run, _: client.update_run(run, name="the best"), f"run name the best, the files say {RUN}"),
        (lambda client, run, _: client.log_param(run, "layers", 9), "param layers 9, the files say None"),
        (lambda client, run, _: client.log_text(run, "x", "new.txt"), "artifact new.txt, which the files do not have"),
        (
            lambda client, run, _: client.log_text(run, "x", "deep/metrics.json"),
            "artifact deep/metrics.json, which the files do not have",
        ),
        (
            lambda client, run, _: client.log_inputs(run, [dataset_input(Dataset("new", "b" * 64, "training"))]),
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
def test_what_the_files_do_not_say_is_named(bring_in, client, false_claims, make_record, tamper, claim):
    record = make_record(metrics=METRICS)
    bring_in(record)
    (run,) = runs_named(client, RUN)
    tamper(client, run.info.run_id, record)
    found = false_claims(record)
    assert found["present", GROUP] == []
    assert re.fullmatch(claim, *found["present", RUN])


def test_what_a_run_lacks_is_named_until_it_is_brought_in(live, bring_in, client, audited, make_record):
    record = make_record(metrics=METRICS)
    live.start(RUN, as_started(record))
    live.epoch(RUN, history(RUN)["epochs"][0], timings(RUN)["epochs"][0])
    live.kill(RUN)
    found = {each.run: each for each in audited(record)}
    assert (found[RUN].state, found[RUN].false_claims) == ("incomplete", [])
    assert found[GROUP].lacking == []
    expected = {"metric test/elbo", "metric train/loss of epoch 2", "artifact history.json", "its end"}
    assert expected < {*found[RUN].lacking}
    assert "metric train/loss of epoch 1" not in found[RUN].lacking

    bring_in(record)
    assert {each.state for each in audited(record)} == {"present"}
    (artifacts_of(*runs_named(client, RUN)) / "history.json").unlink()
    [found] = [each for each in audited(record) if each.run == RUN]
    assert (found.state, found.lacking) == ("incomplete", ["artifact history.json"])


def test_a_finished_run_that_says_it_is_running_is_named(bring_in, client, false_claims, make_record):
    record = make_record()
    bring_in(record)
    (run,) = runs_named(client, RUN)
    client.set_tag(run.info.run_id, WRITER, f"{socket.gethostname()} 1 {STARTED}")
    client.update_run(run.info.run_id, "RUNNING")
    assert false_claims(record)["incomplete", RUN] == ["to be running, but its process is gone"]


def test_a_run_that_trains_claims_nothing_yet(live, false_claims, make_record):
    live.start(RUN, as_started(make_record()))
    assert false_claims() == {("training", RUN): [], ("training", GROUP): []}


def test_the_health_of_each_epoch_is_held_against_the_files(bring_in, client, false_claims, make_record):
    health = [{"dead_units": {"dense": number}, "collapsed_dimensions": 0} for number in range(3)]
    epochs = zip(health, history(RUN)["epochs"], timings(RUN)["epochs"], strict=True)
    points = [epoch_points(losses | {"health": healthy}, timing) for healthy, losses, timing in epochs]
    record = replace(make_record(), points=tuple(itertools.chain(*points)))
    bring_in(record)
    (run,) = runs_named(client, RUN)
    logged = client.get_metric_history(run.info.run_id, "health/dead_units/dense")
    assert [point.value for point in logged] == [0, 1, 2]
    assert false_claims(record)["present", RUN] == []
    client.log_metric(run.info.run_id, "health/dead_units/dense", 9, step=1)
    assert len(false_claims(record)["present", RUN]) == 1


def test_runs_of_another_checkout_are_spoken_of_where_the_present_files_came_from_them(
    make_record, mlflow_project, mlflow_tables, monkeypatch
):
    shared = mlflow_project / "shared"
    shared.mkdir()
    shutil.copy(mlflow_tables, shared)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{shared / 'mlflow.db'}")
    mine, yours = Store(mlflow_project / "mine"), Store(mlflow_project / "yours")
    first, second = make_record(), make_record(OTHER, started_at=STARTED + 1000, batch_size=7)
    for store, record in ((mine, first), (yours, second)):
        sync(store, [record], with_comparisons([record], {}))
    found = audit(yours, [second], with_comparisons([second], {}))
    assert {each.run: each.false_claims for each in found} == {OTHER: [], GROUP: []}
    found = audit(yours, [first], with_comparisons([first], {}))
    assert {each.state for each in found if each.run == RUN} == {"present"}
