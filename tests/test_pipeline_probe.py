import os

import numpy as np
import pytest
from synthetic import timings

from digit_vae.files import write_text
from pipeline import probe


def test_shares_are_of_all_the_cores_time():
    runs = [timings("baseline-0", epochs=2), timings("baseline-1", epochs=2)]  # 57 s of steps, 4 of validation, 1.5
    assert probe.shares(runs, 30, 100, cores=2) == {
        "training steps": pytest.approx(2 * 57 / 200),
        "validation": pytest.approx(2 * 4 / 200),
        "tracing": pytest.approx(2 * 1.5 / 200),
        "evaluation": pytest.approx(30 / 200),
        "rest": pytest.approx((200 - 125 - 30) / 200),
    }


def test_an_evaluation_takes_from_the_trainings_last_file_to_the_metrics(tmp_path):
    for path, written in (("models/a-0/timings.json", 1000.0), ("reports/metrics/runs/a-0.json", 1040.5)):
        write_text(tmp_path / path, "{}")
        os.utime(tmp_path / path, (written, written))
    assert probe.evaluation_seconds(tmp_path, "a-0") == pytest.approx(40.5)


def test_images_are_repeated_in_a_file(tmp_path, digits):
    probe.repeated(digits[:10], 3, tmp_path / "images.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "images.npy"), np.concatenate([digits[:10]] * 3))


def test_data_times_the_same_images_before_and_after_those_repeated(processed, run_stage, monkeypatch, capsys):
    counts = []

    def measure(job):
        counts.append(len(np.load(job["images"], mmap_mode="r")))
        assert job["params"]["epochs"] == 1
        return {"runs": [{"epochs": [{"train_seconds": 0.003 * counts[-1]}], "peak_bytes": counts[-1] * 2**20}]}

    monkeypatch.setattr(probe, "measure", measure)
    assert run_stage(probe.main, "data", "--times", "4") == 0
    assert counts == [300, 1200, 300]
    assert capsys.readouterr().out.splitlines()[1] == "    1,200 images: 3000.0 µs an image, 1,200 MiB at most"
    assert not list((processed / "data/processed").glob(".probe-*"))


@pytest.mark.usefixtures("project")
def test_a_number_that_repeats_nothing_is_refused(run_stage, capsys):
    assert run_stage(probe.main, "data", "--times", "0") == 1
    assert "--times: expected at least 1, received 0" in capsys.readouterr().err
