import pytest
from example_project import compared

from digit_vae.analysis.fold_comparison import fold_study
from digit_vae.base.errors import UserError
from digit_vae.base.files import write_json
from digit_vae.report.verdicts import read_compared, verdict

METRIC = {"difference": 0.5, "difference_low": 0.1, "difference_high": 0.9, "p": 0.001}


@pytest.mark.parametrize(
    ("difference", "p", "outcome"), [(0.5, 0.049, "higher"), (-0.5, 0.049, "lower"), (0.5, 0.05, "same"), (-0.5, 0.3, "same")]
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
    with pytest.raises(UserError, match="beta.json.*beta_0_5, beta_2.*received baseline, beta_4"):
        read_compared(study, "beyond")


def test_collapsed_runs_of_a_study_are_named(results):
    results.runs["dropout-fold2-0"].history["epochs"][-1]["health"]["collapsed_dimensions"] = 1
    assert compared(results, "ablation").collapsed == ["dropout-fold2-0"]


def results_path(study):
    from digit_vae.base.paths import comparisons

    return comparisons("beyond") / f"{study}.json"
