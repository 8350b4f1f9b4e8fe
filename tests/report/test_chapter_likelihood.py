import pytest
from example_project import compared, example_results

from digit_vae.report import chapter_likelihood
from digit_vae.report.pages import rendered


def page_of(results, *studies):
    return chapter_likelihood.page(results, [compared(results, name) for name in studies])


def test_each_protocol_has_tables_of_its_own(results):
    page = page_of(results, "ablation")
    cells = {cell.protocol for row in page.tables["ablation_likelihood_grey"].rows for cell in row[2:]}
    assert cells == {"grey"}
    baseline = results.runs["baseline-full-0"].metrics["likelihood"]["binarised"]
    row = page.tables["likelihood_binarised_runs"].rows[0]
    assert row[:2] == ("baseline-full-0", (baseline["elbo"], baseline["elbo_error"], "binarised"))
    assert row[5] == (baseline["iw_bound"]["k1000"], baseline["iw_bound_error"]["k1000"], "binarised")
    assert row[7] == (baseline["inference_gap"], None, "binarised")
    assert "66.00 nats" in rendered("likelihood", page)


def test_the_gap_and_the_best_variant_are_told(results):
    ablation = compared(results, "ablation")
    grey = {name: variant["likelihood"]["grey"] for name, variant in ablation.variants.items()}
    grey["dropout"]["log_likelihood"] |= {"mean": -140.0, "difference": 9.0, "p_holm": 0.01}
    grey["baseline"]["inference_gap"]["mean"] = 2.3417
    said = chapter_likelihood.of_study(ablation, "grey")
    assert (said["best"], said["best_mean"], said["best_verdict"].outcome) == ("dropout", -140.0, "higher")
    assert (said["others"], said["gap"]) == ([], 2.3417)
    grey["baseline"]["log_likelihood"]["mean"] = -130.0
    said = chapter_likelihood.of_study(ablation, "grey")
    assert (said["best"], said["best_verdict"], [each.variant for each in said["others"]]) == (
        "baseline",
        None,
        ["dropout"],
    )


def test_the_greatest_errors_of_all_runs_are_told(results):
    results.runs["dropout-fold1-0"].metrics["likelihood"]["grey"]["elbo_error"] = 0.7
    errors = chapter_likelihood.greatest_errors(results.runs.values(), "grey")
    assert errors == {"elbo": 0.7, "bound": 0.02, "integral": 0.001, "image": 0.3}


def test_only_bounds_are_known_of_other_latent_dimensions(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = page_of(example_results(tmp_path, "paper", train={"latent_dim": 3}), "ablation")
    header = page.tables["ablation_likelihood_grey"].header
    assert "IW bound, K = 1000" in header
    assert "Log of the integral" not in header
    assert "quadrature" not in rendered("likelihood", page)


def test_a_variant_without_a_latent_plane_leaves_the_others_their_bounds_and_no_integral(results):
    for name, result in results.runs.items():
        for protocol in ("grey", "binarised") if name.startswith("dropout") else ():
            metrics = result.metrics["likelihood"][protocol]
            for key in [key for key in metrics if key.startswith(("log_likelihood", "inference_gap"))]:
                del metrics[key]
    page = page_of(results, "ablation")
    header = page.tables["ablation_likelihood_grey"].header
    assert "IW bound, K = 1000" in header
    assert "Log of the integral" not in header
    assert "IW bound, K = 1000" in rendered("likelihood", page)


def test_runs_whose_integral_still_changed_are_named(results):
    limit = results.params.evaluate.plane_tolerance
    for protocol, error in (("grey", 1.5), ("binarised", 0.7)):
        results.runs["dropout-fold0-0"].metrics["likelihood"][protocol]["log_likelihood_error"] = error * limit
    found = chapter_likelihood.unsettled(results.params, results.runs.values())
    assert found == {"dropout-fold0-0": pytest.approx(1.1 * limit)}


def test_the_best_and_the_worst_run_on_all_images_are_named(results):
    for name, value in {"baseline-full-1": -120.0, "improved-full-2": -190.0, "dropout-fold0-0": -100.0}.items():
        results.runs[name].metrics["likelihood"]["binarised"]["log_likelihood"] = value
    text = rendered("likelihood", page_of(results))
    line = next(line for line in text.splitlines() if line.startswith("Of ") and "120.00" in line)
    assert line.index("baseline-full-1") < line.index("120.00") < line.index("improved-full-2") < line.index("190.00")
