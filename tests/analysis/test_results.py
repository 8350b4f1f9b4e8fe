import dataclasses
import functools
import json
import math
import operator
import shutil

import pytest
from example_project import MACHINE, STUDIES, change, example_results, study, write_project

from digit_vae.analysis import results as reading
from digit_vae.analysis.results import read_results, read_run, refuse_undeclared, undeclared_runs
from digit_vae.base.errors import UserError
from digit_vae.base.files import write_json
from digit_vae.base.paths import CLASSIFIER_METRICS, MODELS, RunFiles
from digit_vae.config.loading import load_params
from digit_vae.config.runs import find_run, runs
from digit_vae.data.datasets import KNOWN


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working folder, with a project in it."""
    monkeypatch.chdir(tmp_path)
    write_project(tmp_path)
    return tmp_path


def beyond():
    return read_results(load_params(), "beyond")


@pytest.mark.usefixtures("folder")
def test_the_papers_results_are_those_of_its_graph_alone():
    results = read_results(load_params(), "paper")
    assert list(results.runs) == [run.name for run in runs(load_params(), "paper")]
    assert results.studies("paper") == ["paper", "ablation"]
    assert (results.studies("beyond"), results.left_out) == ([], {})


def test_the_papers_results_need_nothing_beyond_it(folder):
    shutil.rmtree(folder / "reports/beyond")
    assert read_results(load_params(), "paper").studies("paper") == ["paper", "ablation"]


def test_what_the_paper_lacks_is_an_error_that_names_the_stage(folder):
    shutil.rmtree(folder / "reports/paper/runs/dropout-fold1-0")
    with pytest.raises(UserError, match=r"dropout-fold1-0/history.json is missing.*train_ablation@dropout-fold1-0"):
        read_results(load_params(), "paper")


def test_a_run_of_the_paper_that_is_not_evaluated_yet_is_an_error_that_names_the_stage(folder):
    (folder / "reports/paper/runs/dropout-fold1-0/evaluation.json").unlink()
    with pytest.raises(UserError, match=r"dropout-fold1-0/evaluation.json is missing.*evaluate_ablation@dropout-fold1"):
        read_results(load_params(), "paper")


@pytest.mark.usefixtures("folder")
def test_a_classifier_is_measured_where_images_have_labels(monkeypatch):
    write_json(CLASSIFIER_METRICS, {"images": 200})
    with pytest.raises(UserError, match=rf"{CLASSIFIER_METRICS} is damaged \(it lacks accuracy\)"):
        read_results(load_params(), "paper")
    monkeypatch.setattr(reading, "described", lambda: dataclasses.replace(KNOWN["mnist"], classes=()))
    assert read_results(load_params(), "paper").classifier == {"images": 200}


@pytest.mark.usefixtures("folder")
def test_studies_are_read_with_those_beside_them():
    results = beyond()
    assert results.left_out == {}
    assert results.studies("beyond") == ["seeds", "recipe", "recipe_folds", "cures", "beta"]
    full = {name: [each.run.seed for each in its] for name, its in results.on_full("cures").items()}
    assert full == {"baseline": [0, 1, 2, 3, 4], "improved": [0, 1, 2], "warmup": [0]}
    assert {each.run.graph for each in results.in_graph("paper")} == {"paper"}


def test_a_study_without_all_of_its_runs_is_left_out_with_those_that_stand_beside_it(folder):
    shutil.rmtree(folder / "reports/beyond/runs/improved-full-1")
    (folder / "reports/beyond/runs/improved-full-2/metrics.json").unlink()
    (folder / "reports/beyond/runs/improved-full-0/evaluation.json").unlink()
    results = beyond()
    assert set(results.left_out) == {"recipe", "cures"}
    assert results.left_out["recipe"].missing == ("improved-full-0", "improved-full-1", "improved-full-2")
    assert "warmup-full-0" not in results.runs
    assert "improved-fold0-0" in results.runs


def test_all_studies_beyond_are_left_out_where_there_are_no_results_of_them(folder):
    shutil.rmtree(folder / "reports/beyond")
    results = beyond()
    assert set(results.left_out) == set(STUDIES) - {"paper", "ablation"}
    assert results.studies("paper") == ["paper", "ablation"]


@pytest.mark.usefixtures("folder")
def test_a_study_trained_with_other_params_is_left_out():
    params = vars(load_params().train) | {"seed": 0, "beta": 3.0}
    change("beta_2-fold1-0", "history", params=params)
    left_out = beyond().left_out
    assert set(left_out) == {"beta"}
    assert left_out["beta"] == ((), ("beta_2-fold1-0",), ())


@pytest.mark.usefixtures("folder")
def test_a_study_that_learnt_from_other_images_is_left_out():
    change("baseline-full-3", "history", data={"train_images": "d" * 64, "validation": "b" * 64})
    left_out = beyond().left_out
    assert set(left_out) == {"seeds", "recipe", "cures"}
    assert left_out["seeds"].other_images == ("baseline-full-3",)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("graph", ["paper", "beyond"])
def test_a_run_of_the_paper_with_other_params_is_an_error(graph):
    change("dropout-fold0-0", "history", params=vars(load_params().train) | {"seed": 0})
    with pytest.raises(UserError, match=r"dropout-fold0-0.*dvc repro train_ablation@dropout-fold0-0"):
        read_results(load_params(), graph)


@pytest.mark.usefixtures("folder")
def test_results_of_another_machine_are_reported():
    change("improved-full-1", "timings", machine=MACHINE | {"cpu": "Another"})
    results = beyond()
    assert results.left_out == {}
    assert results.runs["improved-full-1"].timings["machine"]["cpu"] == "Another"


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("file", "values", "place"),
    [
        ("history", {"epochs": "many"}, "epochs"),
        ("history", {"data": {"train_images": 3, "validation": "b"}}, r"data\.train_images"),
        ("timings", {"machine": None}, "machine"),
        ("timings", {"epochs": [{"train_seconds": "20", "validation_seconds": 1.0}]}, r"epochs\[0\]\.train_seconds"),
        ("metrics", {"test": {"elbo": "high"}}, r"test\.elbo"),
        ("metrics", {"latent": {"nmi": []}}, r"latent\.nmi"),
        ("evaluation", {"classifier_sha256": 7}, "classifier_sha256"),
    ],
)
def test_a_value_of_another_kind_is_named_with_its_file(file, values, place):
    change("dropout-fold0-0", file, **values)
    with pytest.raises(UserError, match=rf"dropout-fold0-0/{file}\.json is damaged \({place}: "):
        read_results(load_params(), "paper")


def test_folders_that_no_study_declares_are_found_and_refused(folder):
    old = [
        RunFiles("beyond", "baseline-full-9").reports,
        RunFiles("paper", "old-fold0-0").reports,
        MODELS / "old-fold0-0",
    ]
    for path in (*old, MODELS / "classifier", MODELS / "baseline-full-0"):
        (folder / path).mkdir(parents=True)
    (folder / MODELS / "a_file").touch()
    assert undeclared_runs(load_params()) == sorted(old)
    with pytest.raises(UserError, match="reports/paper/runs/old-fold0-0: `digit-vae tidy`"):
        read_results(load_params(), "paper")
    with pytest.raises(UserError, match=r"beyond/runs/baseline-full-9.*digit-vae tidy"):
        read_results(load_params(), "beyond")
    (folder / old[1]).rmdir()
    refuse_undeclared(load_params(), ["paper"])


DAMAGES = {
    "metrics": (
        ("latent", "mutual_information"),
        ("latent", "knn_accuracy"),
        ("quality", "mixture"),
        ("test", "kl_per_dimension"),
        ("likelihood", "grey", "log_likelihood"),
        ("likelihood", "binarised", "iw_bound", "k1000"),
    ),
    "history": (
        ("data", "train_images"),
        ("epochs", 0),
        ("epochs", -1),
        ("epochs", 1, "health", "collapsed_dimensions"),
        ("epochs", -1, "health", "kl_per_dimension"),
        ("epochs", 0, "health", "dead_units", "dense"),
    ),
    "timings": (("machine", "platform"), ("machine", "cores"), ("epochs", 0), ("epochs", 0, "train_seconds")),
    "evaluation": (("machine", "cpu"), ("classifier_sha256",)),
}


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(("file", "keys"), [(file, keys) for file, its in DAMAGES.items() for keys in its])
def test_a_file_without_what_is_read_of_it_is_refused_with_file_and_place(file, keys):
    run = find_run(load_params(), "dropout-fold1-0")
    path = getattr(run.files, file)
    *_, named = [key for key in keys if isinstance(key, str)]
    for value in (None, True, {}, math.nan):
        content = json.loads(path.read_text(encoding="utf-8"))
        *way, last = keys
        at = functools.reduce(operator.getitem, way, content)
        at[last] = value
        check_refused(run, path, content, named)
        del at[last]
        check_refused(run, path, content, named)


def check_refused(run, path, content, named):
    before = path.read_bytes()
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(UserError, match=rf"{path} is damaged \([^\n]*{named}[^\n]*$"):
        read_run(run, required=True)
    path.write_bytes(before)


@pytest.mark.usefixtures("folder")
def test_what_a_run_says_of_its_last_epoch_and_of_all():
    result = beyond().runs["baseline-full-0"]
    last = result.history["epochs"][-1]
    assert (result.loss, result.health) == (last["val_loss"], last["health"])
    assert (result.dead_units, result.collapsed, result.epochs_asleep) == (last["health"]["dead_units"]["hidden"], 0, 1)
    assert result.number("likelihood", "grey", "elbo") == result.metrics["likelihood"]["grey"]["elbo"]


def test_complaints_never_stop_the_report(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results = example_results(tmp_path, health={"epochs": 1, "warn_dead_share": 0.5, "fail_dead_share": 0.6})
    result = results.runs["baseline-full-0"]
    assert results.complaints(result) == [f"{result.dead_units} of 16 units of layer hidden are dead"]
    limits = dataclasses.replace(results.params.health, epochs=10)
    later = dataclasses.replace(results, params=dataclasses.replace(results.params, health=limits))
    assert later.complaints(result) == []


def test_a_study_of_one_seed_more_needs_that_run_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_project(tmp_path)
    more = STUDIES | {"seeds": study(["baseline"], ["full"], [2, 3, 4, 5], beside=["paper"], beyond=True)}
    (tmp_path / "again").mkdir()
    params = write_project(tmp_path / "again", studies=more)
    assert read_results(params, "beyond").left_out["seeds"].missing == ("baseline-full-5",)
