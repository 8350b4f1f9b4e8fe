import csv

import measured
import pytest

from digit_vae.base.files import write_json
from digit_vae.base.paths import BENCHMARKS
from digit_vae.report import chapter_speed
from digit_vae.report.pages import rendered


def records(table):
    return list(csv.DictReader(table.csv().decode().splitlines()))


def test_a_benchmark_is_set_against_the_paper_where_it_is_the_same_run():
    benchmarks = {
        "small": measured.benchmark(),
        "whole": measured.benchmark(epochs=10, images=60_000),
        "gpu": measured.benchmark(epochs=10, images=60_000, machine=measured.GPU),
    }
    rows = records(chapter_speed.benchmarks_table(benchmarks, measured.CPU))
    ratios = [row["Times the paper's speed, from its second epoch on"] for row in rows]
    assert ratios[0] == ""
    assert [float(ratio) for ratio in ratios[1:]] == pytest.approx([(1139 - 93) / 9 / 10.5, (50 - 16) / 9 / 10.5])
    assert [row["Machine"] for row in rows[1:]] == [
        "Some CPU @ 2GHz, 2 cores",
        "Some GPU (other machine)",
    ]
    assert (rows[0]["Images a second"], rows[0]["Memory (MiB)"], rows[0]["Runs"]) == ("95", "1024.0", "2")


def test_side_by_side_has_a_row_for_each_contestant():
    rows = records(chapter_speed.side_by_side({"a": measured.comparison()}))
    shown = [(row["Cross-validation by"], row["Precision"], row["Times as fast median"]) for row in rows]
    assert shown == [
        ("Keras' own fit", "float32", "1.0"),
        ("this project", "float32", "2.25"),
    ]
    assert (rows[0]["Epochs"], rows[0]["Time (s) low"], rows[0]["Extrapolated (s) median"]) == ("2", "40.0", "225.0")


def test_losses_of_a_precision_end_between_those_of_its_repetitions():
    benchmarks = {"a": measured.benchmark(seeds=3), "b": measured.benchmark(precision="mixed_bfloat16")}
    assert chapter_speed.loss_ends(benchmarks, "float32") == (180.0, 182.0)
    assert chapter_speed.loss_ends(benchmarks, "mixed_bfloat16") == (180.0, 181.0)
    assert chapter_speed.loss_ends({}, "float32") is None


def test_what_was_measured_is_shown(results):
    write_json(BENCHMARKS / "a.json", measured.benchmark(precision="mixed_bfloat16"))
    write_json(BENCHMARKS / "side_by_side/a.json", measured.comparison())
    page = chapter_speed.page(results)
    assert (set(page.tables), set(page.figures)) == ({"benchmarks", "side_by_side"}, {"epoch_seconds"})
    assert "180.00" in rendered("speed", page)


def test_what_nobody_measured_is_said_plainly(results):
    page = chapter_speed.page(results)
    assert (page.tables, page.figures) == ({}, {})
    assert "make bench" in rendered("speed", page)
