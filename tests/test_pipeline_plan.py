"""The committed run matrix, and what a changed one does to a running pipeline."""

from pathlib import Path

import yaml

from digit_vae.params import load_params
from pipeline import plan

ROOT = Path(__file__).parents[1]


def test_the_committed_matrix_follows_the_committed_params():
    assert (ROOT / "runs.yaml").read_text() == plan.matrix(load_params(ROOT / "params.yaml"))


def test_the_matrix_names_for_each_run_the_file_it_is_validated_on():
    matrix = yaml.safe_load(plan.matrix(load_params(ROOT / "params.yaml")))["runs"]
    assert matrix["baseline-full"] == {"variant": "baseline", "validation": "test_images.npy"}
    assert matrix["l1_l2-3"] == {"variant": "l1_l2", "validation": "folds/3.npy"}


def test_extended_runs_stand_apart(project):
    for extended, (there, elsewhere) in {True: ("extended", "runs"), False: ("runs", "extended")}.items():
        params = yaml.safe_load((project / "params.yaml").read_text())
        params["variants"]["more"] = {"splits": ["full"], "extended": extended}
        (project / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
        matrix = yaml.safe_load(plan.matrix(load_params()))
        assert matrix[there]["more-full"] == {"variant": "more", "validation": "test_images.npy"}
        assert "more-full" not in matrix[elsewhere]


def test_a_changed_matrix_is_written_and_the_stage_asks_for_another_start(project, run_stage, capsys):
    (project / "runs.yaml").write_text("runs: {}\n")
    assert run_stage(plan.main) == 1
    assert capsys.readouterr().err == (
        "error: runs.yaml now follows params.yaml, but the graph in use is the old one: run `dvc repro` again\n"
    )
    assert (project / "runs.yaml").read_text() == (ROOT / "runs.yaml").read_text()
    assert run_stage(plan.main) == 0


def test_ahead_of_the_graph_a_changed_matrix_is_no_error(project, run_stage):
    assert run_stage(plan.main, "--quiet") == 0
    assert (project / "runs.yaml").is_file()


def test_an_unchanged_matrix_is_not_written_again(project, run_stage):
    assert run_stage(plan.main, "--quiet") == 0
    before = (project / "runs.yaml").stat()
    assert run_stage(plan.main) == 0
    assert (project / "runs.yaml").stat() == before


def test_wrong_params_leave_the_matrix_as_it_is(project, run_stage, capsys):
    (project / "runs.yaml").write_text("old")
    (project / "params.yaml").write_text("train: 1")
    assert run_stage(plan.main) == 1
    assert "params.yaml" in capsys.readouterr().err
    assert (project / "runs.yaml").read_text() == "old"
