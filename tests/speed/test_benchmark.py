import json

import measured
import pytest

from digit_vae.speed.records import read_benchmarks
from digit_vae.base.errors import UserError
from digit_vae.base.files import sha256
from pipeline import benchmark, worker


@pytest.fixture
def small(processed):
    """`processed` with two epochs and two seeds."""
    path = processed / "params.yaml"
    path.write_text(path.read_text().replace("epochs: 10", "epochs: 2").replace("seeds: 3", "seeds: 2"))
    return processed


@pytest.fixture
def jobs(monkeypatch):
    """The jobs that were asked for, and made-up results in place of measurements."""
    asked = []

    def measure(job, on_epoch=lambda _: None):
        asked.append(job)
        if job["work"] == "machine":
            if job["device"] == "gpu":
                raise UserError("expected a GPU")
            machine = measured.CPU | {"tensorflow": "2.21.0", "precision": job["precision"]}
            return {"machine": machine, "git_commit": None, "matrix_gflops": 100.0}
        run = dict(measured.benchmark(epochs=job["params"]["epochs"])["runs"][0])
        for epoch in run["epochs"]:
            on_epoch(epoch | {"kl_loss": 6.0})
        return {"runs": [{key: run[key] for key in run if key not in ("seed", "matrix_gflops")}]}

    monkeypatch.setattr(benchmark, "measure", measure)
    return asked


@pytest.mark.usefixtures("no_arguments")
def test_every_setting_is_repeated_over_the_seeds_and_recorded(small, jobs, capsys):
    benchmark.main()
    files = read_benchmarks(small / "reports/benchmarks")
    assert list(files) == ["some-cpu-2ghz-2-cores-cpu-float32", "some-cpu-2ghz-2-cores-cpu-mixed-bfloat16"]
    for precision, content in zip(("float32", "mixed_bfloat16"), files.values(), strict=True):
        assert [run["seed"] for run in content["runs"]] == [0, 1]
        assert (content["images"], content["params"]["precision"]) == (300, precision)
        assert "seed" not in content["params"]
        assert content["data"]["train_images"] == sha256(small / "data/processed/train_images.npy")
    trained = [job for job in jobs if job["work"] == "train"]
    assert [(job["params"]["seed"], job["params"]["precision"]) for job in trained] == [
        (0, "float32"),
        (0, "mixed_bfloat16"),
        (1, "float32"),
        (1, "mixed_bfloat16"),
    ]
    assert {tuple(job["validations"]) for job in trained} == {("data/processed/test_images.npy",)}
    lines = [line for line in capsys.readouterr().out.splitlines() if "epoch" in line]
    assert len(lines) == 8
    assert lines[-1].endswith("left 0:00")


def test_an_absent_device_is_an_error_before_anything_is_measured(small, jobs, run_stage, capsys):
    path = small / "params.yaml"
    path.write_text(path.read_text().replace("devices: [cpu]", "devices: [cpu, gpu]"))
    assert run_stage(benchmark.main) == 1
    assert {job["work"] for job in jobs} == {"machine"}
    assert "benchmark.devices: nothing was measured" in capsys.readouterr().err
    assert not (small / "reports").exists()


@pytest.mark.usefixtures("no_arguments", "cpu")
def test_a_real_measurement_is_a_file_that_is_accepted(small, monkeypatch):
    """Through the worker's own functions, in this process."""

    monkeypatch.setattr(worker, "MATRIX_SIZE", {"cpu": 64})
    monkeypatch.setattr(worker, "_tell", lambda _: None)

    def measure(job, on_epoch=lambda _: None):
        del on_epoch
        return json.loads(json.dumps(worker.WORK[job["work"]](job)))

    monkeypatch.setattr(benchmark, "measure", measure)
    path = small / "params.yaml"
    path.write_text(path.read_text().replace("epochs: 2", "epochs: 1").replace("[float32, mixed", "[mixed"))
    benchmark.main()
    (content,) = read_benchmarks(small / "reports/benchmarks").values()
    assert content["summary"]["matrix_share"]["median"] > 0
    assert content["summary"]["val_loss"]["low"] < content["summary"]["val_loss"]["high"]
