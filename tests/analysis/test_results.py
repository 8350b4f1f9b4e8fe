import dataclasses

import pytest
from example_metrics import health
from example_project import write_project

from digit_vae.config.params import runs
from digit_vae.analysis.results import Results, changes, question

VARIANTS = {
    "baseline": {"splits": ["full", "folds"]},
    "beta_4": {"splits": ["folds"], "beta": 4.0},
    "beta_2": {"splits": ["full"], "beta": 2.0},
    "beta_0_5": {"splits": ["folds"], "beta": 0.5},
    "beta_and_dropout": {"splits": ["folds"], "beta": 0.1, "dropout": 0.2},
    "other_seed": {"splits": ["full"], "seed": 7},
    "second_run": {"splits": ["full"], "seed": 1},
    "again": {"splits": ["full"], "seed": 1},
    "improved": {"splits": ["full"], "warmup_steps": 1000, "clip_norm": 5.0},
    "improved_seed_3": {"splits": ["full"], "warmup_steps": 1000, "clip_norm": 5.0, "seed": 3},
}


@pytest.fixture
def results(tmp_path):
    """Of runs whose ELBO on a fold is minus the number of the run; none of them was really compared."""
    params = write_project(tmp_path, variants=VARIANTS, preprocess={"folds": 2})
    names = [run.name for run in runs(params)]
    epoch = {"epoch": 10, "val_loss": 150.0, "health": health(13, 6.0, 2)}
    compared = {"validation": {"elbo": {"difference": 1.0}}}
    return Results(
        params=params,
        histories={name: {"epochs": [epoch | {"val_loss": 150.0 + place}]} for place, name in enumerate(names)},
        timings={},
        metrics={name: {"validation": {"elbo": -place}} for place, name in enumerate(names)},
        variants={"baseline": {"validation": {"elbo": {}}}, "beta_4": compared, "beta_0_5": compared},
        benchmarks={},
        comparisons={},
        classifier={},
    )


def test_betas_are_the_variants_on_folds_that_differ_in_beta_alone_in_rising_order(results):
    assert list(results.betas().items()) == [("beta_0_5", 0.5), ("baseline", 1.0), ("beta_4", 4.0)]


def test_a_single_beta_is_no_sweep(results):
    assert dataclasses.replace(results, variants={"baseline": results.variants["baseline"]}).betas() == {}


def test_seeds_are_the_full_runs_that_differ_in_their_seed_alone_each_seed_once(results):
    assert results.seeds("baseline") == {"baseline-full": 0, "second_run-full": 1, "other_seed-full": 7}
    assert results.seeds("improved") == {"improved-full": 0, "improved_seed_3-full": 3}
    assert results.seeds("no_such_variant") == {}


def test_last_losses_are_those_of_the_last_epoch(results):
    assert results.last_losses(["baseline-full", "baseline-1"]) == {"baseline-full": 150.0, "baseline-1": 152.0}


def test_fold_differences_pair_each_fold_with_the_baselines(results):
    """The runs are numbered baseline-full 0, baseline-0 1, baseline-1 2, beta_4-0 3, ..., beta_0_5-0 6."""
    differences = results.fold_differences("elbo")
    assert {name: folds.tolist() for name, folds in differences.items()} == {"beta_4": [-2, -2], "beta_0_5": [-5, -5]}


def test_cures_are_the_full_runs_that_differ_in_their_recipe_alone(results):
    assert results.cures() == ["improved"]


def test_complaints_never_stop_the_report(results):
    limits = dataclasses.replace(results.params.health, fail_dead_share=0.5)
    strict = dataclasses.replace(results, params=dataclasses.replace(results.params, health=limits))
    assert strict.complaints("baseline-0") == ["13 of 16 units of layer hidden are dead"]


def test_what_a_variant_asks_is_what_it_changes(results):
    asked = {name: question(results.params, name) for name in VARIANTS}
    assert {name for name in asked if asked[name] == "beta"} == {"beta_4", "beta_2", "beta_0_5"}
    assert {name for name in asked if asked[name] == "recipe"} == {"improved"}
    assert {*asked.values()} == {"beta", "recipe", "model"}


def test_the_sweep_over_beta_is_judged_in_its_own_section(results):
    wide = results.variants | {"beta_and_dropout": results.variants["beta_4"]}
    assert dataclasses.replace(results, variants=wide).judged == ["beta_and_dropout"]


def test_of_equal_variants_those_with_the_runs_asked_for_count(tmp_path):
    more = {"beta_9": {"splits": ["full"], "beta": 9.0}, "beta_9_folds": {"splits": ["folds"], "beta": 9.0}}
    params = write_project(
        tmp_path, variants={"baseline": VARIANTS["baseline"]} | more, plot={"second_run": "baseline-full"}
    )
    several = Results(
        params=params,
        histories={},
        timings={},
        metrics={},
        variants={"baseline": {}, "beta_9_folds": {}},
        classifier={},
        benchmarks={},
        comparisons={},
    )
    assert several.betas() == {"baseline": 1.0, "beta_9_folds": 9.0}


def test_changes_are_those_from_the_baseline(results):
    assert changes(results.params, "improved") == {"warmup_steps": (0, 1000), "clip_norm": (None, 5.0)}
