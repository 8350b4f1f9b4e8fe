import json
from dataclasses import replace

import pytest
from example_project import compared, example_results

from digit_vae.analysis.results import read_results
from digit_vae.base.files import write_json
from digit_vae.base.paths import CERTIFICATE, RunFiles
from digit_vae.report.paper import TABLE_1
from digit_vae.report.tables import Table
from digit_vae.site import overview
from digit_vae.site.pages import Project, html


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results = example_results(tmp_path)
    beyond = [compared(results, name) for name in ("recipe_folds", "beta")]
    for graph, names in {"paper": ["ablation"], "beyond": ["recipe_folds", "beta"]}.items():
        for name in names:  # the summary reads what stage `compare` wrote
            write_json(tmp_path / f"reports/{graph}/comparisons/{name}.json", dict(compared(results, name).variants))
    return Project(results.params, results, {"paper": [compared(results, "ablation")], "beyond": beyond})


def test_rows_are_told_apart_by_epoch():
    header = ("Epoch", "Run", "Device", "Precision", "Loss")
    rows = ((1, "a", "CPU", "float32", 2.0), (1, "b", "GPU", "float32", 3.0), (2, "a", "CPU", "float32", 1.0))
    assert overview.by_epoch(Table(header, rows)) == {
        "1": [["a", "CPU, float32", "2.00"], ["b", "GPU, float32", "3.00"]],
        "2": [["a", "CPU, float32", "1.00"]],
    }


def test_table_1_has_the_papers_rows_of_each_epoch(project):
    epochs = json.loads(overview.page(project).files[overview.DATA])
    assert list(epochs) == [str(number) for number in sorted(range(1, 11), key=str)]
    paper = [row for row in epochs["4"] if row[0] == "paper"]
    assert [row[1] for row in paper] == ["CPU, float32", "GPU, float32"]
    assert [row[-1] for row in paper] == [f"{TABLE_1[device][3].val_loss:.2f}" for device in ("CPU", "GPU")]


def test_each_reported_question_has_an_answer_and_leads_to_its_numbers(project):
    answered = list(overview.answers(project))
    assert [each.more.rpartition("/")[2] for each in answered] == [
        *("comparisons.html#seeds", "comparisons.html#ablation", "comparisons.html#seeds", "comparisons.html#seeds"),
        "comparisons.html#recipe_folds",
        *("runs.html?study=cures&runs=warmup-full-0,baseline-full-0#table", "comparisons.html#beta"),
    ]
    assert all(each.text for each in answered)
    for name in ("warmup-full-0", "baseline-full-0"):
        elbo = project.results.runs[name].metrics["test"]["elbo"]
        assert f"<code>{name}</code> \u2212{-elbo:.2f}" in answered[5].text


def test_a_longer_run_is_set_beside_the_one_that_differs_in_its_epochs_alone(project):
    short, warmup = (project.results.runs[name] for name in ("improved-full-0", "warmup-full-0"))
    history = short.history | {"params": short.history["params"] | {"epochs": 99}}
    long = replace(short, run=replace(short.run, variant="improved_99"), history=history)
    assert [each.name for each in overview.compared_with(project, [short, warmup])] == ["baseline-full-0"]
    assert [each.name for each in overview.compared_with(project, [long])] == ["improved-full-0"]


def test_an_absent_certificate_is_none_and_a_present_one_is_read(project, tmp_path):
    assert overview.read_certificate() is None
    assert CERTIFICATE not in overview.page(project).copies
    told = {"holds": True, "deviations": 0, "made": "today", "commit": None, "machine": {}}
    told |= {"compared": [{"of": "baseline-full-0", "how": "byte for byte", "deviations": []}]}
    write_json(tmp_path / CERTIFICATE, told)
    assert overview.read_certificate()["holds"] is True
    assert CERTIFICATE in overview.page(project).copies


def shown(project, **further):
    """The page as HTML, as far as the test is about it."""
    shared = {"pages": {"index": "Overview"}, "commit": None, "current": "index"}
    return html("index", {**shared, **overview.page(project).values, **further}).decode()


def test_the_page_says_how_it_stands_with_the_certificate(project):
    assert "There is no certificate" in shown(project)
    told = [{"of": "baseline-full-0", "how": "byte for byte", "deviations": [{}, {}]}]
    certificate = {"holds": False, "deviations": 2, "compared": told, "made": "today", "commit": "0123456789abcdef"}
    page = shown(project, certificate=certificate)
    assert "2 deviations" in page
    assert "0123456789" in page
    assert "Everything holds" in shown(project, certificate=certificate | {"holds": True})


def test_questions_without_results_are_named_as_open(project, tmp_path):
    for run in ("improved-full-1", "beta_2-fold0-0"):
        (tmp_path / RunFiles("beyond", run).metrics).unlink()
    results = read_results(project.params, "beyond")
    less = Project(results.params, results, {"paper": project.compared["paper"], "beyond": []})
    assert len(overview.open_questions(less)) == 3  # recipe, cures beside it, beta
    page = shown(less)
    assert "Not answered yet" in page
    assert "1 run without results" in page
