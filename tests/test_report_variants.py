import copy
import re

import numpy as np
import pytest
from example_project import write_project

from digit_vae import report_variants
from digit_vae.params import load_params
from digit_vae.wording import paragraphs
from pipeline import compare, plot

pytestmark = pytest.mark.usefixtures("no_arguments")

BETAS = {f"beta_{str(beta).replace('.', '_')}": {"splits": ["folds"], "beta": beta} for beta in (0.5, 4.0)}
VARIANTS = {"baseline": {"splits": ["full", "folds"]}, "dropout": {"splits": ["folds"], "dropout": 0.2}} | BETAS


def compared(folder, monkeypatch, **sections):
    """The results of a project, its variants compared, with which a test may do what it likes."""
    monkeypatch.chdir(folder)
    variants = {"variants": VARIANTS, "plot": {"second_run": "baseline-full"}, "preprocess": {"folds": 3}}
    write_project(folder, **(variants | sections))
    compare.main()
    return copy.deepcopy(plot.load_results(load_params()))


@pytest.fixture
def results(tmp_path, monkeypatch):
    return compared(tmp_path, monkeypatch)


def written(results):
    made = report_variants.tables(results)
    return paragraphs(report_variants.sections(results, made))


@pytest.mark.parametrize(
    ("difference", "p", "outcome"),
    [
        (0.5, 0.049, "higher than `baseline`"),
        (-0.5, 0.049, "lower than `baseline`"),
        (0.5, 0.05, "no detectable difference"),
    ],
)
def test_a_difference_counts_only_where_the_adjusted_p_is_small(results, difference, p, outcome):
    results.variants["dropout"]["validation"]["elbo"] |= {"difference": difference, "p": 0.001, "p_holm": p}
    assert re.search(rf"- `dropout`: reconstruction loss [^;]*; ELBO [^;]*: {outcome}\.", written(results))


def test_the_family_and_the_variance_are_stated(results):
    text = written(results)
    assert "(1/3 + 1/2) times that of a fold, instead of 1/3" in text
    assert "over all 3 variants compared with `baseline`" in text


def test_the_differences_of_every_fold_stand_with_their_tests(results):
    table = report_variants.fold_differences(results)
    row = next(row for row in table.rows if row[:2] == ("dropout", "ELBO"))
    metric = results.variants["dropout"]["validation"]["elbo"]
    assert np.mean(row[2:5]) == pytest.approx(metric["difference"])
    assert row[5] == (metric["difference"], metric["difference_low"], metric["difference_high"])
    assert row[6:9] == (metric["p"], metric["p_holm"], metric["hedges_g"])
    assert row[9] == (metric["bootstrap_low"], metric["bootstrap_high"])


def test_each_protocol_has_a_table_of_its_own_and_says_what_it_is(results):
    made = report_variants.tables(results)
    cells = {cell.protocol for row in made["likelihood_grey"].rows for cell in row[2:]}
    assert cells == {"grey"}
    baseline = results.metrics["baseline-full"]["likelihood"]["binarised"]
    (row,) = made["likelihood_binarised_runs"].rows
    assert row[1] == (baseline["elbo"], baseline["elbo_error"], "binarised")
    assert row[5] == (baseline["iw_bound"]["k1000"], baseline["iw_bound_error"]["k1000"], "binarised")
    assert row[7] == (baseline["inference_gap"], None, "binarised")
    text = written(results)
    assert "the entropy of the pixels themselves, −66.00 nats" in text  # noqa: RUF001 - a minus sign
    assert "This is a true log-likelihood" in text


def test_the_gap_of_the_baseline_and_the_best_variant_are_told(results):
    grey = {name: variant["likelihood"]["grey"] for name, variant in results.variants.items()}
    grey["dropout"]["log_likelihood"] |= {"mean": -140.0, "difference": 9.0, "p_holm": 0.01}
    grey["baseline"]["inference_gap"]["mean"] = 2.3417
    text = written(results)
    assert re.search(r"Best is `dropout` with .140.00, \+9.00 nats [^:]*: higher than `baseline`", text)
    assert "Of `baseline` the ELBO is 2.34 nats below the integral, and the bound with K = 1000 −0.00 nats" in text  # noqa: RUF001 - a minus sign
    assert (
        "at most 0.02 nats of the ELBO and 0.02 of a bound; the last doublings of its points changed the integral by "
        "at most 0.001 in the mean over the images of a run, and by 0.3 for a single image."
    ) in text


def test_only_bounds_are_known_of_other_latent_dimensions(tmp_path, monkeypatch):
    results = compared(tmp_path, monkeypatch, train={"latent_dim": 3})
    header = report_variants.tables(results)["likelihood_grey"].header
    assert "IW bound, K = 1000" in header
    assert "log p(x)" not in header
    assert "below the integral" not in written(results)


def test_numbers_of_the_latent_space_are_judged_one_by_one(results):
    for variant in VARIANTS.keys() - {"baseline"}:
        variants = results.variants[variant]
        for metric in (*variants["latent"].values(), *variants["quality"]["samples"].values()):
            metric["p_holm"] = 0.5
    results.variants["beta_4_0"]["latent"]["knn_accuracy"] |= {"difference": -0.05, "p_holm": 0.01}
    text = written(results)
    line = next(line for line in text.splitlines() if line.startswith("- knn accuracy"))
    assert line.startswith("- knn accuracy: lower than `baseline`: `beta_4_0` −0.050 [")  # noqa: RUF001 - minus sign
    assert line.endswith("; no detectable difference: `dropout`, `beta_0_5`.")
    same = next(line for line in text.splitlines() if line.startswith("- No detectable difference of any variant"))
    assert "silhouette" in same
    assert "knn" not in same
    assert "information error" not in text


def test_the_best_beta_is_told_with_the_folds_that_agree(results):
    for name, elbos in {
        "beta_0_5": (-160, -160, -160),
        "baseline": (-155, -150, -155),
        "beta_4_0": (-150, -152, -150),
    }.items():
        for fold, elbo in enumerate(elbos):
            results.metrics[f"{name}-{fold}"]["validation"]["elbo"] = elbo
    results.variants["beta_4_0"]["validation"]["elbo"]["p_holm"] = 0.2
    assert re.search(
        r"By ELBO beta 4 is best \(.150.67\), on 2 of 3 folds; against beta 1 [^:]*: no detectable difference",
        written(results),
    )


def test_what_collapses_is_told_by_beta(results):
    assert "In none of these runs has a latent dimension collapsed" in written(results)
    results.histories["beta_4_0-1"]["epochs"][-1]["health"]["collapsed_dimensions"] = 1
    assert "A latent dimension has collapsed (below 0.1 nats) at beta 4 in `beta_4_0-1`;" in written(results)
    row = report_variants.betas(results).rows[-1]
    assert row[-2].mean == pytest.approx(1 / 3)


def test_a_sweep_of_single_runs_is_told_as_such(tmp_path, monkeypatch):
    variants = {"baseline": {"splits": ["full"]}, "beta_2": {"splits": ["full"], "beta": 2.0}}
    results = compared(tmp_path, monkeypatch, variants=variants)
    results.metrics["beta_2-full"]["test"]["elbo"] = -150.0
    text = written(results)
    assert "The ELBO is best at beta 2 (−150.00, the dashed line)" in text  # noqa: RUF001 - a minus sign
    assert "how much of it is chance is not known" in text
    points = plot.sweep_points(results)
    assert [(beta, len(rates)) for beta, rates, _ in points] == [(1.0, 1), (2.0, 1)]
    plot.further_figures(results)


def test_without_folds_it_says_what_is_not_there(tmp_path, monkeypatch):
    text = written(compared(tmp_path, monkeypatch, variants={"baseline": {"splits": ["full"]}}))
    assert "Nothing to compare: no variant shares folds with `baseline`" in text
    assert "Not measured over folds" in text
    assert "No sweep" in text
