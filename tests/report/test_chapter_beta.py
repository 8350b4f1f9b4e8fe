import pytest
from example_project import compared

from digit_vae.analysis.results import LeftOut
from digit_vae.report import chapter_beta
from digit_vae.report.pages import rendered

ELBO = ("validation", "elbo")


@pytest.fixture
def beta(results):
    return compared(results, "beta")


def test_the_variants_stand_by_rising_beta_with_the_baseline_among_them(beta):
    assert chapter_beta.betas(beta) == {"beta_0_5": 0.5, "baseline": 1.0, "beta_2": 2.0}
    rows = chapter_beta.sweep(beta).rows
    assert [row[:3] for row in rows] == [(0.5, "beta_0_5", 3), (1.0, "baseline", 3), (2.0, "beta_2", 3)]
    assert [row[6] is None for row in rows] == [False, True, False]


def test_the_best_beta_is_told_with_the_folds_that_agree(results):
    for name, elbos in {"beta_0_5": (-160, -160, -160), "baseline": (-155, -150, -155), "beta_2": (-150, -152, -150)}.items():
        for fold, elbo in enumerate(elbos):
            results.runs[f"{name}-fold{fold}-0"].metrics["validation"]["elbo"] = elbo
    assert chapter_beta.highest(compared(results, "beta"), ELBO) == chapter_beta.Highest(2.0, pytest.approx(-150.667, abs=1e-3), 2, 3)


def test_collapsed_dimensions_are_named_at_their_beta(results, beta):
    assert chapter_beta.page(results, beta).values["collapsed"] == {}
    results.runs["beta_2-fold1-0"].history["epochs"][-1]["health"]["collapsed_dimensions"] = 1
    page = chapter_beta.page(results, beta)
    assert page.values["collapsed"] == {2.0: ["beta_2-fold1-0"]}
    assert "at beta 2 in `beta_2-fold1-0`" in rendered("beta", page)


def test_the_ends_of_the_sweep_are_means_over_the_folds(results, beta):
    found = chapter_beta.end(beta, "beta_0_5")
    runs = [results.runs[f"beta_0_5-fold{fold}-0"] for fold in range(3)]
    assert found.kl == pytest.approx(sum(each.number("validation", "kl_loss") for each in runs) / 3)
    assert found.dead == pytest.approx(sum(each.dead_units for each in runs) / 3)


def test_points_of_the_figure_are_the_folds(results, beta):
    points = chapter_beta.points(beta)
    assert [beta for beta, *_ in points] == [0.5, 1.0, 2.0]
    assert points[1][1][2] == results.runs["baseline-fold2-0"].metrics["validation"]["kl_loss"]


def test_the_page_of_a_study_that_is_left_out_says_why(results):
    results.left_out["beta"] = LeftOut((), ("beta_2-fold0-0",), ())
    page = chapter_beta.page(results, None)
    assert (page.tables, page.figures) == ({}, {})
    assert "`beta_2-fold0-0`" in rendered("beta", page)
