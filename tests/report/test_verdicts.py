import contextlib
from copy import deepcopy

import pytest
from example_project import compared, example_results

from digit_vae.analysis.fold_comparison import fold_study
from digit_vae.analysis.results import at
from digit_vae.base.errors import UserError
from digit_vae.base.files import write_json
from digit_vae.report.verdicts import read_compared, verdict

METRIC = {"difference": 0.5, "difference_low": 0.1, "difference_high": 0.9, "p": 0.001}


@pytest.mark.parametrize(
    ("difference", "p", "outcome"),
    [(0.5, 0.049, "higher"), (-0.5, 0.049, "lower"), (0.5, 0.05, "same"), (-0.5, 0.3, "same")],
)
def test_a_difference_counts_only_where_the_adjusted_p_is_small(difference, p, outcome):
    found = verdict("dropout", METRIC | {"difference": difference, "p_holm": p})
    assert (found.outcome, found.p, found.difference.mean) == (outcome, p, difference)


def test_what_compare_wrote_is_read_in_the_order_of_the_study(results):
    study = fold_study(results, "beta")
    write_json(results_path("beta"), study.compare())
    found = read_compared(study, "beyond")
    assert list(found.variants) == ["baseline", "beta_0_5", "beta_2"]
    assert list(found.others) == ["beta_0_5", "beta_2"]
    assert [each.variant for each in found.verdicts("test", "elbo")] == ["beta_0_5", "beta_2"]


def test_a_comparison_of_other_variants_is_refused(results):
    study = fold_study(results, "beta")
    write_json(results_path("beta"), {"baseline": {}, "beta_4": {}})
    with pytest.raises(UserError, match=r"beta.json.*beta_0_5, beta_2.*received baseline, beta_4"):
        read_compared(study, "beyond")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A study and what `compare` makes of it, in seconds; tests change copies."""
    root = tmp_path_factory.mktemp("made")
    with contextlib.chdir(root):
        study = fold_study(example_results(root), "beta")
        return study, study.compare()


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("variant", ["baseline", "beta_2"])
@pytest.mark.parametrize(
    "keys",
    [("folds",), ("test",), ("latent", "nmi"), ("latent", "nmi", "std"), ("validation", "kl_per_dimension", "z1")],
)
def test_a_comparison_without_what_is_read_of_it_is_refused_with_file_and_place(made, variant, keys):
    place = ".".join((variant, *keys[:-1]))
    for value in (None, True, []):
        check_refused(made, (variant, *keys), value, place)
    check_refused(made, (variant, *keys), None, place, delete=True)


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("key", ["difference", "difference_high", "p_holm", "bootstrap_low"])
def test_a_variant_that_was_not_compared_is_refused(made, key):
    place = r"beta_2\.validation\.elbo"
    check_refused(made, ("beta_2", "validation", "elbo", key), None, place, delete=True)


def check_refused(made, keys, value, place, *, delete=False):
    study, content, (*way, last) = made[0], deepcopy(made[1]), keys
    if delete:
        del at(content, way)[last]
    else:
        at(content, way)[last] = value
    write_json(results_path("beta"), content)
    with pytest.raises(UserError, match=rf"beta\.json is damaged \({place}\b.*\b{last}\b"):
        read_compared(study, "beyond")


def test_collapsed_runs_of_a_study_are_named(results):
    results.runs["dropout-fold2-0"].history["epochs"][-1]["health"]["collapsed_dimensions"] = 1
    assert compared(results, "ablation").collapsed == ["dropout-fold2-0"]


def results_path(study):
    from digit_vae.base.paths import comparisons

    return comparisons("beyond") / f"{study}.json"
