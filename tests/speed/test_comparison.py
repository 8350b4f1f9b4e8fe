import json
import os
import time

import measured
import numpy as np
import pytest

from digit_vae.speed.records import read_comparisons
from digit_vae.base.files import write_npy
from digit_vae.config.params import load_params
from pipeline import compare_speed


@pytest.fixture
def jobs(processed, monkeypatch):
    """The jobs that were asked for, and made-up results in place of measurements; a project with five folds."""
    for fold in range(5):
        write_npy(processed / f"data/processed/folds/{fold}.npy", np.arange(fold, 300, 5))
    asked = []

    def measure(job):
        asked.append(job)
        count = len(job.get("validations", ()))
        if job["work"] == "machine":
            return {"machine": measured.CPU | {"tensorflow": "2.21.0"}, "git_commit": None, "matrix_gflops": 100.0}
        if job["work"] == "train":
            epochs = [{"cpu_seconds": 7.0, "val_loss": 170.0}, {"cpu_seconds": 10.0, "val_loss": 160.0}]
            return {"runs": [{"epochs": epochs}] * count, "process_seconds": 1.0}
        return {"epoch_seconds": [[9.0, 4.0]] * count, "val_losses": [161.0] * count, "process_seconds": 70.0}

    monkeypatch.setattr(compare_speed, "measure", measure)
    return asked


@pytest.mark.parametrize("cores", [1, 2, 3, 4, 5, 8])
@pytest.mark.parametrize("count", [1, 2, 5, 7, 10])
def test_no_core_is_idle_before_the_end(cores, count):
    """Where the system shares the cores evenly, the whole takes what all folds take on all cores."""
    left = [len(its) for its in compare_speed.shared_out([str(fold) for fold in range(count)], cores)]
    assert sum(left) == count
    ended = 0.0
    while left:  # all processes go on by one fold
        ended += max(1, len(left) / cores)
        left = [folds - 1 for folds in left if folds > 1]
    assert ended == pytest.approx(max(1, count / cores))


def test_further_epochs_take_what_the_last_ones_took(jobs, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    keras = compare_speed.by_library(load_params(), "keras", "float32")
    assert keras == {"seconds": 70.0, "epoch_seconds": 5 * 4, "val_loss": 161}
    ours = compare_speed.by_this_project(load_params(), "mixed_bfloat16")
    assert (ours["epoch_seconds"], ours["val_loss"]) == (5 * 3 / 2, 160)
    assert [len(job["validations"]) for job in jobs] == [5, 2, 2, 1]
    assert {(job["params"]["precision"], job["params"]["epochs"]) for job in jobs[1:]} == {("mixed_bfloat16", 2)}


@pytest.mark.usefixtures("processed")
@pytest.mark.parametrize("installed", [True, False])
def test_pytorch_takes_part_where_it_is_installed(monkeypatch, installed):
    monkeypatch.setattr(compare_speed, "find_spec", lambda name: installed and name == "torch")
    names = list(compare_speed.contestants(load_params()))
    assert names[:3] == ["keras-float32", "digit_vae-float32", "digit_vae-mixed_bfloat16"]
    assert names[3:] == (["torch-float32", "torch-mixed_bfloat16"] if installed else [])


def test_contestants_take_turns_and_every_round_starts_with_another(monkeypatch, capsys):
    clock = iter(range(100))
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    order = []
    running = {name: lambda name=name: order.append(name) or measured.measured(1.0, 1.0) for name in "abc"}
    rounds = compare_speed.compare(running, 4)
    assert "".join(order) == "abcbcacababc"
    assert all(each.keys() == set("abc") for each in rounds)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("left 0:11")
    assert lines[-1].endswith("left 0:00")


@pytest.mark.usefixtures("jobs", "no_arguments")
def test_what_was_measured_is_recorded_for_the_machine(processed, monkeypatch):
    monkeypatch.setattr(compare_speed, "find_spec", lambda _: None)
    compare_speed.main()
    ((name, content),) = read_comparisons(processed / "reports/benchmarks/side_by_side").items()
    assert name == "some-cpu-2ghz-2-cores"
    assert (content["folds"], content["steps"], content["epochs"], content["full_epochs"]) == (5, 5 * 2, 2, 10)
    assert len(content["rounds"]) == 3
    assert json.dumps(content["summary"]["keras-float32"]["full_seconds"]) == json.dumps(
        {"high": 230.0, "low": 230.0, "median": 230.0}
    )
