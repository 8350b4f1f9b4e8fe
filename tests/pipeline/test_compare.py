import json

import numpy as np
import pytest
from example_project import write_project
from scipy.stats import t, ttest_rel

from digit_vae.base.errors import UserError
from digit_vae.config.params import load_params
from digit_vae.analysis.statistics import holm
from pipeline import compare

pytestmark = pytest.mark.usefixtures("no_arguments")


@pytest.fixture
def evaluated(tmp_path, monkeypatch):
    """The project's own variants, on three folds."""
    monkeypatch.chdir(tmp_path)
    write_project(tmp_path, preprocess={"folds": 3}, train={"epochs": 1})
    return tmp_path


def read(path):
    return json.loads(path.read_text())


def values_on_folds(evaluated, variant, images, metric):
    paths = [evaluated / f"reports/metrics/runs/{variant}-{fold}.json" for fold in range(3)]
    return [read(path)[images][metric] for path in paths]


def variant_files(evaluated):
    return sorted(path.name for path in (evaluated / "reports/metrics/variants").iterdir())


def test_variants_trained_on_folds_get_a_file_each(evaluated):
    compare.main()
    on_folds = [name for name, variant in load_params().variants.items() if "folds" in variant.splits]
    assert variant_files(evaluated) == sorted(f"{name}.json" for name in on_folds)


@pytest.mark.parametrize("images", ["validation", "test"])
@pytest.mark.parametrize("metric", ["elbo", "reconstruction_loss", "kl_loss"])
def test_numbers_are_those_of_numpy_and_of_the_paired_t_test_with_the_variance_corrected(evaluated, images, metric):
    """For three folds the variance is (1/3 + 1/2) / (1/3) = 5/2 of what the paired t-test takes it for."""
    compare.main()
    dropout, baseline = (values_on_folds(evaluated, name, images, metric) for name in ("dropout", "baseline"))
    test = ttest_rel(dropout, baseline)
    difference = np.mean(dropout) - np.mean(baseline)
    half = 2.5**0.5 * (test.confidence_interval(0.95).high - difference)
    content = read(evaluated / "reports/metrics/variants/dropout.json")
    assert content["folds"] == 3
    found = content[images][metric]
    expected = {
        "mean": np.mean(dropout),
        "std": np.std(dropout, ddof=1),
        "difference": difference,
        "difference_low": difference - half,
        "difference_high": difference + half,
        "p": 2 * t.sf(abs(test.statistic) / 2.5**0.5, 2),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    assert set(found) - set(expected) == {"p_holm", "hedges_g", "bootstrap_low", "bootstrap_high"}


def test_p_values_are_adjusted_over_the_variants_of_a_question_metric_by_metric(evaluated):
    """Those of regularisers, of the sweep over beta and of recipes each for themselves."""
    compare.main()
    for family in (
        ("l1_l2", "dropout", "batch_norm"), ("beta_0_25", "beta_0_5", "beta_2", "beta_4"), ("improved",)
    ):  # fmt: skip
        contents = [read(evaluated / f"reports/metrics/variants/{name}.json") for name in family]
        for metric in ("elbo", "kl_loss"):
            found = [content["validation"][metric] for content in contents]
            assert [each["p_holm"] for each in found] == holm([each["p"] for each in found])


def test_baseline_has_no_difference_from_itself(evaluated):
    compare.main()
    content = read(evaluated / "reports/metrics/variants/baseline.json")
    assert set(content["test"]["kl_per_dimension"]["z1"]) == {"mean", "std"}


def test_without_a_baseline_on_folds_there_is_no_difference(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_project(tmp_path, variants={"baseline": {"splits": ["full"]}, "second_run": {"splits": ["full", "folds"]}})
    compare.main()
    assert variant_files(tmp_path) == ["second_run.json"]
    assert set(read(tmp_path / "reports/metrics/variants/second_run.json")["test"]["elbo"]) == {"mean", "std"}


def test_what_params_no_longer_declare_is_neither_read_nor_kept(evaluated):
    undeclared = evaluated / "reports/metrics/runs/dropout-3.json"
    undeclared.write_text("a fold from when there were more")
    stale = evaluated / "reports/metrics/variants/gone.json"
    stale.parent.mkdir()
    stale.write_text("{}")
    compare.main()
    assert "gone.json" not in variant_files(evaluated)
    assert undeclared.exists()


def test_the_same_metrics_give_the_same_bytes(evaluated):
    path = evaluated / "reports/metrics/variants/l1_l2.json"
    compare.main()
    first = path.read_bytes()
    compare.main()
    assert path.read_bytes() == first


def test_missing_metrics_are_named_with_the_stage_that_makes_them(evaluated):
    (evaluated / "reports/metrics/runs/l1_l2-1.json").unlink()
    with pytest.raises(UserError, match=r"runs/l1_l2-1\.json is missing: `dvc repro evaluate@l1_l2-1` makes it"):
        compare.main()
