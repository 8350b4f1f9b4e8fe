import dataclasses

import measured
import numpy as np
import pytest
from scipy.stats import linregress, ttest_rel

from digit_vae.report import chapter_seeds
from digit_vae.report.pages import rendered

LOSSES = {0: 155.0, 1: 154.0, 2: 157.0, 3: 159.0, 4: 155.0}


@pytest.fixture
def seeded(results):
    """Five seeds of the baseline with these losses, in both files; the dead units are the loss less 143."""
    for seed, loss in LOSSES.items():
        run = results.runs[f"baseline-full-{seed}"]
        run.history["epochs"][-1]["val_loss"] = loss
        run.history["epochs"][-1]["health"]["dead_units"]["hidden"] = int(loss) - 143
        run.metrics["test"] |= {"elbo": -loss, "dead_units": int(loss) - 143}
    return results


def test_the_papers_runs_stand_among_ours_by_rising_loss(seeded):
    rows = chapter_seeds.page(seeded).tables["seeds"].rows
    names = [f"baseline-full-{seed}" for seed in (1, 0, 4, 2)]
    assert [row[0] for row in rows] == [*names, "paper, CPU", "baseline-full-3", "paper, GPU"]
    assert rows[-1][3] == pytest.approx((175.61 - 156) / np.std(list(LOSSES.values()), ddof=1))
    assert rows[0][1:3] + rows[0][4:] == (1, 154.0, 11, 0)


def test_what_another_seed_is_expected_to_give_decides_what_is_inside(seeded):
    """2.776 * 2 * sqrt(6/5) around 156."""
    cpu, gpu = chapter_seeds.page(seeded).values["paper"]
    assert (cpu.place.low, cpu.place.high) == pytest.approx((149.92, 162.08), abs=0.01)
    assert (cpu.inside, gpu.inside) == (True, False)
    assert (cpu.place.below, gpu.place.below) == (4, 5)


def test_the_kl_of_the_papers_last_training_loss_follows_from_its_table():
    """159.20 - 152.67 on the CPU and 177.17 - 173.37 on the GPU."""
    assert [each.kl for each in chapter_seeds.among([150.0, 151.0])] == pytest.approx([6.53, 3.80])


def test_the_kl_of_runs_is_compared_where_their_loss_has_no_other_terms(seeded):
    runs = list(seeded.in_graph("paper"))[:3]
    for run, kl in zip(runs, (6.25, 6.5, 5.5), strict=True):
        run.history["epochs"][-1]["kl_loss"] = kl
    assert chapter_seeds.training_kl(runs).awake == [6.25, 6.5, 5.5]
    runs[0].history["params"]["kernel_l1"] = 0.1
    runs[1].history["epochs"][-1]["health"]["collapsed_dimensions"] = 1
    found = chapter_seeds.training_kl(runs)
    assert (found.awake, found.asleep) == ([5.5], {runs[1].name: 6.5})


def test_loss_goes_with_dead_units_as_least_squares_say(seeded):
    page = chapter_seeds.page(seeded)
    losses = list(LOSSES.values())
    assert page.values["trend"].slope == pytest.approx(linregress([int(loss) - 143 for loss in losses], losses).slope)
    assert page.tables["dead_units"].rows == (
        (11, 1, (154, 154, 154)),
        (12, 2, (155, 155, 155)),
        (14, 1, (157, 157, 157)),
        (16, 1, (159, 159, 159)),
    )


def test_the_page_has_the_numbers_and_the_recipes_seeds_beside(seeded):
    page = chapter_seeds.page(seeded)
    text = rendered("seeds", page)
    assert "156.00 ± 2.00" in text
    assert "between 149.92 and 162.08" in text
    left = page.figures["seeds"].axes[0]
    assert [label.get_text() for label in left.get_yticklabels()] == ["baseline", "improved", "paper"]


def test_a_study_that_is_left_out_says_why(results):
    from digit_vae.analysis.results import LeftOut

    lacking = dataclasses.replace(results, left_out={"seeds": LeftOut(("baseline-full-4",), (), ())})
    page = chapter_seeds.page(lacking)
    assert (page.tables, page.figures) == ({}, {})
    assert "`baseline-full-4`" in rendered("seeds", page)


def test_how_often_a_dimension_stays_collapsed_is_told_of_seeds_and_of_all_runs(results):
    for name in ("baseline-full-2", "baseline-fold1-0", "dropout-fold0-0"):
        results.runs[name].history["epochs"][-1]["health"]["collapsed_dimensions"] = 1
    found = chapter_seeds.collapses(results, chapter_seeds.baseline_seeds(results))
    assert (found.seeds[:2], found.all[:2]) == ((1, 5), (2, 8))
    assert set(found.ends) == {"baseline-full-2", "baseline-fold1-0", "dropout-fold0-0"}
    assert found.ends["dropout-fold0-0"] == results.runs["dropout-fold0-0"].loss
    text = rendered("seeds", chapter_seeds.page(results))
    assert "of all 8 runs" in text


def on_gpu(seeded, losses, collapsed=(), **changes):
    """A benchmark on a GPU of the task that the seeds have, whose repetitions end at these losses by seed."""
    of = seeded.runs["baseline-full-0"].history
    benchmark = measured.benchmark(seeds=len(losses), epochs=len(of["epochs"]), machine=measured.GPU, **changes)
    benchmark["data"] = of["data"]
    for run, (seed, loss) in zip(benchmark["runs"], losses.items(), strict=True):
        run["seed"] = seed
        health = {"collapsed_dimensions": int(seed in collapsed)}
        run["epochs"][-1] |= {"val_loss": loss, "kl_loss": 3.9 if seed in collapsed else 6.0, "health": health}
    return benchmark


def test_seeds_are_paired_with_the_same_seeds_on_a_gpu(seeded):
    """Differences -1, 1, 3 and 18: SciPy's paired t-test is the truth."""
    runs = chapter_seeds.baseline_seeds(seeded)
    found = chapter_seeds.on_both_devices(runs, [on_gpu(seeded, {0: 154.0, 1: 155.0, 2: 160.0, 3: 177.0}, [3])])
    truth = ttest_rel([154.0, 155.0, 160.0, 177.0], [155.0, 154.0, 157.0, 159.0])
    assert found.tested.p == pytest.approx(truth.pvalue)
    assert found.tested.difference.mean == pytest.approx(21 / 4)
    assert found.tested.difference.low == pytest.approx(truth.confidence_interval().low)
    assert found.awake.difference.mean == pytest.approx(1)
    assert [pair.cpu.run.seed for pair in found.collapsed] == [3]
    assert chapter_seeds.devices(found.pairs).rows[3][2:6] == (
        159.0,
        177.0,
        18.0,
        pytest.approx(runs[3].epochs[-1]["kl_loss"]),
    )


def test_other_tasks_and_other_precisions_make_no_pair(seeded):
    runs, losses = chapter_seeds.baseline_seeds(seeded), {0: 154.0, 1: 155.0}
    other_data = on_gpu(seeded, losses) | {"data": {"train_images": "c" * 64, "validation": "b" * 64}}
    other_epochs = on_gpu(seeded, losses)
    other_epochs["params"] = other_epochs["params"] | {"epochs": 1000}
    others = [other_data, other_epochs, on_gpu(seeded, losses, precision="mixed_bfloat16"), on_gpu(seeded, {77: 154.0})]
    found = chapter_seeds.on_both_devices(runs, others)
    assert (found.pairs, found.tested, found.awake) == ([], None, None)


def test_the_page_tells_a_run_that_lost_a_dimension_on_the_gpu_alone(seeded, monkeypatch):
    benchmark = on_gpu(seeded, {0: 154.0, 1: 155.0, 2: 172.82}, [2])
    monkeypatch.setattr(chapter_seeds, "read_benchmarks", lambda _: {"some-gpu": benchmark})
    page = chapter_seeds.page(seeded)
    text = rendered("seeds", page)
    assert "172.82" in text
    assert len(page.tables["devices"].rows) == 3
    monkeypatch.setattr(chapter_seeds, "read_benchmarks", lambda _: {})
    without = chapter_seeds.page(seeded)
    assert "devices" not in without.tables
    assert "172.82" not in rendered("seeds", without)
