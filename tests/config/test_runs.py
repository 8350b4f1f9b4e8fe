"""The runs that follow from studies, and what the sections may say of each other."""

import dataclasses

import pytest
import yaml
from synthetic import SMALL_PARAMS, write_params

from digit_vae.base.errors import UserError
from digit_vae.config.runs import find_run, read_together, run_params, runs, splits, study_runs

UNUSED = yaml.safe_load(SMALL_PARAMS.read_text(encoding="utf-8"))["variants"] | {"unused": {}}
STUDY = {"question": "?", "variants": ["baseline"], "splits": ["full"], "seeds": [0, 1]}


@pytest.fixture
def load(tmp_path):
    """Loads the small params.yaml with studies (whole) and other sections (key by key) changed in it."""

    def load_changed(studies=None, **sections):
        content = yaml.safe_load(SMALL_PARAMS.read_text(encoding="utf-8"))
        return write_params(tmp_path, **sections, studies=content["studies"] | (studies or {}))

    return load_changed


def test_runs_are_every_variant_on_every_split_with_every_seed_in_the_order_of_the_file(load):
    study = STUDY | {"variants": ["beta_2", "dropout"], "splits": ["fold2", "full"], "seeds": [7, 5]}
    params = load({"new": study})
    assert [run.name for run in study_runs(params, "new")] == [
        *("beta_2-fold2-7", "beta_2-fold2-5", "beta_2-full-7", "beta_2-full-5"),
        *("dropout-fold2-7", "dropout-fold2-5", "dropout-full-7", "dropout-full-5"),
    ]
    names = [run.name for run in runs(params)]
    assert names[:3] == ["baseline-full-0", "baseline-full-1", "baseline-fold0-0"]
    assert names[-8:] == [run.name for run in study_runs(params, "new")]


def test_each_run_is_in_the_graph_of_its_study(small_params):
    paper, beyond = runs(small_params, "paper"), runs(small_params, "beyond")
    assert {run.study for run in paper} == {"paper", "ablation"}
    assert {*paper} | {*beyond} == {*runs(small_params)}
    assert not {*paper} & {*beyond}
    assert {run.graph for run in beyond} == {"beyond"}


def test_one_more_seed_is_one_more_run_and_changes_no_other(load):
    before, after = load(), load({"paper": STUDY | {"seeds": [0, 1, 11]}})
    assert [run.name for run in runs(after) if run not in runs(before)] == ["baseline-full-11"]
    assert {*runs(before)} < {*runs(after)}


def test_a_runs_stages_and_split_bear_its_name(small_params):
    run = find_run(small_params, "dropout-fold2-0")
    assert (run.variant, run.split, run.seed, run.split_name) == ("dropout", "fold2", 0, "fold2-0")
    assert run.stages == ("train_ablation@dropout-fold2-0", "evaluate_ablation@dropout-fold2-0")


def test_the_stages_of_a_run_beyond_the_paper_are_those_of_its_graphs_file(small_params):
    train, evaluate = find_run(small_params, "improved-full-0").stages
    assert train == "beyond/dvc.yaml:train_recipe@improved-full-0"
    assert evaluate == "beyond/dvc.yaml:evaluate_recipe@improved-full-0"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dropout-fold2", "dropout-fold2-0"),
        ("improved-ful-1", "improved-full-1"),
        ("nothing", "<variant>-<split>-<seed>"),
    ],
)
def test_an_unknown_run_is_refused_with_names_that_are_like_it(small_params, name, expected):
    with pytest.raises(UserError, match=f"{name}.*{expected}"):
        find_run(small_params, name)


def test_a_study_is_read_together_with_those_beside_it(small_params):
    names = [run.name for run in read_together(small_params, "recipe")]
    assert names == [*(f"baseline-full-{seed}" for seed in range(4)), "improved-full-0", "improved-full-1"]


def test_each_split_is_drawn_once_for_each_seed(load):
    params = load({"new": STUDY | {"variants": ["beta_2", "beta_0_5"], "splits": ["full", "fold1"], "seeds": [1, 9]}})
    pairs = splits(params)
    assert len(pairs) == len(set(pairs))
    assert {seed for split, seed in pairs if split == "full"} == {0, 1, 2, 3, 9}
    folds = {pair for pair in pairs if pair[0] != "full"}
    assert folds == {("fold0", 0), ("fold1", 0), ("fold2", 0), ("fold1", 1), ("fold1", 9)}


def test_a_run_takes_the_train_section_its_variants_options_and_its_seed(small_params):
    base = run_params(small_params, find_run(small_params, "baseline-full-3"))
    assert dataclasses.asdict(base) == dataclasses.asdict(small_params.train) | {"seed": 3}
    changed = run_params(small_params, find_run(small_params, "beta_2-fold0-0"))
    assert dataclasses.replace(changed, beta=1.0, seed=3) == base


def test_a_whole_number_where_a_fraction_is_meant_is_the_same_run(load):
    content = yaml.safe_load(SMALL_PARAMS.read_text(encoding="utf-8"))["variants"]
    params = load(variants=content | {"beta_2": {"beta": 2}})
    beta = run_params(params, find_run(params, "beta_2-fold0-0")).beta
    assert (beta, type(beta)) == (2.0, float)


@pytest.mark.parametrize(
    ("studies", "sections", "message"),
    [
        ({"paper": STUDY | {"variants": ["base"]}}, {}, r"studies\.paper\.variants: .*baseline, l1_l2, .*'base'"),
        (
            {"paper": STUDY | {"splits": ["fold3"]}},
            {},
            r"studies\.paper\.splits: .* fold0 to fold2 .*'fold3'",
        ),
        ({"paper": STUDY | {"beside": ["papers"]}}, {}, r"studies\.paper\.beside: .*ablation.*received 'papers'"),
        ({"paper": STUDY | {"beside": ["paper"]}}, {}, r"studies\.paper\.beside: .*received 'paper'"),
        ({"paper": STUDY | {"beside": ["seeds"]}}, {}, r"studies\.paper\.beside: .*received 'seeds'"),
        ({"paper": STUDY | {"against": "dropout"}}, {}, r"studies\.paper\.against: .*baseline.*received 'dropout'"),
        ({"paper": STUDY | {"against": "none"}}, {}, r"studies\.paper\.against: .*received 'none'"),
        ({"new": STUDY}, {}, r"studies\.paper and studies\.new: .*beside.*received baseline-full-0 in both"),
        ({}, {"report": {"first_run": "dropout-full-0"}}, r"report\.first_run: .*received 'dropout-full-0'"),
        ({}, {"report": {"second_run": "improved-full-0"}}, r"report\.second_run: .*received 'improved-full-0'"),
        ({}, {"publish": {"paper": ["improved-full-0"]}}, r"publish\.paper: .*received 'improved-full-0'"),
        ({}, {"publish": {"beyond": ["baseline-full-0"]}}, r"publish\.beyond: .*received 'baseline-full-0'"),
        ({}, {"variants": {"base": {}}}, r"variants: expected an entry 'baseline', .*received base$"),
        ({}, {"compare": {"chose": {"clipped": ["fold0-0"]}}}, r"compare\.chose: .*'clipped'"),
        ({}, {"compare": {"chose": {"unused": ["fold0-0"]}}, "variants": UNUSED}, r"compare\.chose: .*'unused'"),
        ({}, {"compare": {"chose": {"beta_2": ["fold0-0", "fold9-0"]}}}, r"compare\.chose\.beta_2: .*'fold9-0'"),
        ({}, {"compare": {"chose": {"beta_2": ["fold0-7"]}}}, r"compare\.chose\.beta_2: .*'fold0-7'"),
        ({}, {"preprocess": {"folds": 11, "train_images": 101}}, r"preprocess\.train_images: .*110.*received 101"),
    ],
)
def test_what_sections_say_of_each_other_has_to_fit(load, studies, sections, message):
    with pytest.raises(UserError, match=f"^{message}"):
        load(studies, **sections)
