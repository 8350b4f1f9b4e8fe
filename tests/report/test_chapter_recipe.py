import dataclasses

import numpy as np
import pytest
from example_project import FOLDS, STUDIES, compared, example_results
from scipy.stats import t, ttest_ind

from digit_vae.analysis.results import LeftOut
from digit_vae.report import chapter_recipe
from digit_vae.report.chapter_recipe import BY_HAND, TARGET
from digit_vae.report.pages import rendered


def page_of(results):
    return chapter_recipe.page(results, {"recipe_folds": compared(results, "recipe_folds")})


def end(results, *losses):
    for seed, loss in enumerate(losses):
        results.runs[f"improved-full-{seed}"].metrics["test"]["elbo"] = -loss


@pytest.mark.parametrize(("worst", "reached"), [(TARGET, 3), (TARGET + 0.5, 2)])
def test_the_recipe_is_held_against_its_target(results, worst, reached):
    end(results, 144.5, worst, 143.0)
    found = chapter_recipe.recipe(results, "improved")
    assert (found.reached, found.runs, found.worst) == (reached, 3, worst)
    rows = chapter_recipe.seeds(results).rows
    assert [row[:4] for row in rows][1] == ("improved-full-1", 1, worst, worst - TARGET)
    assert ("missed" in rendered("recipe", page_of(results))) == (reached < 3)


def test_what_the_recipe_changes_is_told_with_what_was_before(results):
    found = chapter_recipe.recipe(results, "improved")
    assert found.options["hidden_bias"] == (0.0, 1.0)
    assert set(found.options) == set(results.params.variants["improved"])
    assert not found.by_hand


def test_its_seeds_are_tested_against_the_baselines_by_welch(results):
    ours = [-results.runs[f"improved-full-{seed}"].metrics["test"]["elbo"] for seed in range(3)]
    theirs = [-results.runs[f"baseline-full-{seed}"].metrics["test"]["elbo"] for seed in range(5)]
    assert chapter_recipe.recipe(results, "improved").test.p == pytest.approx(
        ttest_ind(ours, theirs, equal_var=False).pvalue
    )


def test_what_chose_the_recipe_is_said_of_that_recipe_alone(tmp_path, monkeypatch, results):
    assert page_of(results).values["recipes"][0].without is None
    variants = {"baseline": {}, "dropout": {"dropout": 0.2}, "improved": BY_HAND, "warmup": {"warmup_steps": 5}}
    variants |= {"beta_0_5": {"beta": 0.5}, "beta_2": {"beta": 2.0}}
    monkeypatch.chdir(tmp_path)
    chosen = example_results(tmp_path, variants=variants, compare={"chose": {"improved": ["fold0-0"]}})
    page = page_of(chosen)
    rest = compared(chosen, "recipe_folds").study.differences("improved", "validation", "elbo")[1:]
    half = t.ppf(0.975, 1) * np.std(rest, ddof=1) * (1 / 2 + 1 / 2) ** 0.5
    expected = (np.mean(rest), np.mean(rest) - half, np.mean(rest) + half)
    assert page.values["recipes"][0].without.difference == pytest.approx(expected)
    assert page.values["recipes"][0].by_hand
    assert "validation images of fold 0 of seed 0," in rendered("recipe", page)
    assert "Without fold 0 of seed 0, which chose" in rendered("recipe", page)
    assert "chosen by hand" not in rendered("recipe", page_of(results))
    undeclared = example_results(tmp_path, variants=variants)
    assert "chosen by hand" not in rendered("recipe", page_of(undeclared))


def test_folds_and_seeds_stand_beside_each_other(results):
    for variant, seeds in (("baseline", 5), ("improved", 3)):
        for seed in range(seeds):
            latent = results.runs[f"{variant}-full-{seed}"].metrics["latent"]
            latent["knn_accuracy"] = (0.7 if variant == "improved" else 0.6) + 0.001 * seed
            latent["probe_accuracy"] = 0.5 + 0.001 * (seed % 3)
    folds = compared(results, "recipe_folds")
    of_folds = folds.variants["improved"]["latent"]
    of_folds["knn_accuracy"]["p"], of_folds["probe_accuracy"]["p"] = 0.01, 0.02
    rows = {row[0]: row[1:] for row in chapter_recipe.measures(results, folds).rows}
    old, new = [0.6 + 0.001 * seed for seed in range(5)], [0.7 + 0.001 * seed for seed in range(3)]
    test = ttest_ind(new, old, equal_var=False)
    knn = rows["kNN accuracy"]
    assert knn[0] == pytest.approx((np.mean(old), np.std(old, ddof=1)))
    assert knn[2] == pytest.approx((np.mean(new) - np.mean(old), *test.confidence_interval(0.95)))
    assert (knn[3], knn[5]) == (pytest.approx(test.pvalue), 0.01)
    text = rendered("recipe", page_of(results))
    assert (
        "| Difference over seeds | Unadjusted p over seeds | Difference over folds | Unadjusted p over folds |" in text
    )
    agreed = chapter_recipe.agreement(chapter_recipe.measured(results, folds))
    assert "kNN accuracy" in agreed["both"]
    assert "Probe accuracy" in agreed["folds"]


def test_a_page_has_what_is_there_and_says_what_is_not(results):
    whole = page_of(results)
    assert set(whole.tables) == {"cures", "recipe_seeds", "recipe_folds", "recipe_folds_by_fold", "recipe_measures"}
    assert set(whole.figures) == {"recipes", "recipe_folds"}
    left_out = {name: LeftOut((f"{name}-run",), (), ()) for name in ("recipe", "recipe_folds", "cures")}
    nothing = chapter_recipe.page(dataclasses.replace(results, left_out=left_out), {})
    assert (nothing.tables, nothing.figures) == ({}, {})
    text = rendered("recipe", nothing)
    assert all(f"`{name}-run`" in text for name in left_out)


def test_the_folds_p_is_told(results):
    folds = compared(results, "recipe_folds")
    folds.variants["improved"]["validation"]["elbo"] |= {
        "difference": 6.0, "difference_low": 4.0, "difference_high": 8.0, "p_holm": 0.0123,
    }  # fmt: skip
    text = rendered("recipe", chapter_recipe.page(results, {"recipe_folds": folds}))
    assert "+6.00 [+4.00, +8.00] nats, adjusted p 0.012: higher" in text
    assert len(folds.pairs) == len(FOLDS)


def test_several_recipes_are_told_one_by_one_and_the_first_stands_for_all(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    both = {name: STUDIES[name] | {"variants": ["searched", "improved"]} for name in ("recipe", "recipe_folds")}
    variants = {"baseline": {}, "dropout": {"dropout": 0.2}, "improved": BY_HAND, "warmup": {"warmup_steps": 5}}
    variants |= {"beta_0_5": {"beta": 0.5}, "beta_2": {"beta": 2.0}, "searched": {"hidden_bias": 2.0}}
    chose = {"improved": ["fold0-0"], "searched": ["fold1-0"]}
    results = example_results(tmp_path, studies=STUDIES | both, variants=variants, compare={"chose": chose})
    page = page_of(results)
    assert chapter_recipe.better(results) == page.values["better"] == "searched"
    runs = [f"{name}-full-{seed}" for name in ("searched", "improved") for seed in range(3)]
    assert [row[0] for row in page.tables["recipe_seeds"].rows] == runs
    searched, improved = page.values["recipes"]
    assert (searched.by_hand, improved.by_hand) == (False, True)
    folds = compared(results, "recipe_folds").study
    for recipe, rest in ((searched, (0, 2)), (improved, (1, 2))):
        differences = folds.differences(recipe.name, "validation", "elbo")
        assert recipe.without.difference.mean == pytest.approx(np.mean([differences[fold] for fold in rest]))
    text = rendered("recipe", page)
    assert "Without fold 1 of seed 0, which chose `searched`" in text
    assert "Without fold 0 of seed 0, which chose `improved`" in text
