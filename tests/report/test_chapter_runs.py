import dataclasses

import pytest
from example_project import MACHINE

from digit_vae.config.runs import runs
from digit_vae.report import chapter_runs
from digit_vae.report.pages import rendered


def test_every_run_has_both_sets_of_images_the_seconds_and_the_machine(results):
    result = results.runs["dropout-fold2-0"]
    table = chapter_runs.all_runs([result])
    (row,) = table.rows
    cells = dict(zip(table.header, row, strict=True))
    assert cells["Val recon. loss"] == result.metrics["validation"]["reconstruction_loss"]
    assert cells["Test ELBO"] == result.metrics["test"]["elbo"]
    assert cells["Training (s)"] == pytest.approx(21.0 + 22.0)
    assert (cells["Trained on"], cells["Evaluated on"], cells["Classifier"]) == ("A", "A", "cccccccc")


def test_without_labels_no_classifier_is_named(results):
    result = results.runs["dropout-fold1-0"]
    del result.metrics["quality"]
    [row] = chapter_runs.all_runs([result]).rows
    assert row[-3:] == ("A", "A", "")


def test_what_another_machine_and_classifier_made_stays_and_is_marked_with_both(results):
    here = {"cpu": "Here"}
    made_here = [each for each in results.in_graph("paper") if each.run.variant == "baseline"]
    for each in made_here:
        each.timings["machine"] = each.evaluation["machine"] = MACHINE | here
        each.evaluation["classifier_sha256"] = "d" * 64
    page = chapter_runs.page(results, "beyond")
    marks = {row[0]: row[-3:] for row in page.tables["runs"].rows}
    assert marks.keys() == {run.name for run in runs(results.params)}
    ours, published = marks["baseline-full-0"], marks["beta_2-fold0-0"]
    assert (ours[0] == ours[1] != published[0] == published[1], ours[2], published[2]) == (True, "d" * 8, "c" * 8)
    machines = {row[0]: row[1] for row in page.tables["machines"].rows}
    assert (machines[ours[0]], machines[published[0]]) == ("Here, 2 cores", "Example CPU, 2 cores")


def test_the_tables_hold_every_run(results):
    page = chapter_runs.page(results, "beyond")
    names = [run.name for run in runs(results.params)]
    assert [row[0] for row in page.tables["runs"].rows] == names
    assert [row[0] for row in page.tables["health_runs"].rows] == names
    assert all(f"| {name} |" in rendered("runs", page) for name in names)


def test_runs_beyond_the_thresholds_are_counted_and_the_worst_is_explained(results):
    for result in results.runs.values():
        result.history["epochs"][-1]["health"]["dead_units"]["hidden"] = 12
    limits = dataclasses.replace(results.params.health, epochs=1)
    ill = results.runs["baseline-full-3"]
    ill.history["epochs"][-1]["health"] |= {"collapsed_dimensions": 1}
    ill.history["epochs"][-1]["health"]["dead_units"]["hidden"] = 15
    ill.metrics["test"]["elbo"] = -199.0
    results = dataclasses.replace(results, params=dataclasses.replace(results.params, health=limits))
    (row,) = (row for row in chapter_runs.health(results, results.runs.values()).rows if row[0] == "baseline")
    assert (row[1], row[4], row[-2:]) == (8, (12, 12, 15), (1, 1))
    worst = chapter_runs.worst_run(results, results.runs.values())
    assert (worst.result.name, worst.loss, len(worst.complaints), worst.siblings) == ("baseline-full-3", 199.0, 2, 7)
    assert worst.dead == [12] * 7
    text = rendered("runs", chapter_runs.page(results, "beyond"))
    assert "199.00 nats" in text
    assert "15 of 16 units of layer hidden are dead" in text


def test_a_run_with_another_beta_is_not_called_the_worst(results):
    results.runs["beta_2-fold0-0"].metrics["test"]["elbo"] = -500.0
    assert chapter_runs.worst_run(results, results.runs.values()).result.name != "beta_2-fold0-0"


def test_health_is_shown_beside_the_elbo_whatever_beta_weighs(results):
    last = results.runs["beta_2-fold0-0"].history["epochs"][-1]
    (row,) = (
        row for row in chapter_runs.health_runs(results, results.runs.values()).rows if row[0] == "beta_2-fold0-0"
    )
    assert row[1] == pytest.approx(last["val_loss"] - last["val_kl_loss"])


def test_the_figure_shows_the_seeds_of_each_graph(results):
    assert {name: len(its) for name, its in chapter_runs.seed_lines(results, "beyond").items()} == {
        "baseline": 5,
        "improved": 3,
    }
    assert list(chapter_runs.seed_lines(results, "paper")) == ["baseline"]


def test_thresholds_are_told_as_params_have_them(results):
    limits = dataclasses.replace(
        results.params.health,
        epochs=7,
        warn_dead_share=0.65,
        fail_dead_share=None,
        warn_collapsed=2,
        fail_collapsed=None,
    )
    results = dataclasses.replace(results, params=dataclasses.replace(results.params, health=limits))
    text = rendered("runs", chapter_runs.page(results, "paper"))
    line = next(line for line in text.splitlines() if line.startswith("From epoch 7 "))
    assert "65 %" in line
    assert "2 latent dimensions" in line
    assert "never" in line
