"""Section search of params.yaml: what it may vary, and one mistake at a time."""

import pytest
from synthetic import write_params

from digit_vae.base.errors import UserError
from digit_vae.config.loading import load_params
from digit_vae.search.space import check_search, first_points, space

RATE = {"low": 0.001, "high": 0.01, "log": True}


def changed(project, **section):
    return write_params(project, search=section)


def test_the_space_has_the_options_that_vary(project):
    params = changed(project, space={"learning_rate": RATE, "initializer": ["he_normal"]})
    assert list(space(params.search)) == ["learning_rate", "initializer"]
    check_search(params)


def test_a_search_begins_with_what_its_first_variants_have_of_it(project):
    limits = {"learning_rate": RATE, "hidden_bias": {"low": 0.0, "high": 2.0}, "warmup_steps": {"low": 0, "high": 10}}
    limits |= {"final_learning_rate": {"low": 0.0, "high": 1.0}, "kl_warmup_steps": {"low": 0, "high": 5}}
    params = changed(project, first=["improved", "baseline"], space=limits)
    check_search(params)
    improved, baseline = first_points(params)
    assert improved == {
        "learning_rate": 0.003, "warmup_steps": 5, "final_learning_rate": 0.0, "hidden_bias": 1.0, "kl_warmup_steps": 0,
    }  # fmt: skip
    assert (baseline["learning_rate"], baseline["final_learning_rate"]) == (0.001, 1.0)


@pytest.mark.parametrize("option", ["epochs", "batch_size", "latent_dim", "dropout", "beta", "clip_norm", "nonsense"])
def test_what_would_change_layers_optimizer_or_epochs_cannot_vary(project, option):
    with pytest.raises(UserError, match=rf"^search\.space: unknown key '{option}'; expected one of learning_rate, "):
        changed(project, space={option: {"low": 1, "high": 2}})


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"fold": "full"}, r"search\.fold: expected fold0, fold1, \.\.\.; received 'full'"),
        ({"trials": 0}, r"search\.trials: expected a whole number from 1 to 1000; received 0"),
        ({"space": {"learning_rate": {"low": 0.1}}}, r"search\.space\.learning_rate: the key 'high' is missing"),
        ({"space": {"warmup_steps": {"low": 0.5, "high": 2}}}, r"search\.space\.warmup_steps\.low: expected a whole"),
        ({"space": {"initializer": ["orthogonal"]}}, r"search\.space\.initializer\.0: expected one of glorot_uniform"),
    ],
)
def test_a_mistake_in_the_section_is_told_when_params_are_loaded(project, section, message):
    with pytest.raises(UserError, match=f"^{message}"):
        changed(project, **section)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"fold": "fold7"}, r"search\.fold: expected a fold of a run with seed 0 \(fold0, fold1, fold2\); .*'fold7'"),
        ({"seed": 5}, r"search\.fold: expected a fold of a run with seed 5 \(none\)"),
        ({"space": {}}, r"search\.space: expected at least one option"),
        ({"space": {"learning_rate": {"low": 0.1, "high": 20.0}}}, r"search\.space\.learning_rate: .*at most 10; .*20"),
        ({"space": {"learning_rate": {"low": 0.1, "high": 0.1}}}, r"search\.space\.learning_rate: expected low below"),
        ({"space": {"hidden_bias": {"low": 0.0, "high": 1.0, "log": True}}}, r"search\.space\.hidden_bias\.low: .*log"),
        ({"first": ["nobody"]}, r"search\.first: expected names of variants \(baseline, .*'nobody'"),
        ({"first": ["dropout"]}, r"search\.first: .*'dropout' with dropout"),
        ({"first": ["baseline"], "space": {"warmup_steps": {"low": 1, "high": 9}}}, r"search\.first: .*warmup_steps 0"),
        ({"first": ["baseline", "dropout"], "a_round": 1}, r"search\.first: expected at most the 1 trials"),
    ],
)
def test_a_mistake_beside_other_sections_is_told_before_anything_is_trained(project, section, message):
    params = changed(project, **section)
    with pytest.raises(UserError, match=f"^{message}"):
        check_search(params)


def test_the_projects_own_section_is_sound(request):
    params = load_params(request.config.rootpath / "params.yaml")
    check_search(params)
    assert params.search.trials <= 60
    assert first_points(params)
