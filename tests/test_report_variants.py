import re

import numpy as np
import pytest
from example_project import results_of

from digit_vae import report_variants
from digit_vae.wording import paragraphs

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
    assert "over all 3 variants compared with `baseline`" in text


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


def test_without_folds_it_says_what_is_not_there(tmp_path, monkeypatch):
    text = written(compared(tmp_path, monkeypatch, variants={"baseline": {"splits": ["full"]}}))
    assert "Nothing to compare: no variant shares folds with `baseline`" in text
    assert "Not measured over folds" in text
    assert "No sweep" in text
