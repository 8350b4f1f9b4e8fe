from dataclasses import replace

import pytest
from searched import searched, write_searched

from digit_vae.base.paths import SEARCH
from digit_vae.report import chapter_recipe, chapter_search
from digit_vae.report.pages import rendered
from digit_vae.search.record import NOTHING, best, loss_of, write_search

PNG = b"\x89PNG"


@pytest.fixture
def found(results, tmp_path):
    assert results
    return write_searched(tmp_path, results.params)


def text_of(results):
    return rendered("recipe", chapter_recipe.page(results, {}))


def test_without_trials_the_page_says_nothing_of_a_search(results):
    assert chapter_search.section(results.params) is None
    before = text_of(results)
    write_search(NOTHING)
    assert text_of(results) == before
    assert "search" not in before


def test_the_section_tells_what_the_record_has(results, found):
    said, tables, drawn = chapter_search.section(results.params)
    chosen = best(found.trials)
    assert (said.trials, said.wanted, said.drawn, said.fold, said.seed) == (8, 8, 3, "fold0", 0)
    assert said.failed == sum(each.result is None for each in found.trials)
    assert said.hours == pytest.approx(8 * 2 * 30 / 3600)
    assert (said.best, said.loss) == (chosen, loss_of(chosen))
    assert said.options["learning_rate"] == (0.001, chosen.options["learning_rate"])
    assert len(tables["search"].rows) == 8
    assert tables["search_best"].rows[0][0] == chosen.number
    losses = [row[-4] for row in tables["search_best"].rows]
    assert losses == sorted(losses)
    text = text_of(results)
    assert f"Trial {chosen.number} has the least loss" in text
    assert "No variant of `params.yaml` has its options" in text
    assert "(figures/search.png)" in text
    assert chapter_search.figures.png_bytes(drawn["search"]).startswith(PNG)


def test_a_trial_that_diverged_has_empty_cells(results, found):
    trials = [found.trials[0].model_copy(update={"result": None, "failed": "training diverged"}), *found.trials[1:]]
    write_search(found.model_copy(update={"trials": trials}))
    said, tables, _ = chapter_search.section(results.params)
    assert tables["search"].rows[0][-4:] == (None,) * 4
    assert 0 not in [row[0] for row in tables["search_best"].rows]
    assert said.failed >= 1


def test_an_incomplete_search_says_so(results, found):
    write_search(found.model_copy(update={"trials": found.trials[:4]}))
    assert "4 single runs of 8" in text_of(results)


def test_the_variant_with_the_best_trials_options_is_named_with_the_fold_that_chose_it(results, found):
    options = dict(best(found.trials).options)
    named = replace(results.params, variants={**results.params.variants, "improved": options})
    results = replace(results, params=named)
    said, _, _ = chapter_search.section(named)
    assert said.variant == "improved"
    page = chapter_recipe.page(results, {})
    assert page.values["recipes"][0].chosen_on == [f"fold 0 of seed {named.search.seed}"]
    text = rendered("recipe", page)
    assert "It is the variant `improved`" in text
    assert "It is the best of the search above." in text


def test_recipes_that_were_tried_first_stand_beside_the_best(results):
    params = replace(results.params, search=replace(results.params.search, first=("baseline",)))
    found = searched(params)
    write_search(found)
    said, _, _ = chapter_search.section(params)
    assert said.first == {"baseline": loss_of(found.trials[0])}
    assert SEARCH.is_file()
    assert "`baseline` has" in text_of(replace(results, params=params))
