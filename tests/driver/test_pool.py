"""What the pool asks of a cluster: GPUs. Its work is in test_reproduce.py."""

from dataclasses import replace

import pytest
import ray

from digit_vae.base.errors import UserError
from digit_vae.config.runs import find_run
from digit_vae.driver.pool import gpus_of


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
