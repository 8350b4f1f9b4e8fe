import json
import re
import sys

import measured
import numpy as np
import pytest
from example_project import write_project

from digit_vae.files import write_json
from digit_vae.params import load_params, runs
from digit_vae.report import all_tables, report
from digit_vae.results import Results
from pipeline import compare, plot


@pytest.fixture
def evaluated(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["stage"])
    write_project(tmp_path, evaluate={"digits": 4, "grid": 3}, preprocess={"folds": 3})
    compare.main()
    return tmp_path


def written(drawn=("latent_plane",)):
    results = plot.load_results(load_params())
    return report(results, all_tables(results), drawn)


def change(path, **values):
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | values))


def test_losses_in_the_text_are_those_of_the_files(evaluated):
    path = evaluated / "models/baseline-full/history.json"
    history = json.loads(path.read_text())
    history["epochs"][-1]["val_loss"] = 150.0
    change(path, **history)
    text = written()
    assert "After 10 epochs `baseline-full` has a validation loss of 150.00, 8.62 below the 158.62" in text
    assert re.search(r"\| baseline-full \| CPU \| float32 \| 10 \|  \| [0-9.]+ \| [0-9.]+ \| 150.00 \|", text)


@pytest.mark.usefixtures("evaluated")
def test_a_second_run_on_the_cpu_is_not_passed_off_as_a_gpus():
    text = written()
    assert "here both were on the CPU" in text
    assert "`second_run-full` differs from `baseline-full` in: seed 1 instead of 0." in text
    assert "benchmark on a GPU: not measured" in text


def test_a_second_run_on_the_gpu_is_named(evaluated):
    path = evaluated / "models/second_run-full/history.json"
    change(path, params=json.loads(path.read_text())["params"] | {"device": "gpu"})
    text = written()
    assert "here `baseline-full` on a CPU and `second_run-full` on a GPU" in text
    assert "both were on the CPU" not in text


def test_speed_is_reported_where_it_was_measured(evaluated):
    assert "Nothing was measured: `make bench` does" in written()
    write_json(evaluated / "reports/benchmarks/a.json", measured.benchmark())
    write_json(evaluated / "reports/benchmarks/side_by_side/a.json", measured.comparison())
    text = written()
    assert (
        "| benchmark, 2 seeds, Some CPU @ 2GHz, 2 cores (not measured here) | CPU | float32 | 2 | 21.00 [20.00," in text
    )
    assert "| this project | float32 | 2 | 20.00 [20.00, 20.00] | 100.00 [100.00, 100.00] | 10.00 " in text
    assert "up to 10, each as long as the last" in text
    assert "Nothing was measured" not in text


@pytest.mark.parametrize(
    ("interval", "outcome"),
    [((0.1, 0.9), "higher than"), ((-0.9, -0.1), "lower than"), ((-0.1, 0.9), "not to be told from")],
)
def test_a_difference_counts_only_where_the_interval_leaves_zero_out(evaluated, interval, outcome):
    path = evaluated / "reports/metrics/variants/dropout.json"
    content = json.loads(path.read_text())
    difference = dict(zip(("difference_low", "difference_high"), interval, strict=True))
    content["validation"]["reconstruction_loss"] |= difference
    path.write_text(json.dumps(content))
    assert re.search(rf"- `dropout`: reconstruction loss [^;]*, {outcome} the baseline; ELBO", written())


@pytest.mark.usefixtures("evaluated")
def test_markdown_tables_have_as_many_cells_in_every_row():
    tables = [block.splitlines() for block in written().split("\n\n") if block.startswith("|")]
    assert len(tables) == 4
    for lines in tables:
        assert len({line.count("|") for line in lines}) == 1
        assert set(lines[1]) <= set("|-: ")


@pytest.mark.usefixtures("evaluated")
def test_tables_hold_every_declared_run_and_every_variant_on_folds():
    made = all_tables(plot.load_results(load_params()))
    assert [row[0] for row in made["ablation"].rows] == ["baseline", "l1_l2", "dropout", "batch_norm"]
    assert [row[0] for row in made["runs"].rows] == [run.name for run in runs(load_params())]


@pytest.mark.usefixtures("no_arguments")
def test_fewer_training_images_are_owned_up_to(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_project(tmp_path, preprocess={"train_images": 2000, "folds": 2}, train={"epochs": 1})
    compare.main()
    text = written()
    assert "These runs had 2,000 training images" in text
    assert "After 1 epoch `baseline-full`" in text


def test_beta_sweep_takes_runs_that_differ_in_beta_alone(tmp_path):
    variants = {
        "baseline": {"splits": ["full", "folds"]},
        "beta_4": {"splits": ["full"], "beta": 4.0},
        "beta_2": {"splits": ["folds"], "beta": 2.0},
        "beta_0_5": {"splits": ["full"], "beta": 0.5},
        "beta_and_dropout": {"splits": ["full"], "beta": 0.1, "dropout": 0.2},
        "other_seed": {"splits": ["full"], "seed": 1},
    }
    params = write_project(tmp_path, variants=variants, plot={"second_run": "other_seed-full"})
    assert list(results_of(params).beta_sweep().items()) == [
        ("beta_0_5-full", 0.5),
        ("baseline-full", 1.0),
        ("beta_4-full", 4.0),
    ]


def test_runs_of_one_beta_are_no_sweep(tmp_path):
    variants = {
        "baseline": {"splits": ["full"]},
        "again": {"splits": ["full"]},
        "beta_2": {"splits": ["folds"], "beta": 2.0},
    }
    params = write_project(tmp_path, variants=variants, plot={"second_run": "again-full"})
    assert results_of(params).beta_sweep() == {}


def results_of(params):
    return Results(params=params, histories={}, timings={}, metrics={}, variants={}, benchmarks={}, comparisons={})


@pytest.mark.usefixtures("evaluated")
def test_fold_differences_pair_each_fold_with_the_baselines():
    results = plot.load_results(load_params())
    folds, interval = results.fold_differences("elbo")["dropout"]
    expected = [
        results.metrics[f"dropout-{fold}"]["validation"]["elbo"]
        - results.metrics[f"baseline-{fold}"]["validation"]["elbo"]
        for fold in range(3)
    ]
    np.testing.assert_allclose(folds, expected)
    assert interval[0] < np.mean(expected) < interval[1]
