"""What the scheduler decides without a cluster: GPUs and the time left. Its work is in test_reproduce.py."""

from dataclasses import replace

import pytest
import ray

from digit_vae.base.errors import UserError
from digit_vae.config.runs import find_run
from digit_vae.driver.scheduler import Progress, gpus_of

LOSSES = {"loss": 1.0, "reconstruction_loss": 1.0, "kl_loss": 0.0, "val_loss": 1.0}
TIMING = {"train_seconds": 50.0, "validation_seconds": 10.0}


def left(line):
    """The minutes that a line says are left."""
    minutes, seconds = line.rpartition(" ")[2].split(":")
    return int(minutes) + int(seconds) / 60


def test_progress_counts_epochs_and_evaluations_of_all_runs(capsys):
    """One run needs its evaluation alone; ten epochs of a minute, and evaluations of half a minute, two at a time."""
    progress = Progress(3, lambda: 2, {"a": 10, "b": 10, "c": 0})
    progress.trained({"run": "a", "history": {"epoch": 10} | LOSSES, "timing": TIMING}, 10)
    progress.evaluated("c", 30.0)
    progress.evaluated("a", 30.0)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines] == [["0/3", "runs", "a"], ["1/3", "runs", "c"], ["2/3", "runs", "a"]]
    # Ten epochs of b on two cores; with an evaluation each of a and b; and of b alone, on one core.
    assert [left(line) for line in lines] == [5, 5.5, 10.5]


def machine(gpus, *, alive=True):
    return {"Alive": alive, "Resources": {"CPU": 8, "GPU": gpus} if gpus else {"CPU": 8}}


@pytest.fixture
def on_gpu(small_params):
    """Params in which every run is to be trained on a GPU, half a one each, and one of the runs."""
    train, repro = replace(small_params.train, device="gpu"), replace(small_params.repro, gpus_per_run=0.5)
    return replace(small_params, train=train, repro=repro), find_run(small_params, "baseline-full-0")


def test_a_run_takes_its_share_of_a_gpu_where_there_are_any(on_gpu, small_params, monkeypatch):
    params, run = on_gpu
    monkeypatch.setattr(ray, "nodes", lambda: [machine(0), machine(2)])
    assert gpus_of(params, run) == 0.5
    assert gpus_of(small_params, run) == 0
    monkeypatch.setattr(ray, "nodes", lambda: [machine(0), machine(2, alive=False)])
    assert gpus_of(params, run) == 0


def test_more_gpus_than_any_machine_has_are_an_error(on_gpu, monkeypatch):
    params, run = on_gpu
    monkeypatch.setattr(ray, "nodes", lambda: [machine(1), machine(1)])
    with pytest.raises(UserError, match=r"repro\.gpus_per_run: expected at most 1, .*received 2"):
        gpus_of(replace(params, repro=replace(params.repro, gpus_per_run=2)), run)
