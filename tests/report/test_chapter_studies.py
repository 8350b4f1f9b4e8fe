from example_project import FOLDS, STUDIES, compared, example_results, study

from digit_vae.analysis.results import LeftOut
from digit_vae.report import chapter_studies
from digit_vae.report.pages import rendered


def test_every_study_beyond_the_paper_is_named_with_its_page(results):
    found = {each.name: (each.page, each.runs) for each in chapter_studies.studies(results)}
    assert found == {
        "seeds": ("seeds", 3), "recipe": ("recipe", 3), "recipe_folds": ("recipe", 3), "cures": ("recipe", 1), "beta": ("beta", 6),
    }  # fmt: skip
    page = chapter_studies.page(results, {"beta": compared(results, "beta")})
    assert page.tables == {}


def test_studies_without_a_page_of_their_own_are_told_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    more = STUDIES | {
        "harder": study(["dropout"], ["full"], [0], beside=["paper", "seeds"], against="baseline", beyond=True),
        "again": study(["warmup"], FOLDS, [0], beside=["ablation"], against="baseline", beyond=True),
    }
    results = example_results(tmp_path, studies=more)
    page = chapter_studies.page(results, {"again": compared(results, "again")})
    assert set(page.tables) == {"harder_full", "again", "again_by_fold"}
    assert set(page.figures) == {"again"}
    text = rendered("studies", page)
    assert all(page.tables[name].markdown() in text for name in ("harder_full", "again"))


def test_what_is_left_out_is_named_with_the_reason(results):
    results.left_out["beta"] = LeftOut(("beta_2-fold0-0",), ("beta_2-fold1-0",), ("beta_2-fold2-0",))
    text = rendered("studies", chapter_studies.page(results, {}))
    assert all(f"`beta_2-fold{fold}-0`" in text for fold in range(3))
