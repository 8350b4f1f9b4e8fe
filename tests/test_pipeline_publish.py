"""Stage `publish`: byte copies, and nothing that is left from before."""

import pytest
from example_project import write_project

from digit_vae.files import write_bytes, write_json
from pipeline import publish

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
