"""The command line of `make search`, and what it says of a search."""

import re
from dataclasses import replace

import pytest
import yaml
from searched import searched
from synthetic import write_params

from digit_vae.base.errors import UserError
from digit_vae.cli import launching, search
from digit_vae.config.loading import load_params
from digit_vae.driver import search as driver
from digit_vae.search.record import NOTHING, best


@pytest.fixture
def asked(project, monkeypatch):  # noqa: ARG001 - its working folder
    """What the driver was asked for."""
    calls = []
    monkeypatch.setattr(launching, "die_with_parent", lambda: None)
    monkeypatch.setattr(driver, "search", lambda _, **options: calls.append(options) or NOTHING)
    return calls


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ([], {"jobs": None, "address": None, "more": None, "anew": False}),
        (["--trials", "6", "--jobs", "2", "--anew"], {"jobs": 2, "address": None, "more": 6, "anew": True}),
    ],
)
def test_the_search_is_asked_for_what_was_given(asked, capsys, arguments, options):
    search.main(arguments)
    assert asked == [options]
    assert "0 of 8 trials" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--trials", "-1"], "--trials: expected .* from 0 .*received '-1'"),
        (["--trials", "many"], "--trials: expected .* from 0 .*received 'many'"),
        (["--jobs", "0"], "--jobs: expected .* from 1 .*received '0'"),
        (["--address", "10.0.0.1:80000"], "--address: .*80000"),
    ],
)
def test_mistakes_end_it_before_anything_runs(asked, capsys, arguments, message):
    with pytest.raises((UserError, SystemExit)) as ended:
        search.main(arguments)
    assert re.search(message, f"{ended.value}{capsys.readouterr().err}")
    assert asked == []


def test_a_complete_search_is_told_with_the_lines_of_a_variant(small_params, project):
    found = searched(small_params)
    chosen = best(found.trials)
    told = search.said(small_params, found)
    assert f"the best is trial {chosen.number}: {chosen.result.loss:.2f} nats on the validation images of fold0" in told
    lines = told.partition("as a variant of params.yaml:\n\n")[2]
    variants = yaml.safe_load(f"variants:\n{lines}")["variants"]
    assert variants.keys() == {"searched"}
    train = write_params(project).train
    assert {**chosen.options} == {
        option: variants["searched"].get(option, getattr(train, option)) for option in chosen.options
    }
    content = yaml.safe_load((project / "params.yaml").read_text(encoding="utf-8"))
    content["variants"] |= variants
    (project / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    assert load_params().variants["searched"]


def test_an_incomplete_search_names_no_variant(small_params):
    more = replace(small_params, search=replace(small_params.search, trials=20))
    told = search.said(more, searched(small_params))
    assert told.startswith("8 of 20 trials are in reports/beyond/search.json, ")
    assert "variant" not in told
