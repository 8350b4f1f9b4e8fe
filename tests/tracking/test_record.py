from dataclasses import replace

import pytest
from synthetic import EPOCH_SECONDS, LOSSES, STARTED, history, timings

from digit_vae.config.runs import Run
from digit_vae.tracking.record import (
    Comparison,
    commits_of,
    epoch_points,
    numbers,
    of_repetition,
    of_run,
    read_by,
    with_comparisons,
)

STARTED_MS = round(STARTED * 1000)


def record(name, study="ablation", graph="paper", *, experiment=None, **params):
    variant, split, seed = name.split("-")
    run = Run(variant, split, int(seed), study, graph)
    return of_run(run, history(name, **params), timings(name), experiment=experiment)


def test_a_run_is_told_from_others_by_name_inputs_and_start():
    made = record("dropout-fold1-0")
    assert made.identity == {
        "run": "dropout-fold1-0",
        "inputs_sha256": timings("dropout-fold1-0")["inputs_sha256"],
        "started_at": str(STARTED),
    }
    assert (made.started, made.finished) == (STARTED_MS, STARTED_MS + round(4000 * EPOCH_SECONDS))
    assert made.params["beta"] == "1.0"


def test_tags_say_what_a_run_is_and_what_made_it():
    assert record("beta_2-full-3", "seeds", "beyond").tags == {
        "variant": "beta_2",
        "split": "full",
        "seed": "3",
        "study": "seeds",
        "studies": ",seeds,",
        "graph": "beyond",
        "device": "cpu",
        "precision": "float32",
        "cpu": "A CPU",
        "gpu": "none",
        "machine": "A CPU, 2 cores",
        "commit": "0" * 40,
        "mlflow.source.git.commit": "0" * 40,
        "mlflow.source.name": "beyond/dvc.yaml:train_seeds@beta_2-full-3",
        "mlflow.source.type": "LOCAL",
    }
    assert "dvc repro train_ablation@dropout-fold1-0" in record("dropout-fold1-0").note


@pytest.mark.parametrize(("name", "validation"), [("dropout-fold1-0", "fold1"), ("baseline-full-0", "test_images")])
def test_datasets_are_those_that_were_learnt_from_and_validated_on(name, validation):
    training, validated = record(name).datasets
    assert training == ("train_images", "a" * 64, "training")
    assert validated == (validation, history(name)["data"]["validation"], "validation")


def test_an_epoch_is_grouped_by_what_it_tells_of():
    (losses, *_), (timing, *_) = history("baseline-full-0")["epochs"], timings("baseline-full-0")["epochs"]
    losses = losses | {"health": {"dead_units": {"dense": 7}, "collapsed_dimensions": 0}}
    values = {point.name: point.value for point in epoch_points(losses, timing | {"cpu_seconds": 9.0})}
    assert values == {
        **{f"train/{name}": losses[name] for name in LOSSES},
        **{f"train/val_{name}": losses[f"val_{name}"] for name in LOSSES},
        "health/dead_units/dense": 7,
        "health/collapsed_dimensions": 0,
        "seconds/train": EPOCH_SECONDS - 2,
        "seconds/validation": 2.0,
        "seconds/cpu": 9.0,
    }
    assert {(point.epoch, point.time) for point in epoch_points(losses, timing)} == {
        (1, STARTED_MS + round(1000 * EPOCH_SECONDS))
    }


def test_numbers_of_a_file_alone_become_metrics():
    content = {"folds": 2, "test": {"elbo": {"mean": -1.5, "hedges_g": None}}, "runs": ["a"], "name": "b"}
    assert numbers(content) == {"folds": 2, "test/elbo/mean": -1.5}


def test_a_further_seed_is_a_further_child_of_the_same_group():
    runs = [record("l1_l2-fold0-0"), record("l1_l2-fold1-0"), record("l1_l2-fold0-1")]
    (group,) = with_comparisons(runs, {})
    assert (group.name, group.identity["group"], group.parent) == ("ablation/l1_l2", "ablation/l1_l2", None)
    assert "seed" not in group.params
    assert {**group.tags, "mlflow.source.name": ""} == {
        "variant": "l1_l2",
        "study": "ablation",
        "studies": ",ablation,",
        "graph": "paper",
        "commit": "0" * 40,
        "mlflow.source.git.commit": "0" * 40,
        "mlflow.source.name": "",
        "mlflow.source.type": "LOCAL",
    }


def test_a_group_has_the_commits_of_its_runs_in_their_order():
    first, second, third, none = (record(f"l1_l2-fold{fold}-0") for fold in (0, 1, 2, 3))
    runs = [
        replace(second, tags=second.tags | {"commit": "b-dirty"}, started=2),
        replace(first, tags=first.tags | {"commit": "a"}, started=1),
        replace(third, tags=third.tags | {"commit": "a"}, started=3),
        replace(none, tags={}),
    ]
    [group] = with_comparisons(runs, {})
    assert (group.tags["commit"], group.tags["mlflow.source.git.commit"]) == ("a, b-dirty", "b")
    assert commits_of([runs[-1]]) == {}


def test_a_group_has_the_comparison_of_its_variant_in_its_study(tmp_path):
    compared = Comparison(
        {"folds": 2, "test": {"elbo": {"mean": -155.0}}}, {"ablation.json": tmp_path / "ablation.json"}
    )
    runs = [record("l1_l2-fold0-0"), record("l1_l2-fold0-1", "others")]
    groups = with_comparisons(runs, {"ablation/l1_l2": compared, "ablation/dropout": compared})
    assert {group.name: group.metrics for group in groups} == {
        "ablation/l1_l2": {"folds": 2, "test/elbo/mean": -155.0},
        "others/l1_l2": {},
    }
    assert groups[0].files == compared.files


def test_runs_of_a_variant_with_other_params_are_not_compared(tmp_path):
    compared = Comparison({"folds": 2}, {"ablation.json": tmp_path / "ablation.json"})
    runs = [record("l1_l2-fold0-0"), record("l1_l2-fold1-0", beta=2.0)]
    groups = with_comparisons(runs, {"ablation/l1_l2": compared})
    assert [(group.name, group.metrics) for group in groups] == [("ablation/l1_l2", {})] * 2
    assert groups[0].identity != groups[1].identity


def test_a_run_of_an_experiment_is_another_run_in_another_group():
    own, other = record("dropout-fold0-0"), record("dropout-fold0-0", experiment="tidy-owl")
    assert (other.name, other.identity["run"]) == ("tidy-owl/dropout-fold0-0",) * 2
    assert (other.parent.name, other.parent.identity["group"]) == ("tidy-owl/ablation/dropout",) * 2
    assert other.tags == own.tags | {"experiment": "tidy-owl"}
    assert other.parent.tags == own.parent.tags | {"experiment": "tidy-owl"}
    assert (other.points, other.params) == (own.points, own.params)


def test_a_repetition_of_a_benchmark_is_a_run_of_the_benchmark():
    told = history("baseline-full-0") | {"run": "a-cpu-seed-3", "variant": "a-cpu"}
    made = of_repetition("benchmark/a-cpu", 3, told, timings("baseline-full-0"), {"matrix_gflops": 100.0})
    assert (made.name, made.parent.name) == ("a-cpu-seed-3", "benchmark/a-cpu")
    assert made.tags.items() >= {"study": "benchmark", "seed": "3", "device": "cpu"}.items()
    assert made.metrics == {"speed/matrix_gflops": 100.0}


def test_a_run_and_its_group_name_all_studies_that_read_them():
    made = read_by(record("baseline-fold0-0"), ("ablation", "beta"))
    assert {each.tags["study"] for each in (made, made.parent)} == {"ablation"}
    assert {each.tags["studies"] for each in (made, made.parent)} == {",ablation,beta,"}


def test_a_run_that_trains_has_no_end_yet():
    run = Run("baseline", "full", 0, "paper", "paper")
    begun = timings("baseline-full-0", epochs=0)
    del begun["finished_at"]
    started = of_run(run, history("baseline-full-0", epochs=0, beta=2.0), begun)
    assert (started.finished, started.points) == (None, ())
    whole = of_run(run, history("baseline-full-0", beta=2.0), timings("baseline-full-0"))
    assert replace(started, finished=whole.finished, points=whole.points, params=whole.params) == replace(
        whole, parent=started.parent
    )


def test_a_group_has_the_data_of_its_runs():
    [group] = with_comparisons([record("baseline-fold0-0"), record("baseline-fold1-0")], {})
    assert [dataset.name for dataset in group.datasets] == ["train_images", "fold0", "fold1"]
