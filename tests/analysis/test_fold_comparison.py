import dataclasses

import pytest
from example_project import FOLDS, STUDIES, example_results, study
from synthetic import SMALL_PARAMS

from digit_vae.analysis.fold_comparison import fold_studies, fold_study
from digit_vae.analysis.statistics import corrected_t_test, holm, spread
from digit_vae.config.loading import load_params


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return example_results(tmp_path)


def elbos(results, variant):
    return [results.runs[f"{variant}-{fold}-0"].metrics["validation"]["elbo"] for fold in FOLDS]


def test_only_studies_that_compare_on_folds_are_compared(results):
    assert [each.name for each in fold_studies(results, "paper")] == ["ablation"]
    assert [each.name for each in fold_studies(results, "beyond")] == ["recipe_folds", "beta"]
    assert fold_study(results, "cures") is None
    assert fold_study(results, "paper") is None


def test_a_comparison_pairs_the_folds_and_corrects_for_what_they_share(results):
    found = fold_study(results, "ablation").compare()["dropout"]["validation"]["elbo"]
    differences = [
        ours - theirs for ours, theirs in zip(elbos(results, "dropout"), elbos(results, "baseline"), strict=True)
    ]
    expected, p = corrected_t_test(differences, 1 / 2)  # three folds: half as many images as are learnt from
    assert (found["difference"], found["difference_low"], found["difference_high"]) == pytest.approx(expected)
    assert found["p"] == pytest.approx(p)
    assert (found["mean"], found["std"]) == pytest.approx(spread(elbos(results, "dropout")))


def test_the_one_they_are_compared_with_is_there_without_a_difference(results):
    found = fold_study(results, "beta").compare()
    assert list(found) == ["baseline", "beta_0_5", "beta_2"]
    assert found["baseline"]["folds"] == 3
    assert set(found["baseline"]["test"]["elbo"]) == {"mean", "std"}


def test_the_family_of_a_p_value_is_its_study(results):
    found = fold_study(results, "beta").compare()
    p = [found[name]["latent"]["nmi"]["p"] for name in ("beta_0_5", "beta_2")]
    assert [found[name]["latent"]["nmi"]["p_holm"] for name in ("beta_0_5", "beta_2")] == pytest.approx(holm(p))
    alone = fold_study(results, "recipe_folds").compare()["improved"]["latent"]["nmi"]
    assert alone["p_holm"] == alone["p"]


def test_folds_of_several_seeds_are_pairs_of_fold_and_seed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    studies = STUDIES | {"ablation": study(["baseline", "dropout"], FOLDS, [0, 1], against="baseline")}
    found = fold_study(example_results(tmp_path, "paper", studies=studies), "ablation")
    assert found.pairs("dropout") == [(fold, seed) for fold in FOLDS for seed in (0, 1)]
    differences = found.differences("dropout", "validation", "elbo")
    metric = found.compare()["dropout"]["validation"]["elbo"]
    assert len(differences) == 6
    assert metric["p"] == pytest.approx(corrected_t_test(differences, 1 / 2).p)


def test_of_variants_with_other_latent_dimensions_what_all_have_is_compared(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    variants = {**load_params(SMALL_PARAMS).variants, "dropout": {"latent_dim": 4}}
    results = example_results(tmp_path, "paper", train={"latent_dim": 3}, variants=variants)
    found = fold_study(results, "ablation").compare()["dropout"]
    assert found["validation"]["kl_per_dimension"].keys() == {"z0", "z1", "z2"}
    assert found["validation"]["elbo"]["mean"] == pytest.approx(spread(elbos(results, "dropout")).mean)


def test_only_folds_of_both_are_compared(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    more = study(["improved"], FOLDS, [0, 1], beside=["ablation"], against="baseline", beyond=True)
    found = fold_study(example_results(tmp_path, studies=STUDIES | {"recipe_folds": more}), "recipe_folds")
    assert found.pairs("improved") == [(fold, 0) for fold in FOLDS]
    one = {name: dict(list(runs.items())[:1]) for name, runs in found.runs.items()}
    assert dataclasses.replace(found, runs=one).compared == []


def test_folds_with_a_collapsed_dimension_can_be_told_from_the_others(results):
    found = fold_study(results, "ablation")
    assert found.without_collapsed("dropout") is None
    results.runs["baseline-fold1-0"].history["epochs"][-1]["health"]["collapsed_dimensions"] = 1
    differences = found.differences("dropout", "validation", "elbo")
    assert found.without_collapsed("dropout") == (["baseline-fold1-0"], [differences[0], differences[2]])
    for fold in FOLDS:
        results.runs[f"dropout-{fold}-0"].history["epochs"][-1]["health"]["collapsed_dimensions"] = 1
    assert found.without_collapsed("dropout") is None
