import json

import pytest
from example_project import change, write_project

from digit_vae.analysis.fold_comparison import fold_study
from digit_vae.analysis.results import read_results
from digit_vae.base.paths import comparisons
from digit_vae.config.loading import load_params
from pipeline import compare


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_project(tmp_path)
    return tmp_path


def written(graph):
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in comparisons(graph).iterdir()}


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(("graph", "studies"), [("paper", {"ablation"}), ("beyond", {"recipe_folds", "beta"})])
def test_each_study_on_folds_has_a_file_of_its_graph(run_stage, graph, studies):
    assert run_stage(compare.main, graph) == 0
    found = written(graph)
    assert set(found) == studies
    results = read_results(load_params(), graph)
    assert found == {name: fold_study(results, name).compare() for name in studies}


@pytest.mark.usefixtures("folder")
def test_a_study_that_is_left_out_has_no_file_any_more(run_stage):
    assert run_stage(compare.main, "beyond") == 0
    change("beta_2-fold0-0", "history", params=vars(load_params().train) | {"seed": 0})
    assert run_stage(compare.main, "beyond") == 0
    assert set(written("beyond")) == {"recipe_folds"}


def test_a_missing_result_of_the_paper_is_one_line(folder, run_stage, capsys):
    (folder / "reports/paper/runs/dropout-fold0-0/metrics.json").unlink()
    assert run_stage(compare.main, "paper") == 1
    [line] = capsys.readouterr().err.splitlines()
    assert "evaluate_ablation@dropout-fold0-0" in line
