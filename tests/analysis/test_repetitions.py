import numpy as np
import pytest
from example_project import FOLDS, STUDIES, example_results, study

from digit_vae.analysis.power import Asked, simulated
from digit_vae.analysis.repetitions import DRAWS, first_repetition, plan

REPEATED = study(
    ["baseline", "dropout", "improved"],
    FOLDS,
    [1],
    beside=["ablation", "recipe_folds"],
    against="baseline",
    beyond=True,
    partial=True,
)


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return example_results(tmp_path, studies=STUDIES | {"repetitions": REPEATED})


def test_the_plan_is_made_of_the_first_repetition_alone(results):
    first = first_repetition(results)
    assert first.pairs("dropout") == [(fold, 0) for fold in FOLDS]
    assert first.compared == ["dropout", "improved"]
    planned = plan(results)["variants"]["dropout"]
    differences = [
        results.runs[f"dropout-{fold}-0"].number("validation", "elbo")
        - results.runs[f"baseline-{fold}-0"].number("validation", "elbo")
        for fold in FOLDS
    ]
    assert planned["std"] == pytest.approx(np.std(differences, ddof=1))
    asked = Asked(planned["std"], 3, results.params.compare.power, 0.05 / 2)
    assert planned["repetitions"]["2"] == simulated(asked, 2, draws=DRAWS, seed=0)._asdict()
    assert set(planned["repetitions"]) == {"1", "2"}


def test_the_plan_does_not_change_as_repetitions_are_trained(results):
    before = plan(results)
    for name in [name for name in results.runs if name.endswith("-1") and "fold" in name]:
        del results.runs[name]
    assert plan(results) == before


def test_without_the_study_there_is_no_plan(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert plan(example_results(tmp_path))["variants"] == {}
