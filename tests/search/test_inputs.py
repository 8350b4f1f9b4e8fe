from dataclasses import replace

import pytest
from searched import DATA, searched

from digit_vae.base.errors import UserError
from digit_vae.config.search import WholeRange
from digit_vae.search import inputs as module
from digit_vae.search.inputs import check_inputs, inputs_of


@pytest.fixture
def params(small_params):
    return replace(small_params, search=replace(small_params.search, first=("baseline",)))


def with_search(params, **changes):
    return replace(params, search=replace(params.search, **changes))


def test_more_trials_are_the_same_search(params):
    found = searched(params)
    check_inputs(found, inputs_of(with_search(params, trials=50), DATA))


def test_another_name_of_the_same_first_recipe_is_the_same_search(params):
    renamed = replace(with_search(params, first=("base",)), variants={"base": {}, **params.variants})
    assert inputs_of(renamed, DATA) == inputs_of(params, DATA)


CHANGES = {
    "search.seed": lambda params: with_search(params, seed=1),
    "search.a_round": lambda params: with_search(params, a_round=4),
    "search.startup_rounds": lambda params: with_search(params, startup_rounds=2),
    "search.space": lambda params: with_search(
        params, space=replace(params.search.space, warmup_steps=WholeRange(low=0, high=11))
    ),
    "search.first": lambda params: with_search(params, first=()),
    "train": lambda params: replace(params, train=replace(params.train, epochs=3)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_decides_the_trials_is_named_when_it_changes(params, name):
    with pytest.raises(UserError, match=rf"^reports/beyond/search\.json: {name} changed since its 8 trials; .*--anew"):
        check_inputs(searched(params), inputs_of(CHANGES[name](params), DATA))


def test_other_data_and_other_code_are_named_too(params, monkeypatch):
    found = searched(params)
    monkeypatch.setattr(module, "code_hashes", lambda *_: {"model/vae.py": "another"})
    with pytest.raises(UserError, match="code, data changed since"):
        check_inputs(found, inputs_of(params, DATA | {"validation": "c" * 64}))
