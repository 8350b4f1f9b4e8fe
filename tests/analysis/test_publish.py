"""Stage `publish`: byte copies, and nothing that is left from before; which extended runs the report may show."""

import shutil
from dataclasses import asdict

import pytest
import yaml
from example_project import write_project

from digit_vae.base.files import write_bytes, write_json
from digit_vae.config.params import find_run, load_params, run_params
from pipeline import compare, publish

VARIANTS = {"baseline": {"splits": ["full"]}, "second_run": {"splits": ["full"], "seed": 1}}


@pytest.fixture
def trained(project):
    write_project(project, variants=VARIANTS)
    write_bytes(project / "models/baseline-full/model.weights.h5", b"weights")
    write_json(project / "data/processed/manifest.json", {"sha256": {}})
    return project


@pytest.mark.usefixtures("no_arguments")
def test_what_is_published_are_byte_copies_and_nothing_else(trained):
    stale = trained / "reports/published/removed-0.history.json"
    write_bytes(stale, b"stale")
    publish.main()
    originals = {
        "baseline-full.history.json": "models/baseline-full/history.json",
        "baseline-full.timings.json": "models/baseline-full/timings.json",
        "baseline-full.model.weights.h5": "models/baseline-full/model.weights.h5",
        "second_run-full.history.json": "models/second_run-full/history.json",
        "second_run-full.timings.json": "models/second_run-full/timings.json",
        "manifest.json": "data/processed/manifest.json",
    }
    assert {path.name: path.read_bytes() for path in stale.parent.iterdir()} == {
        name: (trained / original).read_bytes() for name, original in originals.items()
    }


def test_a_run_that_is_not_trained_is_named(trained, run_stage, capsys):
    (trained / "models/second_run-full/timings.json").unlink()
    assert run_stage(publish.main) == 1
    assert "second_run-full/timings.json is missing: `dvc repro train@second_run-full`" in capsys.readouterr().err


def test_one_run_of_each_model_is_shown_beside_the_others(project):
    variants = {
        "again": {"splits": ["full"], "seed": 7},
        "baseline": {"splits": ["full", "folds"]},
        "second_run": {"splits": ["full"], "seed": 1},
        "strong": {"splits": ["full", "folds"], "beta": 4.0},
        "other": {"splits": ["full"], "dropout": 0.1},
    }
    params = write_project(
        project, variants=variants, plot={"first_run": "again-full", "second_run": "second_run-full"}
    )
    assert [run.name for run in publish.shown_beside(params)] == ["baseline-0", "strong-0", "other-full"]


@pytest.fixture
def extended(project):
    """A project whose extended variants, one of them on two folds, are trained and not published."""
    usual = VARIANTS | {"baseline": {"splits": ["full", "folds"]}}
    more = {"beta_8": {"splits": ["full"], "beta": 8.0}, "wide": {"splits": ["folds"], "dropout": 0.5}}
    variants = usual | {name: each | {"extended": True} for name, each in more.items()}
    params = write_project(project, preprocess={"folds": 2}, variants=variants)
    shutil.rmtree(project / "reports/extended")  # nothing is published, nor evaluated
    hashes = {"train_images.npy": "t", "test_images.npy": "e", "folds/0.npy": "f", "folds/1.npy": "g"}
    write_json(project / publish.MANIFEST, {"sha256": hashes})
    for name in ("beta_8-full", "wide-0", "wide-1"):
        run = find_run(params, name)
        (project / publish.METRICS / f"{name}.json").rename(project / publish.METRICS / "moved")
        history = {
            "params": asdict(run_params(params, run)),
            "data": {"train_images": "t", "validation": hashes[run.validation_file]},
        }
        write_json(project / run.folder / "history.json", history)
        write_json(project / run.folder / "timings.json", {"run": name})
        write_bytes(project / run.folder / "digits.npz", b"digits of " + name.encode())
        (project / publish.METRICS / "moved").rename(project / run.metrics)
    return project


def test_the_report_knows_extended_runs_once_they_are_published(extended, run_stage, capsys):
    everything = load_params()
    assert publish.reported(everything).variants.keys() == {"baseline", "second_run"}
    assert run_stage(compare.main) == 0
    assert capsys.readouterr().out.endswith("as params.yaml has them: beta_8, wide\n")
    stale = extended / publish.EXTENDED / "removed-0.history.json"
    write_bytes(stale, b"stale")
    assert run_stage(publish.main, "--extended") == 0
    assert not stale.exists()
    assert publish.reported(everything) == everything
    shutil.rmtree(extended / "extended")  # a fresh clone has the copies alone
    assert run_stage(compare.main) == 0
    assert (extended / "reports/metrics/variants/wide.json").is_file()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("changed", ["params", "classifier"])
def test_metrics_of_another_evaluation_do_not_enter_the_report(extended, run_stage, changed):
    assert run_stage(publish.main, "--extended") == 0
    if changed == "params":
        params = yaml.safe_load((extended / "params.yaml").read_text())
        params["evaluate"]["generated"] = 500
        (extended / "params.yaml").write_text(yaml.safe_dump(params))
    else:
        write_json(extended / publish.CLASSIFIER, {"accuracy": 0.995})
    assert publish.reported(load_params()).variants.keys() == {"baseline", "second_run"}
    assert run_stage(publish.main, "--extended") == 0
    assert publish.reported(load_params()) == load_params()


def test_copies_of_extended_runs_are_those_of_their_bytes(extended, run_stage):
    assert run_stage(publish.main, "--extended") == 0
    models = extended / "extended/models/wide-1"
    for file in ("history.json", "timings.json"):
        assert (extended / f"reports/extended/runs/wide-1.{file}").read_bytes() == (models / file).read_bytes()
    shown = {path.name: path.read_bytes() for path in (extended / publish.EXTENDED).glob("*.digits.npz")}
    assert shown == {f"{run}.digits.npz": b"digits of " + run.encode() for run in ("beta_8-full", "wide-0")}
    assert (extended / "reports/metrics/runs/wide-1.json").read_bytes() == (models / "metrics.json").read_bytes()
    assert not (extended / "reports/published").exists()


def test_an_extended_variant_of_other_params_or_data_is_not_reported(extended, run_stage, capsys):
    assert run_stage(publish.main, "--extended") == 0
    params = yaml.safe_load((extended / "params.yaml").read_text())
    params["variants"]["beta_8"]["beta"] = 9.0
    (extended / "params.yaml").write_text(yaml.safe_dump(params))
    assert "beta_8" not in publish.reported(load_params()).variants
    assert capsys.readouterr().out.endswith("as params.yaml has them: beta_8\n")
    hashes = {"train_images.npy": "t", "test_images.npy": "e", "folds/0.npy": "f", "folds/1.npy": "another"}
    write_json(extended / publish.MANIFEST, {"sha256": hashes})
    assert publish.reported(load_params()).variants.keys() == {"baseline", "second_run"}
