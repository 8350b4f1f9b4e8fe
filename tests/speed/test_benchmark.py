import measured
import pytest

from digit_vae.base.errors import UserError
from digit_vae.base.files import sha256
from digit_vae.config.loading import load_params
from digit_vae.speed import benchmark
from digit_vae.speed.records import summary


@pytest.fixture
def jobs(monkeypatch):
    """The jobs that were asked for, and made-up results in place of measurements; there is no GPU."""
    asked = []

    def measure(job, on_epoch=lambda _: None):
        asked.append(job)
        if job["work"] == "machine":
            if job["device"] == "gpu":
                raise UserError("expected a GPU")
            machine = measured.CPU | {"tensorflow": "2.21.0", "precision": job["precision"]}
            return {"machine": machine, "git_commit": None, "matrix_gflops": 100.0}
        if job["work"] == "steps":
            return {"step_milliseconds": {"xla": [2.0] * job["rounds"], "no_xla": [3.0] * job["rounds"]}}
        run = dict(measured.benchmark(epochs=job["params"]["epochs"])["runs"][0])
        for epoch in run["epochs"]:
            on_epoch(epoch)
        return {"runs": [{key: run[key] for key in run if key not in ("seed", "matrix_gflops")}]}

    monkeypatch.setattr(benchmark, "measure", measure)
    return asked


def test_every_setting_is_repeated_over_the_seeds_in_turn(processed, jobs):
    params, told = load_params(), []
    records = benchmark.benchmark(params, ["cpu"], lambda name, epoch: told.append((name, epoch["epoch"])))
    precisions, seeds = params.benchmark.precisions, range(params.benchmark.seeds)
    for precision, record in zip(precisions, records, strict=True):
        assert [run["seed"] for run in record["runs"]] == list(seeds)
        assert (record["images"], record["params"]["precision"]) == (300, precision)
        assert "seed" not in record["params"]
        assert record["data"]["train_images"] == sha256(processed / "data/processed/train_images.npy")
        assert record["summary"] == summary(record)
        assert len(record["step_milliseconds"]["no_xla"]) == params.benchmark.rounds
    trained = [job for job in jobs if job["work"] == "train"]
    expected = [(seed, precision) for seed in seeds for precision in precisions]
    assert [(job["params"]["seed"], job["params"]["precision"]) for job in trained] == expected
    assert all(job["splits"] == ["full"] for job in trained)
    assert [job["params"]["precision"] for job in jobs if job["work"] == "steps"] == list(precisions)
    assert len(told) == len(trained) * params.train.epochs


@pytest.mark.usefixtures("processed")
def test_an_absent_device_is_an_error_before_anything_is_measured(jobs):
    with pytest.raises(UserError, match=r"nothing was measured.*expected a GPU"):
        benchmark.benchmark(load_params(), ["cpu", "gpu"], lambda *_: None)
    assert {job["work"] for job in jobs} == {"machine"}
