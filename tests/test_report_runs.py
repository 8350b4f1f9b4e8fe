import numpy as np
import pytest
from example_project import results_of
from scipy.stats import linregress

from digit_vae import report_runs
from digit_vae.wording import paragraphs

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
    assert "Shown: the CPU run is within what another seed of the same model gives" in text
    assert "the GPU run is not one that another seed would be expected to give. Not shown: that the device" in text
    assert "all runs here were on a CPU" in text


def test_the_gpu_curve_is_set_beside_collapsed_epochs_and_the_nearest_run(results):
    """In the example the last dimension is asleep after the first epoch alone."""
    for history in results.histories.values():
        history["epochs"][0]["val_loss"] = 250.0
    results.histories["seed_3-full"]["epochs"][0]["val_loss"] = 180.0
    curve = [193.63, 187.40, 184.71, 182.44, 180.61, 179.02, 177.81, 176.98, 176.22, 175.61]
    for epoch, loss in zip(results.histories["seed_2-full"]["epochs"], curve, strict=True):
        epoch["val_loss"] = loss + 1
    text = written(results)
    assert "after 5 epochs of our runs with these params" in text
    assert (
        "at validation losses of 180.00 to 250.00; the GPU run's loss lies in that range after epoch 1, 2, 3, 4, 5."
        in text
    )
    assert (
        "nearest to its curve is `seed_2-full`, 1.00 nats away on average, with a collapsed dimension after 1" in text
    )


def test_no_collapsed_epoch_is_said_to_be_none(results):
    for history in results.histories.values():
        for epoch in history["epochs"]:
            epoch["health"]["collapsed_dimensions"] = 0
    assert "No latent dimension was collapsed after any epoch of these runs" in written(results)


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
    assert "1 of 6 runs are warned of: `seed_3-full`." in text
    assert (
        "The worst run is `seed_3-full`, 159.00 nats (-ELBO) on the test images, where the median of all runs is "
        "155.00: after its last epoch 15 of 16 units of layer hidden are dead; 1 of 2 latent dimensions have collapsed;"
    ) in text
    (row,) = (row for row in report_runs.health(results).rows if row[0] == "baseline")
    assert (row[1], row[4], row[-2:]) == (5, (12, 12, 15), (1, 1))


def test_thresholds_are_told_as_params_have_them(results):
    assert (
        "From epoch 5 on a run is warned of when 80 % of a layer's units are dead or 1 latent dimension collapsed, "
        "and stopped when 100 % of a layer's units are dead (`health` in params.yaml)."
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
    assert "The worst run is `baseline-0`, 170.00 nats" in text
    assert (
        "a dimension was collapsed after 1 of its 10 epochs. The other runs of its variant end between 162.00 and "
        "166.00, with 11 to 13 of 16 hidden units dead, and a dimension collapsed after 1 epoch at most."
    ) in text


def test_what_is_not_there_is_said_plainly(tmp_path, monkeypatch):
    text = written(read(tmp_path, monkeypatch, {"baseline": {"splits": ["full"]}}))
    assert "Fewer than 3 runs differ from `baseline-full` in their seed alone" in text
