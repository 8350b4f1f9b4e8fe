import re

import pytest
from example_project import results_of

from digit_vae.report.report import report_likelihood

pytestmark = pytest.mark.usefixtures("no_arguments")

VARIANTS = {"baseline": {"splits": ["full", "folds"]}, "dropout": {"splits": ["folds"], "dropout": 0.2}}


def compared(folder, monkeypatch, **sections):
    return results_of(folder, monkeypatch, **({"variants": VARIANTS, "preprocess": {"folds": 2}} | sections))


@pytest.fixture
def results(tmp_path, monkeypatch):
    return compared(tmp_path, monkeypatch)


def written(results):
    return " ".join(report_likelihood.section(results, report_likelihood.tables(results)))


def test_each_protocol_has_a_table_of_its_own_and_says_what_it_is(results):
    made = report_likelihood.tables(results)
    cells = {cell.protocol for row in made["likelihood_grey"].rows for cell in row[2:]}
    assert cells == {"grey"}
    baseline = results.metrics["baseline-full"]["likelihood"]["binarised"]
    (row,) = made["likelihood_binarised_runs"].rows
    assert row[1] == (baseline["elbo"], baseline["elbo_error"], "binarised")
    assert row[5] == (baseline["iw_bound"]["k1000"], baseline["iw_bound_error"]["k1000"], "binarised")
    assert row[7] == (baseline["inference_gap"], None, "binarised")
    text = written(results)
    assert "own entropy is 66.00 nats, so that no model can reach more than −66.00." in text  # noqa: RUF001 - a minus sign
    assert "This is a true log-likelihood" in text


def test_the_gap_of_the_baseline_and_the_best_variant_are_told(results):
    grey = {name: variant["likelihood"]["grey"] for name, variant in results.variants.items()}
    grey["dropout"]["log_likelihood"] |= {"mean": -140.0, "difference": 9.0, "p_holm": 0.01}
    grey["baseline"]["inference_gap"]["mean"] = 2.3417
    text = written(results)
    assert re.search(r"Highest is `dropout` with .140.00, \+9.00 nats [^:]*: higher than `baseline`", text)
    assert "Of `baseline` the ELBO is 2.34 nats below the integral, and the bound with K = 1000 −0.00 nats" in text  # noqa: RUF001 - a minus sign
    assert (
        "at most 0.02 nats of the ELBO and 0.02 of a bound; the last doublings of its points changed the integral by "
        "at most 0.001 in the mean over the images of a run, and by 0.3 for a single image."
    ) in text


def test_only_bounds_are_known_of_other_latent_dimensions(tmp_path, monkeypatch):
    results = compared(tmp_path, monkeypatch, train={"latent_dim": 3})
    header = report_likelihood.tables(results)["likelihood_grey"].header
    assert "IW bound, K = 1000" in header
    assert "log p(x)" not in header
    assert "below the integral" not in written(results)


def test_how_it_was_measured_is_told_as_params_have_it(results):
    text = written(results)
    evaluate = results.params.evaluate
    assert f"is a mean over {evaluate.samples} latent draws an image" in text
    assert f"by how much it rises is estimated from {evaluate.bound_images} images" in text
    assert f"by at most {evaluate.plane_tolerance} nats in the mean over images and protocols" in text
    assert f"but no more than {evaluate.plane_refinements} times." in text


def test_runs_whose_integral_still_changed_are_named(results):
    limit = results.params.evaluate.plane_tolerance
    for protocol, error in (("grey", 1.5), ("binarised", 0.7)):
        results.metrics["dropout-0"]["likelihood"][protocol]["log_likelihood_error"] = error * limit
    text = written(results)
    assert f"after which it still changed by more in `dropout-0` ({1.1 * limit:.3f})." in text


def test_the_best_and_the_worst_run_on_all_images_are_named(tmp_path, monkeypatch):
    variants = {"baseline": {"splits": ["full"]}, "second_run": {"splits": ["full"], "seed": 1}}
    results = compared(tmp_path, monkeypatch, variants=variants)
    for name, value in {"baseline-full": -140.0, "second_run-full": -141.5}.items():
        results.metrics[name]["likelihood"]["binarised"]["log_likelihood"] = value
    text = written(results)
    expected = "`baseline-full` has the highest log p(x), −140.00, and `second_run-full` the lowest, −141.50."  # noqa: RUF001 - minus signs
    assert expected in text
    assert "Best is" not in text
