"""The gate: what it computes, against SciPy, and what it lets pass."""

import json
import math

import numpy as np
import pytest
from example_project import change, example_results
from scipy.stats import t

from digit_vae.analysis.results import read_results
from digit_vae.analysis.statistics import Difference
from digit_vae.base.paths import RunFiles
from digit_vae.config.loading import load_params
from digit_vae.config.schema import PromoteParams
from digit_vae.registry.gate import Gain, complaints, gains, told

RULE = PromoteParams(locked_weights=True, collapsed_dimensions=0, level=0.05)
CLEAR = Gain(Difference(3.0, 2.0, 4.0), 0.01, 5, 3)


def test_gains_are_tested_over_common_folds_and_adjusted(project):
    results = example_results(project)
    found = gains(results, "baseline")
    assert set(found) == {"dropout", "improved", "beta_0_5", "beta_2"}
    p_values = {}
    for variant in found:
        differences = [
            results.runs[f"{variant}-fold{fold}-0"].number("validation", "elbo")
            - results.runs[f"baseline-fold{fold}-0"].number("validation", "elbo")
            for fold in range(3)
        ]
        share = 1 / (results.params.preprocess.folds - 1)
        error = np.sqrt((1 / 3 + share) * np.var(differences, ddof=1))
        p_values[variant] = 2 * t.sf(abs(np.mean(differences)) / error, 2)
        assert found[variant].difference.mean == pytest.approx(np.mean(differences))
        assert (found[variant].folds, found[variant].variants) == (3, 4)
    least = min(p_values, key=p_values.get)
    assert found[least].p == pytest.approx(min(1, 4 * p_values[least]))
    assert all(found[name].p >= p for name, p in p_values.items())


def test_a_variant_has_no_gain_over_itself_or_without_folds(project):
    found = gains(example_results(project), "improved")
    assert "improved" not in found
    assert "warmup" not in found
    assert gains(example_results(project), "nobody") == {}


def test_folds_that_chose_a_variant_count_neither_for_it_nor_against_it(project):
    results = example_results(project, compare={"chose": {"improved": ["fold0-0"]}})
    for variant, over in (("improved", "baseline"), ("baseline", "improved")):
        found = gains(results, over)[variant]
        elbos = ([results.runs[f"{name}-fold{fold}-0"] for fold in (1, 2)] for name in (variant, over))
        ours, theirs = ([each.number("validation", "elbo") for each in runs] for runs in elbos)
        assert found.difference.mean == pytest.approx(np.mean(np.subtract(ours, theirs)))
        assert (found.folds, found.without) == (2, ("fold0-0",))
        assert "over 2 folds (without fold0-0, which chose one of the two)" in told(found)
    assert gains(results, "baseline")["dropout"].folds == 3
    assert gains(results, "improved")["dropout"].folds == 2


def test_a_variant_that_too_few_other_folds_judge_has_no_gain(project):
    results = example_results(project, compare={"chose": {"improved": ["fold0-0", "fold1-0"]}})
    assert "improved" not in gains(results, "baseline")


def test_the_gain_is_that_of_the_validation_images(project):
    params = example_results(project)
    for fold in range(3):
        name = f"dropout-fold{fold}-0"
        metrics = params.runs[name].metrics
        baseline = params.runs[f"baseline-fold{fold}-0"].number("validation", "elbo")
        change(name, "metrics", validation=metrics["validation"] | {"elbo": baseline + 1.5})
    assert gains(read_results(load_params(), "beyond"), "baseline")["dropout"].difference.mean == pytest.approx(1.5)


def test_folds_that_no_test_can_judge_do_not_pass(project):
    example_results(project)
    for fold in range(3):
        for variant, value in (("dropout", -150.0), ("baseline", -155.0)):
            path = RunFiles("paper", f"{variant}-fold{fold}-0").metrics
            metrics = json.loads(path.read_text(encoding="utf-8"))
            metrics["validation"]["elbo"] = value
            path.write_text(json.dumps(metrics), encoding="utf-8")
    results = read_results(load_params(), "beyond")
    assert passes(gain=gains(results, "baseline")["dropout"]) != []


def passes(rule=RULE, *, unlocked=(), collapsed=0, gain=CLEAR, over="a (version 1)"):
    return complaints(rule, unlocked=list(unlocked), collapsed=collapsed, gain=gain, over=over)


def test_what_is_sound_and_better_passes():
    assert passes() == []
    assert passes(gain=None, over=None) == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"unlocked": ["dvc.lock has no weights"]}, ("dvc.lock",)),
        ({"collapsed": 1}, ("at most 0", "received 1")),
        ({"collapsed": 1, "over": None, "gain": None}, ("received 1",)),
        ({"gain": None}, ("a (version 1)", "folds")),
        ({"gain": CLEAR._replace(p=0.05)}, ("+3.00", "[+2.00, +4.00]", "0.05", "5 folds", "3 variants")),
        ({"gain": CLEAR._replace(difference=Difference(-3.0, -4.0, -2.0))}, ("-3.00",)),
        ({"gain": CLEAR._replace(p=math.nan)}, ("finite", "p nan")),
        ({"gain": CLEAR._replace(difference=Difference(math.inf, 2.0, 4.0))}, ("finite", "+inf")),
        ({"gain": CLEAR._replace(difference=Difference(3.0, 3.0, 3.0), p=0.0)}, ("varies", "[+3.00, +3.00]")),
    ],
)
def test_what_does_not_pass_is_told_by_how_much(given, words):
    [complaint] = passes(**given)
    assert all(word in complaint for word in words)


def test_the_rule_decides():
    lenient = PromoteParams(locked_weights=False, collapsed_dimensions=1, level=None)
    assert passes(lenient, unlocked=["dvc.lock has no weights"], collapsed=1, gain=None) == []
    strict = PromoteParams(locked_weights=True, collapsed_dimensions=0, level=0.001)
    assert len(passes(strict)) == 1
