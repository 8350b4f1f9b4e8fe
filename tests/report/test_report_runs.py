import numpy as np
import pytest
from example_project import results_of
from scipy.stats import linregress

from digit_vae.report.report import report_runs
from digit_vae.report.wording import paragraphs

pytestmark = pytest.mark.usefixtures("no_arguments")

VARIANTS = {
    "baseline": {"splits": ["full"]},
    **{f"seed_{seed}": {"splits": ["full"], "seed": seed} for seed in range(1, 5)},
    "improved": {"splits": ["full"], "warmup_steps": 1000},
}
LOSSES = {"baseline": 155.0, "seed_1": 154.0, "seed_2": 157.0, "seed_3": 159.0, "seed_4": 155.0}


def read(folder, monkeypatch, variants=VARIANTS):
    return results_of(folder, monkeypatch, variants=variants)


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Five seeds with known losses after the last epoch, each with as many dead units as its loss is above 143."""
    results = read(tmp_path, monkeypatch)
    for variant, loss in (LOSSES | {"improved": 149.5}).items():
        results.histories[f"{variant}-full"]["epochs"][-1]["val_loss"] = loss
        results.metrics[f"{variant}-full"]["test"] |= {"elbo": -loss, "dead_units": int(loss) - 143}
    return results


def written(results):
    return paragraphs(report_runs.sections(results, report_runs.tables(results)))


def test_the_papers_runs_stand_among_ours_by_rising_loss(results):
    rows = report_runs.seeds(results).rows
    assert [row[0] for row in rows] == [
        "seed_1-full", "baseline-full", "seed_4-full", "seed_2-full", "paper, CPU", "seed_3-full", "paper, GPU",
    ]  # fmt: skip
    assert rows[-1][3] == pytest.approx((175.61 - 156) / np.std(list(LOSSES.values()), ddof=1))


def test_what_is_shown_and_what_is_not_about_cpu_and_gpu(results):
    text = written(results)
    assert "156.00 ± 2.00. One more such run is expected between 149.92 and 162.08" in text  # 2.776 * 2 * sqrt(6/5)
    assert "CPU run, 158.62: above 4 of our 5 runs, +1.3 standard deviations from their mean, inside" in text
    assert "GPU run, 175.61: above 5 of our 5 runs, +9.8 standard deviations from their mean, outside" in text
    assert "Shown: the CPU run is inside of what another seed of our implementation is expected to give" in text
    assert "the GPU run is outside of what another seed of our implementation is expected to give. Not shown" in text
    assert "all runs here were on a CPU" in text


def test_the_kl_of_the_last_training_loss_stands_beside_the_papers(results):
    """The paper's follows from its Table I: 159.20 - 152.67 on the CPU and 177.17 - 173.37 on the GPU."""
    for kl, history in zip((6.25, 6.5, 5.5, 6.0, 4.0, 6.1), results.histories.values(), strict=True):
        history["epochs"][-1]["kl_loss"] = kl
    text = written(results)
    assert "the KL is 6.53 nats in its CPU run and 3.80 nats in its GPU run; in our 6 runs" in text
    assert "use all latent dimensions it is 4.00 to 6.50. None of our runs ended with a collapsed dimension." in text
    results.histories["seed_4-full"]["epochs"][-1]["health"]["collapsed_dimensions"] = 1
    text = written(results)
    assert "it is 5.50 to 6.50, with a collapsed one 4.00 in `seed_4-full`. A GPU run that used one of its" in text


def test_runs_whose_loss_has_other_terms_have_no_kl_to_compare(results):
    for history in results.histories.values():
        history["params"]["kernel_l1"] = 0.1
    assert "3.80 nats in its GPU run.\n" in written(results)


def test_loss_goes_with_dead_units_as_least_squares_say(results):
    losses = list(LOSSES.values())
    slope = linregress([int(loss) - 143 for loss in losses], losses).slope
    assert f"comes with +{slope:.2f} nats" in written(results)
    rows = report_runs.dead_units(results).rows
    assert rows == (
        (11, 1, (154, 154, 154)),
        (12, 2, (155, 155, 155)),
        (14, 1, (157, 157, 157)),
        (16, 1, (159, 159, 159)),
    )


def test_runs_beyond_the_thresholds_are_named_and_the_worst_is_explained(results):
    last = results.histories["seed_3-full"]["epochs"][-1]["health"]
    for history in results.histories.values():
        history["epochs"][-1]["health"]["dead_units"]["hidden"] = 12
    last["dead_units"]["hidden"], last["collapsed_dimensions"] = 15, 1
    text = written(results)
    assert (
        "hidden layer there are dead: 12 in the median run of `baseline`, 12 in the median run of `improved`." in text
    )
    assert "1 of 6 runs have one: `seed_3-full`." in text
    assert (
        "The worst run with the beta of `baseline` is `seed_3-full`, 159.00 nats (-ELBO) on the test images, where "
        "their median is 155.00: after its last epoch 15 of 16 units of layer hidden are dead; 1 of 2 latent "
        "dimensions have collapsed;"
    ) in text
    (row,) = (row for row in report_runs.health(results).rows if row[0] == "baseline")
    assert (row[1], row[4], row[-2:]) == (5, (12, 12, 15), (1, 1))


def test_thresholds_are_told_as_params_have_them(results):
    assert (
        "From epoch 5 on a run gets a warning when 80 % of a layer's units are dead or 1 latent dimension collapsed, "
        "and is stopped when 100 % of a layer's units are dead (`health` in params.yaml)."
    ) in written(results)


def test_the_other_runs_of_the_worst_runs_variant_stand_beside_it(tmp_path, monkeypatch):
    variants = {"baseline": {"splits": ["full", "folds"]}}
    results = read(tmp_path, monkeypatch, variants)
    dead = {"full": 11, "0": 15, "1": 12, "2": 13, "3": 12, "4": 12}
    for split, units in dead.items():
        run = f"baseline-{split}"
        results.metrics[run]["test"]["elbo"] = -140.0 - 2 * units
        results.histories[run]["epochs"][-1]["health"]["dead_units"]["hidden"] = units
    text = written(results)
    assert "The worst run with the beta of `baseline` is `baseline-0`, 170.00 nats" in text
    assert (
        "a dimension was collapsed after 1 of its 10 epochs. The other runs of its variant end between 162.00 and "
        "166.00, with 11 to 13 of 16 hidden units dead, and a dimension collapsed after 1 epoch at most."
    ) in text


def test_what_is_not_there_is_said_plainly(tmp_path, monkeypatch):
    text = written(read(tmp_path, monkeypatch, {"baseline": {"splits": ["full"]}}))
    assert "Fewer than 3 runs differ from `baseline-full` in their seed alone" in text


def test_equal_seeds_have_a_place_without_deviations(results):
    for seed in range(5):
        name = f"seed_{seed}-full" if seed else "baseline-full"
        results.histories[name]["epochs"][-1]["val_loss"] = 155.0
    assert "CPU run, 158.62: above 5 of our 5 runs, outside that interval." in written(results)


def test_health_is_shown_beside_the_elbo_whatever_beta_weighs(tmp_path, monkeypatch):
    results = read(tmp_path, monkeypatch, {"baseline": {"splits": ["full"]}, "b": {"splits": ["full"], "beta": 4.0}})
    last = results.histories["b-full"]["epochs"][-1]
    (row,) = (row for row in report_runs.health_runs(results).rows if row[0] == "b-full")
    assert row[1] == pytest.approx(last["val_loss"] - 3 * last["val_kl_loss"])


def test_a_run_with_another_beta_is_not_called_the_worst(tmp_path, monkeypatch):
    results = read(tmp_path, monkeypatch, {"baseline": {"splits": ["full"]}, "b": {"splits": ["full"], "beta": 4.0}})
    results.metrics["b-full"]["test"]["elbo"] = -500.0
    assert report_runs.worst(results) == "baseline-full"
