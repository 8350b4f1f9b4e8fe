"""Repetitions of the folds: the planted difference comes out, and what is not trained is said."""

import copy
import shutil

import pytest
from example_project import FOLDS, STUDIES, change, compared, example_results, study

from digit_vae.analysis.repetitions import plan
from digit_vae.analysis.results import at, read_results
from digit_vae.base.errors import UserError
from digit_vae.base.files import read_json, write_json
from digit_vae.base.paths import POWER, RunFiles
from digit_vae.config.loading import load_params
from digit_vae.report import chapter_repetitions
from digit_vae.report.pages import rendered
from digit_vae.report.summary import regularisers

NAME = "repetitions"
REPEATED = study(
    ["baseline", "dropout"], FOLDS, [1, 2], beside=["ablation"], against="baseline", beyond=True, partial=True
)


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_json(POWER, plan(example_results(tmp_path, studies=STUDIES | {NAME: REPEATED})))
    return load_params()


def forget(*names):
    for name in names:
        shutil.rmtree(RunFiles("beyond", name).reports)


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("keys", [("std",), ("repetitions", "1"), ("repetitions", "3"), ("repetitions", "1", "margin")])
def test_a_plan_without_what_is_read_of_it_is_refused_with_file_and_place(keys):
    content = read_json(POWER, made_by="test")
    content["variants"]["more"] = copy.deepcopy(content["variants"]["dropout"])
    *way, last = keys
    del at(content["variants"]["more"], way)[last]
    write_json(POWER, content)
    with pytest.raises(UserError, match=rf"{POWER} is damaged \(variants"):
        chapter_repetitions.read_plan()


def page_of(params):
    results = read_results(params, "beyond")
    there = compared(results, NAME) if NAME in results.studies("beyond") else None
    page = chapter_repetitions.page(results, there)
    return page, rendered(NAME, page)


def test_all_repetitions_are_compared_together(project):
    page, text = page_of(project)
    [row] = page.tables["repeated"].rows
    assert row[:2] == ("dropout", 9)
    assert page.values["variants"][0].verdict.detectable > 0
    assert "smallest detectable difference" in text
    assert page.tables["trained"].rows == tuple(
        (name, *["fold0, fold1, fold2"] * 2) for name in ("baseline", "dropout")
    )


def test_a_planted_difference_comes_out(project):
    for run in [f"dropout-{fold}-{seed}" for fold in FOLDS for seed in (0, 1, 2)]:
        graph = "paper" if run.endswith("-0") else "beyond"
        other = read_results(project, "beyond").runs[run.replace("dropout", "baseline")].metrics["validation"]
        metrics = read_results(project, "beyond").runs[run].metrics["validation"]
        assert RunFiles(graph, run).metrics.is_file()
        noise = 0.1 * (metrics["elbo"] - other["elbo"])
        change(run, "metrics", validation=metrics | {"elbo": other["elbo"] + 4 + noise})
    page, text = page_of(project)
    verdict = page.values["variants"][0].verdict
    assert verdict.outcome == "higher"
    assert verdict.difference.low < 4 < verdict.difference.high
    assert verdict.equivalence_p > 0.5  # the margin of the small params is 1
    assert "higher than `baseline`" in text


def test_runs_without_results_are_told_and_the_rest_is_compared(project):
    forget("dropout-fold1-2", "baseline-fold0-1")
    page, text = page_of(project)
    assert page.tables["repeated"].rows[0][1] == 7
    assert page.tables["trained"].rows == (
        ("baseline", "fold1, fold2", "fold0, fold1, fold2"),
        ("dropout", "fold0, fold1, fold2", "fold0, fold2"),
    )
    assert "10 of 12 runs" in text


def test_before_any_is_trained_there_is_the_plan_alone(project):
    forget(*(f"{name}-{fold}-{seed}" for name in ("baseline", "dropout") for fold in FOLDS for seed in (1, 2)))
    page, text = page_of(project)
    assert set(page.tables) == {"trained", "power"}
    assert "0 of 12 runs" in text
    assert page.tables["power"].rows[0][:2] == ("dropout", 3)


def test_collapsed_runs_stay_and_the_difference_without_them_is_beside(project):
    history = read_results(project, "beyond").runs["dropout-fold1-1"].history["epochs"]
    history[-1]["health"]["collapsed_dimensions"] = 1
    change("dropout-fold1-1", "history", epochs=history)
    page, text = page_of(project)
    found = page.values["variants"][0]
    assert (found.folds, found.without_folds, found.collapsed[:2]) == (9, 8, (1, 9))
    assert "1 of 9 runs collapsed" in text


def test_readme_tells_the_regularisers_by_the_folds_that_all_of_them_have(project):
    forget("dropout-fold1-2")
    results = read_results(project, "beyond")
    ablation, repeated = (compared(results, name) for name in ("ablation", NAME))
    for told, folds, seeds in ((regularisers([ablation], repeated), 8, 3), (regularisers([ablation], None), 3, 1)):
        assert (told.folds, told.seeds) == (folds, seeds)
        assert [each.variant for each in told.verdicts] == ["dropout"]
    assert regularisers([], repeated) is None
