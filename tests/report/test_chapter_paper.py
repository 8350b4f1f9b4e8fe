import csv

import measured
import pytest

from digit_vae.report import chapter_paper
from digit_vae.report.pages import rendered


@pytest.fixture
def first(results):
    """The first run, trained on the machine of the example measurements; its losses are told apart."""
    run = results.runs["baseline-full-0"]
    run.timings["machine"] = measured.CPU
    for key, value in {"loss": 170.0, "reconstruction_loss": 164.0, "val_loss": 165.0}.items():
        run.history["epochs"][-1][key] = value
    return run


def records(table):
    return list(csv.DictReader(table.csv().decode().splitlines()))


def test_table_1_sets_each_epoch_beside_the_papers_two(first):
    rows = records(chapter_paper.table_1(chapter_paper.sources([first], {})))
    assert len(rows) == 2 + 10 + 10
    assert list(rows[3].values()) == ["2", "baseline-full-0", "CPU", "float32", "", "170.0", "164.0", "165.0"]
    assert list(rows[1].values()) == ["1", "paper", "CPU", "float32", "93", "271.71", "270.31", "185.32"]
    assert list(rows[5].values()) == ["2", "paper", "GPU", "float32", "3", "192.16", "188.83", "187.4"]
    assert [row["Epoch"] for row in rows] == sorted((row["Epoch"] for row in rows), key=int)


def test_table_1_has_the_median_epoch_of_a_benchmark_with_its_ends(first):
    rows = records(chapter_paper.table_1(chapter_paper.sources([first], {"a": measured.benchmark(seeds=3)})))
    assert rows[1]["Run"] == "benchmark, 3 seeds, Some CPU @ 2GHz, 2 cores"
    assert [rows[1][f"Time (s) {end}"] for end in ("median", "low", "high")] == ["11.0", "10.0", "12.0"]
    assert rows[5]["Loss median"] == "181.0"


def test_last_epochs_have_the_losses_of_the_last_and_the_seconds_of_all(first):
    benchmarks = {"a": measured.benchmark(seeds=1), "b": measured.benchmark(machine=measured.GPU)}
    rows = records(chapter_paper.last_epochs(chapter_paper.sources([first], benchmarks)))
    assert (rows[0]["Run"], rows[0]["Time (s) median"], rows[0]["Val loss median"]) == ("baseline-full-0", "", "165.0")
    assert rows[1]["Run"] == "benchmark, 1 seed, Some CPU @ 2GHz, 2 cores"
    assert (rows[2]["Run"], rows[2]["Device"]) == (
        "benchmark, 2 seeds, Some GPU (other machine)",
        "GPU",
    )
    assert [row["Time (s) median"] for row in rows[1:]] == ["20.0", "21.0", "1139", "50"]


@pytest.mark.parametrize(("benchmarks", "lacking"), [({}, ["CPU", "GPU"]), ({"a": measured.benchmark()}, ["GPU"])])
def test_a_device_that_nobody_measured_says_so(first, benchmarks, lacking):
    rows = chapter_paper.last_epochs(chapter_paper.sources([first], benchmarks)).rows
    assert [row[1] for row in rows if "not measured" in str(row[0])] == lacking


def test_the_two_runs_stand_beside_the_papers(results, first):
    page = chapter_paper.page(results)
    shown = page.values["shown"]
    assert [(each.result.name, each.source, each.paper_loss) for each in shown] == [
        ("baseline-full-0", "CPU", 158.62),
        ("baseline-full-1", "GPU", 175.61),
    ]
    assert page.values["changes"] == {"seed": (0, 1)}
    first.history["epochs"][0]["val_loss"] = 100.0
    assert shown[0].best["epoch"] == 1
    assert set(page.figures) == {"figure_5_loss", "figure_6_loss"}
    assert "165.00" in rendered("paper", page)


def test_fewer_training_images_are_owned_up_to(tmp_path, monkeypatch):
    from example_project import example_results

    monkeypatch.chdir(tmp_path)
    few = chapter_paper.page(example_results(tmp_path, "paper", preprocess={"train_images": 2000}))
    all_of_them = chapter_paper.page(example_results(tmp_path, "paper"))
    assert "2,000" in rendered("paper", few)
    assert "preprocess.train_images" not in rendered("paper", all_of_them)


def test_a_gpus_run_is_called_so(results):
    text = rendered("paper", chapter_paper.page(results))
    results.runs["baseline-full-1"].history["params"]["device"] = "gpu"
    assert rendered("paper", chapter_paper.page(results)) != text
    assert chapter_paper.page(results).values["changes"]["device"] == ("cpu", "gpu")


def test_other_latent_dimensions_than_two_have_no_plane(tmp_path, monkeypatch):
    from example_project import example_results

    monkeypatch.chdir(tmp_path)
    text = rendered("paper", chapter_paper.page(example_results(tmp_path, "paper", train={"latent_dim": 3})))
    assert "latent_plane.png" not in text
    assert "`train.latent_dim` is 3" in text
