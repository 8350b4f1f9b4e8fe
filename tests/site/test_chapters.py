"""The chapters of the page of comparisons, on a small project with made-up numbers."""

import csv
import io

import numpy as np
import pytest
import yaml
from example_project import STUDIES, compared, example_results, study
from searched import write_searched
from synthetic import SMALL_PARAMS

from digit_vae.site import (
    chapter_beta,
    chapter_folds,
    chapter_health,
    chapter_likelihood,
    chapter_longer,
    chapter_power,
    chapter_samples,
    chapter_search,
    chapter_seeds,
    comparisons,
)
from digit_vae.site.chapters import html_of
from digit_vae.site.pages import Project


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results = example_results(tmp_path)
    of = {"paper": ["ablation"], "beyond": ["recipe_folds", "beta"]}
    studies = {graph: [compared(results, name) for name in names] for graph, names in of.items()}
    return Project(results.params, results, studies)


def test_every_chapter_has_charts_numbers_and_sources_that_are_there(project):
    chapters = [each for make in comparisons.CHAPTERS for each in make(project)]
    names = [each.name for each in chapters]
    assert len(set(names)) == len(names) >= 8
    for each in chapters:
        assert each.charts
        assert each.numbers
        assert "<" in each.text
        assert each.sources
    charts = [name for each in chapters for name in each.charts]
    assert len(set(charts)) == len(charts)


def test_a_fold_is_a_dot_at_its_difference_and_the_mean_is_their_mean(project):
    [study] = project.compared["paper"]
    dots, means, bootstrap = chapter_folds.series(study, "elbo")
    runs = project.results.runs
    expected = [
        runs[f"dropout-fold{fold}-0"].metrics["validation"]["elbo"]
        - runs[f"baseline-fold{fold}-0"].metrics["validation"]["elbo"]
        for fold in range(3)
    ]
    assert [point.x for point in dots.points] == pytest.approx(expected)
    assert means.points[0].x == bootstrap.points[0].x == pytest.approx(np.mean(expected))
    assert means.points[0].low < means.points[0].x < means.points[0].high
    assert min(expected) <= bootstrap.points[0].low <= bootstrap.points[0].high <= max(expected)


def test_lines_of_the_same_elbo_have_it_at_both_ends_and_stay_among_the_points(project):
    study = project.compared["beyond"][1]
    [panel] = chapter_beta.chart(study).panels
    dots = [point for series in panel.series if series.style == "dot" for point in series.points]
    assert len(dots) == 9  # three variants on three folds
    lines = [series.points for series in panel.series if series.dashed]
    for first, last in lines:
        assert first.x + first.y == pytest.approx(last.x + last.y)
        assert (first.x + first.y) % chapter_beta.EVERY == pytest.approx(0, abs=1e-6)
        assert min(dot.x for dot in dots) <= first.x < last.x <= max(dot.x for dot in dots)


def test_the_papers_runs_are_lines_among_the_seeds(project):
    runs = [project.results.runs[f"baseline-full-{seed}"] for seed in range(5)]
    [panel] = chapter_seeds.by_seed(project, runs).panels
    assert [rule.at for rule in panel.rules] == [158.62, 175.61]
    assert sorted(point.x for point in panel.series[0].points) == sorted(each.epochs[-1]["val_loss"] for each in runs)
    assert panel.y.names == ["baseline", "improved"]
    assert panel.band.low < min(point.x for point in panel.series[0].points)


def test_runs_with_the_same_count_of_dead_units_do_not_hide_each_other(project):
    runs = list(project.results.runs.values())
    [panel] = chapter_health.chart(runs).panels
    places = [(point.x, round(point.y, 6)) for series in panel.series for point in series.points]
    assert len(places) == len(runs)
    assert len(set(places)) == len(runs)
    assert all(0 < y % 1 < 1 for _, y in places)


@pytest.mark.parametrize("protocol", ["grey", "binarised"])
def test_bounds_stand_between_elbo_and_integral(project, protocol):
    [panel] = chapter_likelihood.chart(project, protocol).panels
    elbo, bounds, integral = panel.series
    assert len(elbo.points) == len(integral.points) == len(panel.y.names)
    for low, high in zip(elbo.points, integral.points, strict=True):
        inside = [point.x for point in bounds.points if point.y == low.y]
        assert len(inside) == 3  # K = 10, 100, 1000
        assert low.x < min(inside) < max(inside) < high.x


def test_samples_stand_at_their_mean_over_the_folds(project):
    distances = [
        project.results.runs[f"dropout-fold{fold}-0"].number("quality", "samples", "frechet") for fold in range(3)
    ]
    [chapter] = chapter_samples.chapters(project)
    [(_, chart)] = chapter.charts.values()
    [panel, *_] = chart.panels
    [point] = [each for each in panel.series[0].points if each.says.startswith("dropout,")]
    assert point.x == pytest.approx(np.mean(distances))
    assert (point.high - point.low) / 2 == pytest.approx(np.std(distances, ddof=1))


def test_samples_of_a_mixture_are_shown_where_they_were_measured():
    spread = {"mean": 20.0, "std": 1.0}
    prior = {"frechet": {"mean": 30.0, "std": 2.0}, "precision": {"mean": 0.5, "std": 0.1}}
    variants = {
        "baseline": {"samples": prior, "mixture": {"frechet": spread}, "reconstructions": {"frechet": spread}},
        "dropout": {"samples": prior, "reconstructions": {"frechet": spread}},
    }
    frechet, precision = chapter_samples.chart(variants).panels
    assert [[point.x for point in each.points] for each in frechet.series] == [[30.0, 30.0], [20.0], [20.0, 20.0]]
    assert [[point.x for point in each.points] for each in precision.series] == [[0.5, 0.5]]


def test_a_long_run_is_a_line_over_its_epochs_beside_the_short_one_of_its_seed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    variants = yaml.safe_load(SMALL_PARAMS.read_text(encoding="utf-8"))["variants"]
    more = {"longer": study(["baseline_long"], ["full"], [0, 3], beside=["paper", "seeds"], beyond=True)}
    long = {"baseline_long": {"epochs": 6}}
    results = example_results(tmp_path, studies=STUDIES | more, variants=variants | long)
    [chapter] = chapter_longer.chapters(Project(results.params, results, {"paper": [], "beyond": []}))
    [(_, chart)] = chapter.charts.values()
    names = ["baseline_long-full-0", "baseline-full-0", "baseline_long-full-3", "baseline-full-3"]
    for panel, value in zip(chart.panels, chapter_longer.CURVES.values(), strict=True):
        assert [each.legend for each in panel.series] == names
        for each in panel.series:
            epochs = results.runs[each.legend].epochs
            assert [(point.x, point.y) for point in each.points] == [
                (epoch["epoch"], value[1](epoch)) for epoch in epochs
            ]
    assert [each.dashed for each in chart.panels[0].series] == [False, True, False, True]
    assert "baseline_long-full-3" in chapter.text


def test_what_repetitions_can_tell_is_a_dot_for_each_count_of_them(project):
    assert chapter_power.chapters(project) == []
    runs = {"1": {"difference": 4.0, "margin": 3.0}, "3": {"difference": 2.5, "margin": 2.0}}
    its = {"folds": 3, "std": 1.0, "repetitions": runs, "repetitions_for_wished": {"corrected": None, "independent": 4}}
    planned = {"power": 0.8, "wished": 1.0, "variants": {"dropout": its}}
    detectable, shown = chapter_power.chart(planned, 5.0).panels
    assert [[point.x for point in each.points] for each in detectable.series] == [[4.0], [2.5]]
    assert [[point.x for point in each.points] for each in shown.series] == [[3.0], [2.0]]
    assert [rule.at for rule in shown.rules] == [5.0]
    assert "<p>" in chapter_power.chapter(planned, 5.0).text


def test_a_trial_is_a_dot_and_the_line_is_the_least_so_far(project, tmp_path):
    assert chapter_search.chapters(project) == []
    search = write_searched(tmp_path, project.params)
    losses = [trial.result.loss for trial in search.trials if trial.result]
    [chapter] = chapter_search.chapters(project)
    [(_, chart)] = chapter.charts.values()
    line, dots = chart.panels[0].series
    kept = [loss for loss in losses if loss <= min(losses) + chapter_search.OUT_OF_SIGHT]
    assert [point.y for point in dots.points] == kept
    assert line.points[-1].y == min(losses)
    assert f"{min(losses):.2f}" in chapter.text


def test_a_table_of_the_site_is_the_reports_csv(project):
    [chapter] = chapter_beta.chapters(project)
    [numbers] = chapter.numbers
    page = comparisons.page(project)
    rows = list(csv.reader(io.StringIO(page.files[numbers.file].decode())))
    assert rows[0][0] == "Beta"
    assert [float(row[0]) for row in rows[1:]] == [0.5, 1.0, 2.0]


def test_nothing_is_said_of_studies_that_are_left_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results = example_results(tmp_path, "paper")
    project = Project(results.params, results, {"paper": [compared(results, "ablation")], "beyond": []})
    assert [each.name for make in comparisons.CHAPTERS for each in make(project)] == [
        *("ablation", "health", "likelihood_grey", "likelihood_binarised", "samples"),
    ]


def test_markdown_becomes_html_and_names_are_no_tags():
    assert html_of("- `a`: **b**") == "<ul>\n<li><code>a</code>: <strong>b</strong></li>\n</ul>\n"
    assert "&lt;script&gt;" in html_of("`<script>`")
