import re

import numpy as np
import pytest
from example_project import results_of

from digit_vae.report.report import report_variants
from digit_vae.report.tables import Nats, signed
from digit_vae.report.wording import paragraphs

pytestmark = pytest.mark.usefixtures("no_arguments")

BETAS = {f"beta_{str(beta).replace('.', '_')}": {"splits": ["folds"], "beta": beta} for beta in (0.5, 4.0)}
VARIANTS = {"baseline": {"splits": ["full", "folds"]}, "dropout": {"splits": ["folds"], "dropout": 0.2}} | BETAS


def compared(folder, monkeypatch, **sections):
    return results_of(folder, monkeypatch, **({"variants": VARIANTS, "preprocess": {"folds": 3}} | sections))


@pytest.fixture
def results(tmp_path, monkeypatch):
    return compared(tmp_path, monkeypatch)


def written(results):
    made = report_variants.tables(results)
    sections = (report_variants.differences, report_variants.latent_space, report_variants.beta)
    return paragraphs([section(results, made) for section in sections])


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
    assert "by changing: the model (`dropout`); the beta (`beta_0_5`, `beta_4_0`)." in text
    assert "all runs on folds have the seed 0" in text


def test_the_differences_of_every_fold_stand_with_their_tests(results):
    table = report_variants.fold_differences(results)
    row = next(row for row in table.rows if row[:2] == ("dropout", "ELBO"))
    metric = results.variants["dropout"]["validation"]["elbo"]
    assert np.mean(row[2:5]) == pytest.approx(metric["difference"])
    assert row[5] == (metric["difference"], metric["difference_low"], metric["difference_high"])
    assert row[6:9] == (metric["p"], metric["p_holm"], metric["hedges_g"])
    assert row[9] == (metric["bootstrap_low"], metric["bootstrap_high"])


def test_numbers_of_the_latent_space_are_judged_one_by_one(results):
    for variant in VARIANTS.keys() - {"baseline"}:
        variants = results.variants[variant]
        for metric in (*variants["latent"].values(), *variants["quality"]["samples"].values()):
            metric["p_holm"] = 0.5
    results.variants["beta_4_0"]["latent"]["knn_accuracy"] |= {"difference": -0.05, "p_holm": 0.01}
    text = written(results)
    line = next(line for line in text.splitlines() if line.startswith("- kNN accuracy"))
    assert line.startswith("- kNN accuracy: lower than `baseline`: `beta_4_0` −0.050 [")  # noqa: RUF001 - minus sign
    assert line.endswith("; no detectable difference: `dropout`, `beta_0_5`.")
    same = next(line for line in text.splitlines() if line.startswith("- No detectable difference of any variant"))
    assert "silhouette" in same
    assert "kNN" not in same
    assert "information error" not in text


def test_the_best_beta_is_told_with_the_folds_that_agree(results):
    for name, elbos in {
        "beta_0_5": (-160, -160, -160),
        "baseline": (-155, -150, -155),
        "beta_4_0": (-150, -152, -150),
    }.items():
        for fold, elbo in enumerate(elbos):
            results.metrics[f"{name}-{fold}"]["validation"]["elbo"] = elbo
    for name, p in (("beta_4_0", 0.2), ("beta_0_5", 0.01)):
        results.variants[name]["validation"]["elbo"] |= {"p_holm": p, "difference": -6.67}
    assert re.search(
        r"highest mean ELBO is that of beta 4, .150\.67; it is the highest on 2 of 3 folds\. ELBO against beta 1: "
        r"lower than `baseline`: `beta_0_5` .6\.67 [^;]*; no detectable difference: `beta_4_0`\.",
        written(results),
    )


def test_the_best_beta_by_likelihood_is_that_of_binarised_images(results):
    for name, log_p in {"beta_0_5": -140, "baseline": -130, "beta_4_0": -135}.items():
        for fold in range(3):
            its = results.metrics[f"{name}-{fold}"]["likelihood"]
            its["binarised"]["log_likelihood"], its["grey"]["log_likelihood"] = log_p, -log_p
    assert "highest mean log p(x) (binarised) of the test images is that of beta 1, −130.00" in written(results)  # noqa: RUF001


def test_the_sweeps_table_has_each_number_of_its_own_images_and_protocol(results):
    """Each is set to another value in all the places that it could be confused with."""
    of, runs = results.variants["beta_4_0"], results.fold_runs("beta_4_0")
    for split, shift in (("validation", 0), ("test", 50)):
        for place, key in enumerate(("kl_loss", "reconstruction_loss", "elbo")):
            of[split][key] |= {"mean": shift + place, "std": shift + place + 0.5}
        for run in runs:
            results.metrics[run][split]["kl_per_dimension"] = {"z0": shift + 8.0, "z1": shift + 7.0}
    for place, protocol in enumerate(("grey", "binarised")):
        of["likelihood"][protocol]["log_likelihood"] |= {"mean": 100 + place, "std": 0.25}
    elbo = of["validation"]["elbo"]
    against = elbo["difference"], elbo["difference_low"], elbo["difference_high"]
    assert report_variants.betas(results).rows[-1][:-2] == (
        4.0, "beta_4_0", 3, (0, 0.5), (1, 1.5), (2, 2.5), against,
        (7.0, 0.0), (8.0, 0.0), Nats(101, 0.25, "binarised"),
    )  # fmt: skip


def test_with_another_latent_dimension_a_bound_is_called_a_bound(tmp_path, monkeypatch):
    results = compared(tmp_path, monkeypatch, train={"latent_dim": 3})
    assert "IW bound, K = 1000 (binarised), test images" in report_variants.betas(results).header
    assert "log p(x)" not in written(results)


def test_a_collapsed_run_is_set_apart_from_its_variants_other_folds(results):
    assert "collapsed, the ELBO" not in written(results)
    results.histories["dropout-1"]["epochs"][-1]["health"]["collapsed_dimensions"] = 1
    rest = results.fold_differences("elbo")["dropout"][[0, 2]]
    assert (
        "on the folds but those of `dropout-1`, where a latent dimension has collapsed, the ELBO is "
        f"{signed(rest.min())} to {signed(rest.max())} from the baseline's"
    ) in written(results)


def test_variants_of_beta_alone_are_left_to_the_sweep(results):
    made = report_variants.tables(results)
    assert [row[0] for row in made["ablation"].rows] == ["baseline", "dropout"]
    assert "- `beta_4_0`: reconstruction loss" not in written(results)
    assert {row[1] for row in made["quality_differences"].rows} == {"dropout", "beta_0_5", "beta_4_0"}


def test_every_difference_stands_with_its_tests(results):
    made = report_variants.tables(results)
    row = next(row for row in made["latent_differences"].rows if row[:2] == ("NMI", "dropout"))
    its = results.variants["dropout"]["latent"]["nmi"]
    assert row[2:6] == (
        (its["difference"], its["difference_low"], its["difference_high"]), its["p"], its["p_holm"], its["hedges_g"],
    )  # fmt: skip
    assert row[6] == (its["bootstrap_low"], its["bootstrap_high"])


def test_what_collapses_is_told_by_beta(results):
    assert "In none of these runs has a latent dimension collapsed" in written(results)
    results.histories["beta_4_0-1"]["epochs"][-1]["health"]["collapsed_dimensions"] = 1
    assert "A latent dimension has collapsed (below 0.1 nats) at beta 4 in `beta_4_0-1`;" in written(results)
    row = report_variants.betas(results).rows[-1]
    assert row[-2].mean == pytest.approx(1 / 3)


def test_without_folds_it_says_what_is_not_there(tmp_path, monkeypatch):
    text = written(compared(tmp_path, monkeypatch, variants={"baseline": {"splits": ["full"]}}))
    assert "Nothing to compare: no variant shares folds with `baseline`" in text
    assert "Not measured over folds" in text
    assert "No sweep" in text
