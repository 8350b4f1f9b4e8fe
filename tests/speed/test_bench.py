import json

import measured
import numpy as np
import pytest

from digit_vae.base.errors import UserError
from digit_vae.config.loading import load_params
from digit_vae.speed import bench, worker
from digit_vae.speed.records import file_name, read_benchmarks, read_comparisons


@pytest.mark.usefixtures("processed")
def test_benchmarks_and_comparisons_are_files_that_are_accepted(monkeypatch, capsys):
    precisions = load_params().benchmark.precisions
    monkeypatch.setattr(
        bench, "benchmark", lambda *_: [measured.benchmark(precision=precision) for precision in precisions]
    )
    monkeypatch.setattr(bench, "comparison", lambda *_: measured.comparison())
    bench.main([])
    assert len(read_benchmarks(bench.BENCHMARKS)) == len(precisions)
    assert list(read_comparisons(bench.COMPARISONS)) == [file_name(measured.CPU)]
    assert "is written" in capsys.readouterr().out


@pytest.mark.integration
@pytest.mark.usefixtures("cpu", "processed")
def test_without_a_gpu_nothing_is_measured_on_either(project, monkeypatch):
    """The whole command, up to the point where the GPU is missing."""
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        pytest.skip("there is a GPU")
    monkeypatch.setattr(worker, "MATRIX_SIZE", {"cpu": 64})
    monkeypatch.setattr(worker, "measure", lambda job: worker.WORK[job["work"]](job))
    monkeypatch.setattr("digit_vae.speed.benchmark.measure", worker.measure)
    with pytest.raises(UserError, match=r"nothing was measured.*GPU"):
        bench.main(["--gpu"])
    assert not (project / "reports").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("cpu")
def test_a_real_measurement_is_a_file_that_is_accepted(processed, monkeypatch):
    """Through the worker's own functions, in this process."""
    del processed
    monkeypatch.setattr(worker, "MATRIX_SIZE", {"cpu": 64})

    def measure(job, on_epoch=lambda _: None):
        del on_epoch
        return json.loads(json.dumps(worker.WORK[job["work"]](job)))

    monkeypatch.setattr("digit_vae.speed.benchmark.measure", measure)
    monkeypatch.setattr(bench, "comparison", lambda *_: measured.comparison())
    bench.main([])
    for content in read_benchmarks(bench.BENCHMARKS).values():
        assert content["summary"]["matrix_share"]["median"] > 0
        assert content["summary"]["val_loss"]["low"] < content["summary"]["val_loss"]["high"]


def test_more_data_is_set_against_the_small_epochs_of_the_same_call(processed, monkeypatch, capsys):
    def measure(job, on_epoch=lambda _: None):
        if job["work"] == "machine":
            return {"machine": measured.CPU, "git_commit": None}
        large = np.load(job["large"])
        assert len(large) == 3 * 300
        np.testing.assert_array_equal(large[600:], large[:300])
        rounds = [{"large": seconds, "small": 1.0} for seconds in (1.0, 1.1, 1.5)]
        for pair in rounds:
            on_epoch(pair)
        return {"rounds": rounds, "images": 300, "peak_bytes": 2**30}

    monkeypatch.setattr(bench, "measure", measure)
    bench.main(["--data", "3"])
    record = json.loads((bench.MORE_DATA / f"{file_name(measured.CPU)}.json").read_text(encoding="utf-8"))
    assert record["ratio"] == {"median": 1.1, "low": 1.0, "high": 1.5}
    assert record["microseconds_an_image"] == pytest.approx({"large": 1.2 / 300 * 1e6, "small": 1 / 300 * 1e6})
    assert record["params"]["epochs"] == 1
    assert "1.10" in capsys.readouterr().out
    assert not list((processed / "data/processed").glob(".bench-*"))


@pytest.mark.parametrize("times", ["1", "0", "-3", "many", "1001"])
def test_so_many_times_is_a_whole_number_from_2(times, capsys):
    with pytest.raises(SystemExit):
        bench.main([f"--data={times}"])
    assert "from 2 to 1000" in capsys.readouterr().err
