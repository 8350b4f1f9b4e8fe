import json
import re
import sys

import measured
import pytest
from example_project import write_project

from digit_vae.base.files import write_json
from digit_vae.config.params import load_params, runs
from digit_vae.report.report import all_tables, report
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


def test_losses_of_the_other_precision_stand_beside_those_of_the_seeds(evaluated):
    write_json(evaluated / "reports/benchmarks/a.json", measured.benchmark())
    assert "mixed_bfloat16 the validation loss" not in written()
    write_json(evaluated / "reports/benchmarks/b.json", measured.benchmark(precision="mixed_bfloat16"))
    results = plot.load_results(load_params())
    seeds = results.last_losses(results.seeds("baseline")).values()
    found = (
        "In mixed_bfloat16 the validation loss ends between 180.00 and 181.00, {} what 10 seeds in float32 give ({})."
    )
    assert found.format("not all inside", f"{min(seeds):.2f} to {max(seeds):.2f}") in written()
    for name, loss in zip(results.seeds("baseline"), range(175, 185), strict=True):
        results.histories[name]["epochs"][-1]["val_loss"] = float(loss)
    assert found.format("inside", "175.00 to 184.00") in report(results, all_tables(results), ())


@pytest.mark.usefixtures("evaluated")
def test_markdown_tables_have_as_many_cells_in_every_row():
    tables = [block.splitlines() for block in written().split("\n\n") if block.startswith("|")]
    assert len(tables) > 12
    for lines in tables:
        assert len({line.count("|") for line in lines}) == 1
        assert set(lines[1]) <= set("|-: ")


@pytest.mark.usefixtures("evaluated")
def test_tables_hold_every_declared_run_and_every_variant_on_folds():
    params = load_params()
    made = all_tables(plot.load_results(params))
    on_folds = [name for name, variant in params.variants.items() if "folds" in variant.splits]
    assert [row[0] for row in made["ablation"].rows] == [name for name in on_folds if not name.startswith("beta_")]
    for name in ("likelihood_grey", "likelihood_binarised", "latent", "quality"):
        assert [row[0] for row in made[name].rows] == on_folds
    for name in ("runs", "health_runs"):
        assert [row[0] for row in made[name].rows] == [run.name for run in runs(params)]


@pytest.mark.usefixtures("evaluated")
def test_variants_that_nobody_trained_are_named():
    results = plot.load_results(load_params(), missing=("beta_8", "seed_77"))
    text = report(results, all_tables(results), ())
    assert "(`make extended` does that): `beta_8`, `seed_77`." in text
    assert "Not in this report" not in written()


@pytest.mark.usefixtures("no_arguments")
def test_fewer_training_images_are_owned_up_to(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_project(tmp_path, preprocess={"train_images": 2000, "folds": 2}, train={"epochs": 1})
    compare.main()
    text = written()
    assert "These runs had 2,000 training images" in text
    assert "After 1 epoch `baseline-full`" in text
