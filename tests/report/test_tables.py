import csv

import measured
import pytest

from digit_vae.report.report import tables
from digit_vae.report.paper import TABLE_1
from digit_vae.analysis.statistics import Difference, Spread

HISTORY = {
    "params": {"device": "cpu", "precision": "float32"},
    "epochs": [
        {"epoch": 1, "loss": 200.5, "reconstruction_loss": 195.25, "kl_loss": 5.25, "val_loss": 180.125},
        {"epoch": 2, "loss": 170.0, "reconstruction_loss": 164.0, "kl_loss": 6.0, "val_loss": 165.0},
    ],
}
TIMING = {
    "machine": {"device": "cpu"},
    "epochs": [{"train_seconds": 20.5, "validation_seconds": 1.0}, {"train_seconds": 30.0, "validation_seconds": 1.0}],
}


def records(table):
    return list(csv.DictReader(table.csv().decode().splitlines()))


def metrics(shift=0.0):
    return {
        "reconstruction_loss": 150.0 + shift,
        "kl_loss": 6.0,
        "elbo": -156.0 - shift,
        "active_units": 2,
        "dead_units": 11,
    }


def test_csv_spreads_a_cell_of_several_numbers_over_as_many_columns():
    rows = (("a", Spread(1.5, 0.25), None), ("b", Spread(2.5, 0.5), Difference(1.0, -0.5, 2.5)))
    table = tables.Table(("Run", "KL", "Difference"), rows)
    assert table.csv().decode() == (
        "Run,KL mean,KL std,Difference mean,Difference low,Difference high\na,1.5,0.25,,,\nb,2.5,0.5,1.0,-0.5,2.5\n"
    )


def test_likelihoods_of_two_protocols_are_refused_in_one_column():
    grey, binarised = tables.Nats(-150.0, 0.5, "grey"), tables.Nats(-140.0, None, "binarised")
    assert tables.Table(("Run", "a", "b"), (("x", grey, binarised),)).csv().decode().splitlines()[0] == (
        "Run,a value,a deviation,a protocol,b value,b deviation,b protocol"
    )
    with pytest.raises(ValueError, match=r"column 'ELBO': expected one protocol. Received: \['binarised', 'grey'\]"):
        tables.Table(("Run", "ELBO"), (("x", grey), ("y", binarised)))


def test_likelihoods_and_numbers_without_a_protocol_are_refused_in_one_column():
    with pytest.raises(ValueError, match=r"column 'ELBO': expected one protocol. Received: \['binarised', 'none'\]"):
        tables.Table(("ELBO",), ((-150.0,), (tables.Nats(-140.0, None, "binarised"),)))


@pytest.mark.parametrize(
    ("p", "shown"),
    [(0.0004, "<0.001"), (0.0496, "0.0496"), (0.04996, "0.04996"), (0.0504, "0.050"), (0.05, "0.050"), (0.2, "0.200")],
)
def test_a_p_value_is_never_rounded_over_the_level(p, shown):
    assert tables.probability(p) == shown


def test_markdown_of_likelihoods_intervals_and_p_values():
    cells = (tables.Nats(-150.126, 0.5, "grey"), tables.Nats(-1.0, None, "grey"), tables.Interval(-0.5, 0.25))
    cells += (tables.Probability(0.0004), tables.Probability(0.04567))
    shown = tables.Table(tuple("abcde"), (cells,)).markdown().splitlines()[-1]
    expected = "| −150.13 ± 0.50 | −1.00 | [−0.50, +0.25] | <0.001 | 0.046 |"  # noqa: RUF001 - minus signs
    assert shown == expected


def test_markdown_has_as_many_digits_as_the_table_says():
    assert tables.Table(("a",), ((Spread(0.75, 0.0125),),), digits=3).markdown().splitlines()[-1] == "| 0.750 ± 0.013 |"


def test_csv_keeps_every_digit():
    assert float(records(tables.Table(("x",), ((0.1 + 0.2,),)))[0]["x"]) == 0.1 + 0.2


def test_markdown_rounds_aligns_numbers_right_and_writes_minus_signs():
    table = tables.Table(
        ("Run", "Images", "ELBO", "Spread", "Difference"),
        (("a", 12, -155.126, Spread(-1.0, 0.255), None), ("b", 3, 1.0, Spread(1.0, 2.0), Difference(0.5, -0.126, 1.0))),
    )
    assert table.markdown() == (
        "| Run | Images | ELBO | Spread | Difference |\n"
        "| --- | ---: | ---: | ---: | ---: |\n"
        "| a | 12 | −155.13 | −1.00 ± 0.26 |  |\n"  # noqa: RUF001 - a minus sign
        "| b | 3 | 1.00 | 1.00 ± 2.00 | +0.50 [−0.13, +1.00] |\n"  # noqa: RUF001 - a minus sign
    )


def test_the_papers_table_is_as_printed():
    seconds = {name: [epoch.seconds for epoch in epochs] for name, epochs in TABLE_1.items()}
    assert {name: (len(each), sum(each)) for name, each in seconds.items()} == {"CPU": (10, 1139), "GPU": (10, 50)}
    assert (TABLE_1["CPU"][-1].val_loss, TABLE_1["GPU"][-1].val_loss) == (158.62, 175.61)
    for epochs in TABLE_1.values():  # every loss falls from epoch to epoch, and holds a KL of 1 to 7 nats
        for column in ("loss", "reconstruction_loss", "val_loss"):
            values = [getattr(epoch, column) for epoch in epochs]
            assert values == sorted(values, reverse=True)
        assert all(1 < epoch.loss - epoch.reconstruction_loss < 7 for epoch in epochs)


def test_table_1_sets_each_epoch_beside_the_papers_two():
    rows = records(tables.table_1(tables.sources({"baseline-full": HISTORY}, {}, measured.CPU)))
    assert len(rows) == 2 + 10 + 10
    assert list(rows[0].values()) == ["1", "baseline-full", "CPU", "float32", "", "200.5", "195.25", "180.125"]
    assert list(rows[1].values()) == ["1", "paper", "CPU", "float32", "93", "271.71", "270.31", "185.32"]
    assert list(rows[5].values()) == ["2", "paper", "GPU", "float32", "3", "192.16", "188.83", "187.4"]
    assert [row["Epoch"] for row in rows] == sorted((row["Epoch"] for row in rows), key=int)


def test_table_1_has_the_median_epoch_of_a_benchmark_with_its_ends():
    rows = records(tables.table_1(tables.sources({}, {"a": measured.benchmark(seeds=3)}, measured.CPU)))
    assert rows[0]["Run"] == "benchmark, 3 seeds, Some CPU @ 2GHz, 2 cores"
    assert [rows[0][f"Time (s) {end}"] for end in ("median", "low", "high")] == ["11.0", "10.0", "12.0"]
    assert rows[3]["Loss median"] == "181.0"


def test_last_epochs_have_the_losses_of_the_last_and_the_seconds_of_all():
    benchmarks = {"a": measured.benchmark(seeds=1), "b": measured.benchmark(machine=measured.GPU)}
    rows = records(tables.last_epochs(tables.sources({"baseline-full": HISTORY}, benchmarks, measured.CPU)))
    assert (rows[0]["Run"], rows[0]["Time (s) median"], rows[0]["Val loss median"]) == ("baseline-full", "", "165.0")
    assert rows[1]["Run"] == "benchmark, 1 seed, Some CPU @ 2GHz, 2 cores"
    assert (rows[2]["Run"], rows[2]["Device"]) == ("benchmark, 2 seeds, Some GPU (not measured here)", "GPU")
    assert [row["Time (s) median"] for row in rows[1:]] == ["20.0", "21.0", "1139", "50"]


def test_a_device_that_nobody_measured_says_so():
    of_nobody = tables.last_epochs(tables.sources({}, {}, measured.CPU)).rows[-2:]
    assert [row[0] for row in of_nobody] == ["benchmark on a CPU: not measured", "benchmark on a GPU: not measured"]
    of_cpu = tables.last_epochs(tables.sources({}, {"a": measured.benchmark()}, measured.CPU))
    assert [row[0] for row in of_cpu.rows if "not measured" in row[0]] == ["benchmark on a GPU: not measured"]


def test_a_benchmark_is_set_against_the_paper_where_it_is_the_same_run():
    benchmarks = {
        "small": measured.benchmark(),
        "whole": measured.benchmark(epochs=10, images=60_000),
        "gpu": measured.benchmark(epochs=10, images=60_000, machine=measured.GPU),
    }
    rows = records(tables.benchmarks_table(benchmarks, measured.CPU))
    ratios = [row["Times the paper's speed"] for row in rows]
    assert ratios[0] == ""
    assert [float(ratio) for ratio in ratios[1:]] == pytest.approx([1139 / 105, 50 / 105])
    assert [row["Machine"] for row in rows[1:]] == ["Some CPU @ 2GHz, 2 cores", "Some GPU (not measured here)"]
    assert (rows[0]["Images a second"], rows[0]["Memory (MiB)"], rows[0]["Runs"]) == ("95", "1024.0", "2")


def test_side_by_side_has_a_row_for_each_contestant_and_says_what_is_not_installed():
    rows = records(tables.side_by_side({"a": measured.comparison()}))
    shown = [(row["Cross-validation by"], row["Precision"], row["Times as fast median"]) for row in rows]
    assert shown == [
        ("Keras' own fit", "float32", "1.0"),
        ("this project", "float32", "2.25"),
        ("PyTorch: not installed", "", ""),
    ]
    assert (rows[0]["Epochs"], rows[0]["Time (s) low"], rows[0]["Extrapolated (s) median"]) == ("2", "40.0", "225.0")


def test_all_runs_has_both_sets_of_images_and_the_seconds_of_training():
    table = tables.all_runs({"dropout-3": {"validation": metrics(), "test": metrics(2.0)}}, {"dropout-3": TIMING})
    (row,) = records(table)
    assert (row["Run"], row["Val recon. loss"], row["Test recon. loss"]) == ("dropout-3", "150.0", "152.0")
    assert float(row["Training (s)"]) == pytest.approx(50.5)
