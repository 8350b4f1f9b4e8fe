import measured
import pytest

from digit_vae.base.files import sha256
from digit_vae.config.loading import load_params
from digit_vae.speed import comparison
from digit_vae.speed.records import comparison_summary

EPOCH = {"val_loss": 160.0, "train_seconds": 2.0, "validation_seconds": 0.5}


@pytest.fixture
def jobs(processed, monkeypatch):
    """The jobs that were asked for, and made-up results in place of measurements."""
    del processed
    asked = []

    def measure(job):
        asked.append(job)
        count = len(job.get("splits", ()))
        if job["work"] == "machine":
            machine = measured.CPU | {"tensorflow": "2.21.0", "device": job["device"]}
            return {"machine": machine, "git_commit": None, "matrix_gflops": 100.0}
        if job["work"] == "train":
            epochs = [EPOCH | {"cpu_seconds": 7.0, "val_loss": 170.0}, EPOCH | {"cpu_seconds": 10.0}]
            return {"runs": [{"epochs": epochs}] * count, "process_seconds": 1.0}
        return {"epoch_seconds": [[9.0, 4.0]] * count, "val_losses": [161.0] * count, "process_seconds": 70.0}

    monkeypatch.setattr(comparison, "measure", measure)
    monkeypatch.setattr(comparison, "usable_cores", lambda: 2)
    return asked


@pytest.mark.parametrize("cores", [1, 2, 3, 4, 5, 8])
@pytest.mark.parametrize("count", [1, 2, 5, 7, 10])
def test_no_core_is_idle_before_the_end(cores, count):
    """Where the system shares the cores evenly, the whole takes what all folds take on all cores."""
    left = [len(its) for its in comparison.shared_out([str(fold) for fold in range(count)], cores)]
    assert sum(left) == count
    ended = 0.0
    while left:  # all processes go on by one fold
        ended += max(1, len(left) / cores)
        left = [folds - 1 for folds in left if folds > 1]
    assert ended == pytest.approx(max(1, count / cores))


def test_further_epochs_take_what_the_last_ones_took(jobs):
    """Three folds: of processor seconds on two cores, of seconds one after the other on a GPU."""
    params = load_params()
    keras = comparison.by_keras(params, "cpu", "float32")
    assert keras == {"seconds": 70.0, "epoch_seconds": 3 * 4, "val_loss": 161}
    ours = comparison.by_this_project(params, "cpu", "mixed_bfloat16")
    assert (ours["epoch_seconds"], ours["val_loss"]) == (3 * 3 / 2, 160)
    assert [len(job["splits"]) for job in jobs] == [3, 1, 1, 1]
    assert comparison.by_this_project(params, "gpu", "float32")["epoch_seconds"] == 3 * 2.5
    assert (len(jobs[-1]["splits"]), jobs[-1]["params"]["device"]) == (3, "gpu")
    assert {job["params"]["epochs"] for job in jobs} == {params.benchmark.epochs_compared}


@pytest.mark.usefixtures("processed")
@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_keras_and_this_project_take_part(device):
    names = set(comparison.contestants(load_params(), device))
    assert names == {"keras-float32", "digit_vae-float32", "digit_vae-mixed_bfloat16"}


def test_contestants_take_turns_and_every_round_starts_with_another():
    order, told = [], []
    running = {name: lambda name=name: order.append(name) or measured.measured(1.0, 1.0) for name in "abc"}
    rounds = comparison.by_turns(running, 4, lambda number, name, seconds: told.append((number, name, seconds)))
    assert "".join(order) == "abcbcacababc"
    assert [set(each) for each in rounds] == [set("abc")] * 4
    assert told[3] == (2, "b", 1.0)


@pytest.mark.usefixtures("jobs")
def test_a_record_says_what_it_was_measured_with(processed):
    content = comparison.comparison(load_params(), "cpu", lambda *_: None)
    assert content["summary"] == comparison_summary(content)
    assert (content["folds"], content["steps"]) == (3, 3 * 4)  # 200 images in batches of 64
    assert content["data"]["splits"][2] == sha256(processed / "data/processed/splits/fold2-0.npy")
    assert content["params"]["learning_rate"] == 0.001
