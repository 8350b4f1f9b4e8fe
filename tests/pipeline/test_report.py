import pytest
from example_project import write_project

from digit_vae.base.paths import REPORTS, figures, tables
from pipeline import compare, report


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_project(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("graph", ["paper", "beyond"])
def test_the_report_of_a_graph_is_made_of_files_in_git_alone(run_stage, graph):
    assert run_stage(compare.main, graph) == 0
    assert run_stage(report.main, graph) == 0
    assert (REPORTS / graph / "likelihood.md").is_file()
    assert (figures(graph) / "health.png").is_file()
    assert (tables(graph) / "runs.csv").is_file()


def test_a_run_that_no_study_declares_is_one_line_that_names_the_way_out(folder, run_stage, capsys):
    (folder / "reports/paper/runs/old-full-0").mkdir()
    assert run_stage(report.main, "paper") == 1
    [line] = capsys.readouterr().err.splitlines()
    assert "old-full-0" in line
    assert "digit-vae tidy" in line
