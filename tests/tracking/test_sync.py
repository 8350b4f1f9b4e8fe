import json
import shutil
import socket
import sqlite3
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from mirrored import all_runs, artifacts_of, as_started, client_of, content, points, runs_named, stored
from mlflow.exceptions import MlflowException
from synthetic import EPOCH_SECONDS, LOSSES, STARTED, history, timings

from digit_vae.base.errors import UserError
from digit_vae.base.files import write_json
from digit_vae.config.runs import find_run
from digit_vae.tracking.record import Comparison, Record, of_run
from digit_vae.tracking.store import CHECKOUT, CURRENT, FILES, NOTE, PARENT, WRITER, Store
from digit_vae.tracking.sync import Live, sync

# MLflow's own use of SQLAlchemy
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

RUN, OTHER, GROUP = "baseline-fold0-0", "baseline-fold1-0", "ablation/baseline"
LOST = "lost"  # the name of the run in a store that has lost its process
TEST_METRICS = {
    "test": {"elbo": -155.5, "kl_per_dimension": {"z0": 3.5}},
    "likelihood": {"binarised": {"iw_bound": {"k1000": -140.5}}},
}


@pytest.fixture
def live(store):
    return Live(store)


def epochs(run):
    return zip(history(run)["epochs"], timings(run)["epochs"], strict=True)


def log_first_epoch(live, record):
    live.start(record.name, as_started(record))
    live.epoch(record.name, *next(iter(epochs(record.name))))


def test_a_run_holds_what_its_files_say_at_their_times(bring_in, client, make_record):
    record = make_record(metrics=TEST_METRICS)
    assert bring_in(record).brought == [RUN]
    (run,) = runs_named(client, RUN)

    start, end = STARTED * 1000, (STARTED + 4 * EPOCH_SECONDS) * 1000
    assert (run.info.status, run.info.start_time, run.info.end_time) == ("FINISHED", start, end)
    assert run.data.params == {key: str(value) for key, value in history(RUN)["params"].items()}
    for key in (*LOSSES, "val_loss"):
        expected = [
            (epoch["epoch"], (STARTED + epoch["epoch"] * EPOCH_SECONDS) * 1000, epoch[key])
            for epoch in history(RUN)["epochs"]
        ]
        assert points(client, run, f"train/{key}") == expected
    assert [value for *_, value in points(client, run, "seconds/train")] == [EPOCH_SECONDS - 2] * 3
    assert run.data.metrics["test/elbo"] == -155.5
    assert run.data.metrics["test/kl_per_dimension/z0"] == 3.5
    assert run.data.metrics["likelihood/binarised/iw_bound/k1000"] == -140.5
    assert {name.partition("/")[0] for name in run.data.metrics} == {"train", "seconds", "test", "likelihood"}


def test_tags_datasets_note_and_artifacts(bring_in, client, make_record):
    record = make_record("baseline-full-0")
    bring_in(record)
    (run,) = runs_named(client, "baseline-full-0")
    assert (record.tags | record.identity | {CURRENT: "true"}).items() <= run.data.tags.items()
    note = run.data.tags[NOTE]
    assert note.startswith(record.note)
    assert f"runs/{run.info.run_id}/artifacts)" in note
    datasets = {
        entry.tags[0].value: (entry.dataset.name, entry.dataset.digest)
        for entry in client.get_run(run.info.run_id).inputs.dataset_inputs
    }
    assert datasets["training"] == ("train_images", "a" * 36)
    assert datasets["validation"][0] == "test_images"
    assert json.loads((artifacts_of(run) / "history.json").read_text()) == history("baseline-full-0")


def test_a_second_sync_changes_nothing(bring_in, mlflow_project, make_record):
    records = [make_record(RUN, metrics=TEST_METRICS), make_record("baseline-full-0")]
    bring_in(*records)
    before = stored(mlflow_project)
    assert bring_in(*records).brought == []
    assert stored(mlflow_project) == before


def test_a_run_logged_while_it_trained_equals_one_made_from_files(live, bring_in, client, make_record):
    record = make_record()
    bring_in(record)
    (from_files,) = runs_named(client, RUN)
    expected = content(client, from_files)
    client.delete_run(from_files.info.run_id)

    live.start(RUN, as_started(record))
    for losses, timing in epochs(RUN):
        live.epoch(RUN, losses, timing)
        (run,) = runs_named(client, RUN)
        assert run.info.status == "RUNNING"
        assert run.data.metrics["train/loss"] == losses["loss"]
    live.end(RUN, record)
    assert content(client, *runs_named(client, RUN)) == expected


def test_a_killed_run_that_goes_on_is_the_same_run_with_each_epoch_once(live, bring_in, client, make_record, store):
    record = make_record()
    bring_in(record)
    (from_files,) = runs_named(client, RUN)
    expected = content(client, from_files)
    client.delete_run(from_files.info.run_id)

    log_first_epoch(live, record)
    live.kill(RUN)
    (killed,) = runs_named(client, RUN)
    assert killed.info.status == "KILLED"

    other = Live(store)  # of the next call; the second epoch was finished, and never logged
    two_epochs = tuple(point for point in record.points if point.epoch < 3)
    other.start(RUN, replace(as_started(record), points=two_epochs))
    (run,) = runs_named(client, RUN)
    assert (run.info.run_id, run.info.status) == (killed.info.run_id, "RUNNING")
    assert [step for step, *_ in points(client, run, "train/loss")] == [1, 2]
    other.epoch(RUN, *list(epochs(RUN))[2])
    other.end(RUN, record)
    assert content(client, *runs_named(client, RUN)) == expected


def test_an_evaluation_is_added_later_and_a_changed_one_becomes_the_latest(bring_in, client, make_record):
    for metrics in ({}, TEST_METRICS, {"test": {"elbo": -160.0}}, {"test": {"elbo": -155.5}}):
        bring_in(make_record(metrics=metrics))
    (run,) = runs_named(client, RUN)
    assert run.data.metrics["test/elbo"] == -155.5
    assert [value for *_, value in points(client, run, "test/elbo")] == [-155.5, -160.0, -155.5]
    assert len(points(client, run, "train/loss")) == 3


def test_another_attempt_is_another_run_and_the_earlier_is_no_longer_current(bring_in, client, make_record):
    for started_at in (STARTED, STARTED + 1000):
        bring_in(make_record(started_at=started_at))
    assert {run.data.tags["started_at"]: run.data.tags[CURRENT] for run in runs_named(client, RUN)} == {
        str(STARTED): "false",
        str(STARTED + 1000): "true",
    }


def test_a_live_attempt_is_current_in_place_of_the_earlier_ones(live, bring_in, client, make_record):
    bring_in(make_record(), make_record(OTHER))
    live.start(RUN, as_started(make_record(started_at=STARTED + 1000)))
    assert {(run.info.run_name, run.data.tags["started_at"], run.data.tags[CURRENT]) for run in all_runs(client)
            if "run" in run.data.tags} == {
        (RUN, str(STARTED), "false"),
        (RUN, str(STARTED + 1000), "true"),
        (OTHER, str(STARTED), "true"),
    }  # fmt: skip


def test_runs_of_a_variant_in_a_study_share_a_group_with_the_comparison(bring_in, client, make_record, mlflow_project):
    spread = {"folds": 2, "test": {"elbo": {"mean": -155.0, "std": 0.5}}}
    write_json(mlflow_project / "ablation.json", {"baseline": spread})
    compared = Comparison(spread, {"ablation.json": mlflow_project / "ablation.json"})
    records = [make_record(RUN), make_record(OTHER), make_record("beta_2-fold0-0", beta=2.0)]
    bring_in(*records, comparisons={GROUP: compared})
    (group,) = runs_named(client, GROUP)
    assert group.data.metrics == {"folds": 2, "test/elbo/mean": -155.0, "test/elbo/std": 0.5}
    assert group.data.params["beta"] == "1.0"
    assert group.info.status == "FINISHED"
    for name in (RUN, OTHER):
        assert runs_named(client, name)[0].data.tags[PARENT] == group.info.run_id
    (other,) = runs_named(client, "beta/beta_2")
    assert runs_named(client, "beta_2-fold0-0")[0].data.tags[PARENT] == other.info.run_id


def test_a_further_seed_is_a_further_run_of_the_group(bring_in, client, make_record):
    records = [make_record("baseline-full-0"), make_record("baseline-full-1")]
    bring_in(records[0])
    assert bring_in(*records).brought == ["baseline-full-1"]
    (group,) = runs_named(client, "paper/baseline")
    assert {run.data.tags.get(PARENT) for run in all_runs(client)} == {None, group.info.run_id}


def test_what_is_known_of_all_runs_is_a_group_without_runs(bring_in, false_claims, client, make_record, mlflow_project):
    figure = mlflow_project / "seeds.png"
    figure.write_bytes(b"a figure")
    record = make_record()
    report = Record(
        name="report/paper",
        identity={"group": "report/paper"},
        tags={"graph": "paper"},
        params={"classifier.epochs": "8"},
        started=record.started,
        finished=record.finished,
        metrics={"classifier/accuracy": 0.99},
        files={"seeds.png": figure},
    )
    bring_in(record, further=[report])
    (run,) = runs_named(client, "report/paper")
    assert run.data.metrics == {"classifier/accuracy": 0.99}
    assert run.data.params == {"classifier.epochs": "8"}
    assert (run.info.status, run.data.tags[CURRENT]) == ("FINISHED", "true")
    assert (artifacts_of(run) / "seeds.png").read_bytes() == b"a figure"

    figure.write_bytes(b"another figure")
    assert "seeds.png" in str(false_claims(record, further=[report]))
    bring_in(record, further=[report])
    assert not any(false_claims(record, further=[report]).values())
    bring_in(record)
    assert runs_named(client, "report/paper")[0].data.tags[CURRENT] == "false"


def test_what_was_deleted_comes_back(bring_in, audited, client, make_record, mlflow_project):
    record = make_record(metrics=TEST_METRICS)
    bring_in(record)
    (run,) = runs_named(client, RUN)
    before = content(client, run)
    (artifacts_of(run) / "history.json").unlink()
    assert bring_in(record).brought == [RUN]
    assert content(client, run) == before

    with sqlite3.connect(mlflow_project / "mlflow.db") as connection:  # MLflow itself deletes no inputs
        connection.execute("DELETE FROM inputs")
    (lacking,) = (each.lacking for each in audited(record) if each.run == RUN)
    validation = history(RUN)["data"]["validation"]
    assert lacking == [f"dataset train_images {'a' * 36}", f"dataset fold0 {validation[:36]}"]
    assert bring_in(record).brought == [RUN]
    assert content(client, run) == before

    client.delete_experiment(run.info.experiment_id)
    assert sync(Store(mlflow_project), [record], []).brought == []
    assert content(client, *runs_named(client, RUN)) == before


def test_the_share_that_is_done_rises_to_all(store, make_record):
    shares = []
    records = [make_record(), make_record("baseline-fold1-0")]
    sync(store, records, [], shares.append)
    assert shares == [0.25, 0.5, 0.75, 1.0]
    sync(store, [], [], shares.append)


def test_another_store_made_from_the_same_files_is_equal(bring_in, client, make_record, mlflow_project, mlflow_tables):
    record = make_record(metrics=TEST_METRICS)
    bring_in(record)
    other = mlflow_project / "other"
    other.mkdir()
    shutil.copy(mlflow_tables, other)
    sync(Store(other), [record], [])
    runs = [(each, *runs_named(each, RUN)) for each in (client, client_of(other))]
    assert content(*runs[0]) == content(*runs[1])


def test_a_deleted_run_and_a_deleted_group_come_back_as_one_family(bring_in, audited, client, make_record):
    records = [make_record(RUN), make_record(OTHER)]
    bring_in(*records)
    for deleted in (RUN, GROUP):
        client.delete_run(runs_named(client, deleted)[0].info.run_id)
        lacking = {each.run: each.lacking for each in audited(*records)}
        assert all(lacking.values()) == (deleted == GROUP)
        assert bring_in(*records).brought == ([RUN] if deleted == RUN else [])
        (group,) = runs_named(client, GROUP)
        family = [*(runs_named(client, record.name)[0] for record in records), group]
        assert [run.data.tags.get(PARENT, group.info.run_id) for run in family] == [group.info.run_id] * 3
        assert [run.data.tags[CURRENT] for run in family] == ["true"] * 3
        assert {each.state for each in audited(*records)} == {"present"}


def test_a_renamed_run_and_a_renamed_group_get_their_names_back(bring_in, audited, client, make_record):
    record = make_record()
    bring_in(record)
    before = [content(client, *runs_named(client, name)) for name in (RUN, GROUP)]
    for name in (RUN, GROUP):
        client.update_run(runs_named(client, name)[0].info.run_id, name="the best")
    assert {each.run for each in audited(record)} == {RUN, GROUP}
    assert bring_in(record).brought == []
    assert [content(client, *runs_named(client, name)) for name in (RUN, GROUP)] == before


def test_a_run_of_before_is_told_which_studies_read_it(bring_in, client, make_record, audited):
    record = make_record()
    bring_in(record)
    for name in (RUN, GROUP):
        client.delete_tag(runs_named(client, name)[0].info.run_id, "studies")
    assert {each.run: each.lacking for each in audited(record)}[RUN] == ["tag studies"]
    assert bring_in(record).brought == []
    for name in (RUN, GROUP):
        assert runs_named(client, name)[0].data.tags["studies"] == ",ablation,recipe_folds,beta,"


def test_a_note_links_figures_where_there_are_some(live, bring_in, client, make_record):
    bare = make_record()
    drawn = replace(bare, figures=lambda _: {"loss_curves.png": b"a figure"})
    live.start(RUN, as_started(bare))
    for record, links in ((bare, False), (drawn, True), (drawn, True), (bare, False)):
        bring_in(record)
        (run,) = runs_named(client, RUN)
        assert (f"[Figures](#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}/artifacts/figures)"
                in run.data.tags[NOTE]) == links  # fmt: skip
    assert (artifacts_of(run) / "figures/loss_curves.png").is_file()


def test_a_note_that_the_user_wrote_stays(bring_in, client, make_record, false_claims):
    record = make_record()
    bring_in(record)
    client.set_tag(runs_named(client, RUN)[0].info.run_id, NOTE, "mine")
    bring_in(record)
    assert runs_named(client, RUN)[0].data.tags[NOTE] == "mine"
    assert not any(false_claims(record).values())


def test_a_run_of_a_dead_process_is_closed_at_its_last_sign_of_life(live, bring_in, client, make_record):
    record = make_record()
    log_first_epoch(live, record)
    assert bring_in().killed == []
    (run,) = runs_named(client, RUN)
    assert (run.info.status, run.data.tags[CURRENT]) == ("RUNNING", "true")

    with psutil.Popen(["true"]) as process:
        process.wait()
    client.set_tag(run.info.run_id, WRITER, f"{socket.gethostname()} {process.pid} {STARTED}")
    assert bring_in().killed == [RUN]
    (run,) = runs_named(client, RUN)
    assert (run.info.status, run.info.end_time) == ("KILLED", (STARTED + EPOCH_SECONDS) * 1000)
    assert run.data.tags[CURRENT] == "false"
    assert bring_in(record).brought == [RUN]
    assert [run.info.status for run in runs_named(client, RUN)] == ["FINISHED"]


@pytest.mark.parametrize("tag", [WRITER, PARENT, FILES, CURRENT, CHECKOUT, "variant", "cpu"])
def test_a_tag_that_was_deleted_is_not_needed(live, bring_in, audited, false_claims, client, make_record, tag):
    record = make_record()
    for log in (lambda: live.start(RUN, as_started(record)), lambda: bring_in(record)):
        log()
        (run,) = runs_named(client, RUN)
        if tag in run.data.tags:
            client.delete_tag(run.info.run_id, tag)
        audited()
        bring_in()
        bring_in(record)
        assert false_claims(record) == {("present", RUN): [], ("present", GROUP): []}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"history.json": 3}'])
def test_an_edited_list_of_files_has_them_brought_in_again(bring_in, client, make_record, text):
    record = make_record()
    bring_in(record)
    client.set_tag(runs_named(client, RUN)[0].info.run_id, FILES, text)
    assert bring_in(record).brought == [RUN]
    assert bring_in(record).brought == []


@pytest.fixture
def checkouts(mlflow_project, mlflow_tables, monkeypatch):
    """The stores of two checkouts, which are one."""
    shared = mlflow_project / "shared"
    shared.mkdir()
    shutil.copy(mlflow_tables, shared)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{shared / 'mlflow.db'}")
    return [Store(mlflow_project / name) for name in ("mine", "yours")]


def test_a_checkout_says_nothing_of_the_runs_of_another(checkouts, make_record):
    mine, yours = checkouts
    first, second = make_record(), make_record(OTHER, started_at=STARTED + 1000, batch_size=7)
    sync(mine, [first], [])
    Live(mine).start(LOST, as_started(make_record("dropout-fold0-0")))
    (open_run,) = runs_named(mine.client, "dropout-fold0-0")
    mine.client.set_tag(open_run.info.run_id, WRITER, f"{socket.gethostname()} 1 {STARTED}")  # its process is dead

    assert sync(yours, [second], []).killed == []
    marks = [run.data.tags[CURRENT] for name in (RUN, OTHER) for run in runs_named(mine.client, name)]
    assert marks == ["true", "true"]
    assert sync(mine, [], []).killed == ["dropout-fold0-0"]
    assert {run.data.tags[CURRENT] for run in runs_named(mine.client, RUN)} == {"false"}


def test_the_runs_of_an_experiment_stand_beside_the_projects_own(
    store, bring_in, client, make_record, small_params, false_claims
):
    own = make_record()
    bring_in(own)
    told, times = history(RUN, beta=3.0), timings(RUN, started_at=STARTED + 1000)
    tried = of_run(find_run(small_params, RUN), told, times, experiment="tidy-owl")
    live = Live(store)
    live.start(RUN, as_started(tried))
    assert live.names == (RUN,)
    live.end(RUN, tried)
    assert bring_in(own).brought == []
    assert {run.info.run_name: (run.info.status, run.data.tags[CURRENT]) for run in all_runs(client)} == dict.fromkeys(
        (RUN, GROUP, f"tidy-owl/{RUN}", f"tidy-owl/{GROUP}"), ("FINISHED", "true")
    )
    assert runs_named(client, f"tidy-owl/{RUN}")[0].data.tags["experiment"] == "tidy-owl"
    assert set(false_claims(own)) == {
        ("present", RUN),
        ("present", GROUP),
        ("of experiments", f"tidy-owl/{RUN}"),
        ("of experiments", f"tidy-owl/{GROUP}"),
    }


def test_a_killed_run_of_an_experiment_is_closed(store, bring_in, client, small_params, false_claims):
    tried = of_run(find_run(small_params, RUN), history(RUN), timings(RUN), experiment="tidy-owl")
    Live(store).start(RUN, as_started(tried))
    (run,) = runs_named(client, f"tidy-owl/{RUN}")
    client.set_tag(run.info.run_id, WRITER, f"{socket.gethostname()} 1 {STARTED}")
    assert len(false_claims()["of experiments", f"tidy-owl/{RUN}"]) == 1
    assert bring_in().killed == [f"tidy-owl/{RUN}"]
    assert false_claims()["of experiments", f"tidy-owl/{RUN}"] == []


def test_a_run_bears_its_writer_from_its_first_moment(store, live, client, make_record, monkeypatch):
    def unreachable(*_, **__):
        raise MlflowException("gone")

    with monkeypatch.context() as vanished:
        vanished.setattr(store.client, "log_batch", unreachable)
        with pytest.raises(UserError, match="gone"):
            live.start(RUN, as_started(make_record()))
    (made,) = all_runs(client)
    assert made.info.status == "RUNNING"
    assert made.data.tags[WRITER].split()[1] == str(psutil.Process().pid)


def test_a_run_that_is_not_of_this_project_is_left_alone(store, bring_in, client, make_record):
    bring_in(make_record())
    other = client.create_run(store.experiment_id, run_name="by hand")
    assert bring_in().killed == []
    (run,) = runs_named(client, "by hand")
    assert (run.info.status, CURRENT in run.data.tags) == (other.info.status, False)


def test_long_trainings_fit_into_batches(bring_in, client, make_record):
    bring_in(make_record(epochs=150))  # 1,500 points
    (run,) = runs_named(client, RUN)
    assert len(points(client, run, "train/loss")) == 150
    assert FILES in run.data.tags


def test_weights_are_added_when_they_appear_and_stay_when_they_go(
    bring_in, client, make_record, mlflow_project, audited
):
    bare = make_record()
    weights = mlflow_project / "encoder.weights.h5"
    weights.write_bytes(b"weights")
    whole = replace(bare, files=bare.files | {weights.name: weights})
    for record, brought in ((bare, [RUN]), (whole, [RUN]), (whole, [])):
        assert bring_in(record).brought == brought
    (run,) = runs_named(client, RUN)
    assert Path(artifacts_of(run), weights.name).read_bytes() == b"weights"
    bring_in(bare)
    assert Path(artifacts_of(run), weights.name).read_bytes() == b"weights"
    assert {(each.state, *each.false_claims, *each.lacking) for each in audited(bare)} == {("present",)}
