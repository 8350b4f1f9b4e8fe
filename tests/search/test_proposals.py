"""What a round proposes: a function of the recorded trials, whatever the order in which they ended."""

from dataclasses import replace

import numpy as np
import pytest
from optuna.trial import TrialState
from searched import DATA, searched, trial

from digit_vae.base.errors import UserError
from digit_vae.search import proposals as module
from digit_vae.search.inputs import inputs_of
from digit_vae.search.proposals import check_recorded, due, plan_of, proposals
from digit_vae.search.record import Search, best, loss_of
from digit_vae.search.space import space

FAILED = {TrialState.PRUNED: TrialState.FAIL}


@pytest.fixture
def params(small_params):
    """Four rounds of three, of which the first is drawn at random."""
    return replace(small_params, search=replace(small_params.search, trials=12))


@pytest.fixture
def whole(params):
    return searched(params).trials


def test_a_round_is_the_same_in_whatever_order_its_trials_ended(params, whole):
    plan = plan_of(params)
    for seed in range(5):
        shuffled = [whole[place] for place in np.random.default_rng(seed).permutation(len(whole))]
        for number_of_round in range(4):
            assert proposals(plan, number_of_round, shuffled) == proposals(plan, number_of_round, whole)


def test_a_round_knows_nothing_of_its_own_trials_and_later_ones(params, whole):
    plan = plan_of(params)
    before = [each for each in whole if each.round < 2]
    assert proposals(plan, 2, before) == proposals(plan, 2, whole)
    assert proposals(plan, 3, before) != proposals(plan, 3, whole)


def test_a_round_depends_on_what_was_found_before_and_on_the_seed(params, whole):
    plan, [first, *others] = plan_of(params), whole
    loss = first.result.epochs | {"val_reconstruction_loss": [99.0, 99.0]}
    other = first.model_copy(update={"result": first.result.model_copy(update={"epochs": loss})})
    assert proposals(plan, 2, [other, *others]) != proposals(plan, 2, whole)
    assert proposals(plan, 0, [other, *others]) == proposals(plan, 0, [])  # drawn at random
    reseeded = plan._replace(search=replace(plan.search, seed=1))
    assert proposals(reseeded, 0, []) != proposals(plan, 0, [])


def test_each_trial_is_within_the_limits_and_no_two_of_a_round_are_alike(params, whole):
    limits = space(params.search)
    for each in whole:
        assert each.options.keys() == limits.keys()
        assert limits["learning_rate"].low <= each.options["learning_rate"] <= limits["learning_rate"].high
        assert isinstance(each.options["warmup_steps"], int)
        assert each.options["initializer"] in limits["initializer"]
        assert len(f"{each.options['hidden_bias']:.10g}".lstrip("0.").replace(".", "")) <= 3
    for number_of_round in range(4):
        rates = [each.options["learning_rate"] for each in whole if each.round == number_of_round]
        assert len(set(rates)) == 3


def test_a_number_of_few_digits_does_not_leave_its_range(params):
    limits = {"learning_rate": replace(space(params.search)["learning_rate"], low=0.0012345, high=0.0012346)}
    plan = plan_of(params)._replace(limits=limits)
    for options in proposals(plan, 0, []).values():
        assert 0.0012345 <= options["learning_rate"] <= 0.0012346


def test_first_points_are_the_first_trials(params):
    first = {"learning_rate": 0.002, "warmup_steps": 3, "hidden_bias": 1.0, "initializer": "he_normal"}
    plan = plan_of(params)
    assert proposals(plan._replace(first=[first]), 0, []) == proposals(plan, 0, []) | {0: first}
    assert proposals(plan._replace(first=[first]), 1, []).keys() == {3, 4, 5}


def test_what_is_due_is_the_rest_of_the_earliest_round(params, whole):
    plan = plan_of(params)
    assert due(plan, []) == proposals(plan, 0, [])
    without = [each for each in whole if each.number not in (4, 7, 8)]
    assert due(plan, without) == {4: proposals(plan, 1, whole)[4]}
    assert due(plan, whole) == {}


def test_more_trials_go_on_where_fewer_ended(params, whole):
    few = replace(params, search=replace(params.search, trials=8))
    assert searched(few).trials == whole[:8]


def long_search(small_params, seed, startup_rounds=3):
    section = replace(small_params.search, trials=45, startup_rounds=startup_rounds, seed=seed)
    return searched(replace(small_params, search=section))


def test_it_finds_better_recipes_than_chance(small_params):
    """The loss of a middling trial, of those that were not drawn at random where they could be."""

    def middling(**options):
        return np.median(
            [loss_of(each) for seed in range(3) for each in long_search(small_params, seed, **options).trials[9:]]
        )

    assert middling() < middling(startup_rounds=15) - 1


def test_a_training_that_diverges_keeps_others_away(small_params, monkeypatch):
    """Optuna takes no notice of a trial that is told as failed, and proposes its neighbours."""

    def diverged():
        trials = [each for seed in range(3) for each in long_search(small_params, seed).trials]
        return sum(each.result is None for each in trials if each.round >= 3)

    told, as_it_is = diverged(), module.create_trial
    monkeypatch.setattr(module, "create_trial", lambda *, state, **of: as_it_is(state=FAILED.get(state, state), **of))
    assert 2 * told < diverged()


def test_a_record_is_what_its_rounds_propose_or_refused(params, whole):
    plan = plan_of(params)
    check_recorded(plan, whole)
    check_recorded(plan, [each for each in whole if each.number not in (10, 11)])
    edited = [each.model_copy(update={"options": each.options | {"warmup_steps": 9}}) for each in whole[7:8]]
    with pytest.raises(UserError, match=r"search\.json: expected trial 7 to have what round 2 proposes, learning_rate"):
        check_recorded(plan, [*whole[:7], *edited])
    moved = whole[5].model_copy(update={"round": 2})
    with pytest.raises(UserError, match=r"trial 5 .*no such trial; received"):
        check_recorded(plan, [*whole[:5], moved])


def test_the_record_of_another_loss_is_not_gone_on_with(params, whole):
    """Whoever makes the best of the first round the worst is found by the rounds that followed from it."""
    first = best(whole[:3])
    bad = trial(params, 0, first.options | {"learning_rate": 0.0001, "hidden_bias": 2.0}).result
    edited = [each.model_copy(update={"result": bad}) if each == first else each for each in whole]
    with pytest.raises(UserError, match="expected trial 3 to have what round 1 proposes"):
        check_recorded(plan_of(params), edited)


def test_the_search_can_be_made_again(params, whole):
    assert Search(inputs=inputs_of(params, DATA), trials=whole) == searched(params)
