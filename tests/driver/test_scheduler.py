"""What the scheduler decides without a cluster: GPUs and the time left. Its work is in test_reproduce.py."""

from dataclasses import replace

import pytest
import ray

from digit_vae.base import progress
from digit_vae.base.errors import UserError
from digit_vae.config.runs import find_run
from digit_vae.driver.scheduler import EVALUATION, Progress, gpus_of

LOSSES = {"loss": 1.0, "reconstruction_loss": 1.0, "kl_loss": 0.0, "val_loss": 1.0}
TIMING = {"train_seconds": 50.0, "validation_seconds": 10.0}


@pytest.fixture
def wait(monkeypatch):
    """Lets minutes go by."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: 60 * now[0])
    return lambda minutes: now.append(now.pop() + minutes)


def trained(shown, run, epoch):
    shown.trained({"run": run, "history": {"epoch": epoch} | LOSSES, "timing": TIMING}, 10, EVALUATION)


def test_progress_counts_epochs_and_evaluations_of_all_runs(wait, capsys):
    """One run needs its evaluation alone, which takes as long as two epochs; an epoch takes a minute."""
    shown = Progress({"a": 12, "b": 12, "c": 2})
    wait(1)
    trained(shown, "a", 1)
    wait(1)
    shown.ended("c", "c is evaluated")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines] == [["0/3", "runs", "a"], ["1/3", "runs", "c"]]
    assert [line.split()[-1] for line in lines] == ["25:00", "15:20"]  # of 26 epochs' work 1 and 3 are done


def test_epochs_that_were_trained_before_and_runs_that_failed_took_no_time(wait, capsys):
    shown = Progress({"a": 12, "b": 12, "c": 12})
    wait(2)
    trained(shown, "a", 9)  # the first of this call
    shown.drop("c")
    trained(shown, "b", 1)
    trained(shown, "b", 1)  # again, since its worker died
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[0] for line in lines] == ["0/3", "1/3", "1/3"]
    assert [line[-1] for line in lines] == ["54:00", "14:00", "9:20"]  # 1 of 28, 2 of 16 and 3 of 17


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
