import copy
import json
import math
import re
import statistics
from pathlib import Path

import measured
import pytest

from digit_vae.base.errors import UserError
from digit_vae.base.files import write_json
from digit_vae.base.paths import BENCHMARKS
from digit_vae.model.vae import build_vae
from digit_vae.speed import records

ROOT = Path(__file__).parents[2]


def change(content, keys, value):
    """A copy of `content` with `value` where `keys` lead; None takes the key away."""
    changed = copy.deepcopy(content)
    *way, last = keys
    place = changed
    for key in way:
        place = place[key]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return changed


def test_a_step_of_128_images_is_5_1_gflop():
    """Counted by hand: multiplications and additions of the nine layers' kernels, times the pixels they visit."""
    forward = 2 * (56_448 + 903_168 + 50_176 + 32 + 32 + 6_272 + 1_806_336 + 3_612_672 + 225_792)
    assert records.flops_an_image(2) == 3 * forward - 2 * 56_448
    assert records.flops_an_image(2) * 128 / 1e9 == pytest.approx(5.1, abs=0.01)


@pytest.mark.usefixtures("cpu")
def test_the_operations_are_those_of_the_models_kernels(make_params):
    vae = build_vae(make_params(latent_dim=5))
    forward = 0
    for layer in (*vae.encoder.layers, *vae.decoder.layers):
        for kernel in [weight for weight in layer.weights if len(weight.shape) > 1]:
            pixels = [math.prod(shape.shape[1:-1]) for shape in (layer.input, layer.output)]
            places = max(pixels) if layer.name == "logits" else min(pixels)
            forward += 2 * math.prod(kernel.shape) * places
    assert records.flops_an_image(5) == 3 * forward - 2 * 3 * 3 * 32 * 14 * 14


def test_a_summary_is_median_least_and_greatest_over_the_seeds():
    summary = measured.benchmark(seeds=3, epochs=4, images=1000)["summary"]
    assert summary["epoch_seconds"] == {"median": 11, "low": 10, "high": 12}
    assert summary["seconds"] == {"median": 44, "low": 40, "high": 48}
    assert summary["setup_seconds"] == {"median": 4, "low": 3, "high": 5}
    assert summary["val_loss"] == {"median": 161, "low": 160, "high": 162}
    assert summary["images_a_second"]["high"] == 100
    assert summary["matrix_share"]["high"] == pytest.approx(100 * 39_852_672 / 100e9)


def test_further_epochs_are_extrapolated_and_rounds_compared_one_by_one():
    summary = measured.comparison()["summary"]
    ours, keras = summary["digit_vae-float32"], summary["keras-float32"]
    assert keras["full_seconds"] == {"median": 225, "low": 40 + 8 * 20, "high": 50 + 8 * 25}
    assert ours["full_seconds"] == {"median": 100, "low": 100, "high": 100}
    assert ours["step_milliseconds"]["median"] == 10
    assert ours["times_as_fast"] == {"median": 2.25, "low": 2, "high": 2.5}
    assert keras["times_as_fast"] == {"median": 1, "low": 1, "high": 1}


def test_a_machine_is_named_by_its_gpu_or_by_its_processor():
    assert records.machine_name(measured.CPU) == "Some CPU @ 2GHz, 2 cores"
    assert records.machine_name(measured.GPU) == "Some GPU"
    assert records.file_name(measured.CPU, "cpu", "mixed_bfloat16") == "some-cpu-2ghz-2-cores-cpu-mixed-bfloat16"
    assert records.file_name(measured.GPU) == "some-gpu"


def test_recorded_files_are_read_by_name(tmp_path):
    contents = {"b": measured.benchmark(), "a": measured.benchmark(machine=measured.GPU)}
    for name, content in contents.items():
        write_json(tmp_path / f"{name}.json", content)
    (tmp_path / "README.md").write_text("no benchmark")
    assert list(records.read_benchmarks(tmp_path).items()) == sorted(contents.items())
    write_json(tmp_path / "side_by_side/c.json", measured.comparison())
    assert records.read_comparisons(tmp_path / "side_by_side") == {"c": measured.comparison()}
    assert records.read_benchmarks(tmp_path / "nowhere") == {}


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (["machine", "device"], "tpu", r"machine\.device: .*cpu.*gpu.*received 'tpu'"),
        (["machine", "tensorflow"], None, r"machine\.tensorflow: "),
        (["params", "precision"], None, r"params\.precision: "),
        (["machine", "precision"], None, r"machine\.precision: "),
        (["runs", 0, "epochs", 0, "health"], "x", r"runs\[0\]\.epochs\[0\]\.health: "),
        (["runs"], [], r"runs: .*received \[\]"),
        (["runs"], {}, r"runs: .*received \{\}"),
        (["runs", 1, "epochs", 0, "train_seconds"], -1, r"runs\.1\.epochs\.0\.train_seconds: .*received -1"),
        (["runs", 1, "epochs", 0, "loss"], math.inf, r"runs\[1\]\.epochs\[0\]\.loss: "),
        (["runs", 0, "seed"], "0", r"runs\.0\.seed: "),
        (["runs", 0, "epochs", 1], 7, r"runs\.0\.epochs\.1: .*received 7"),
        (["runs", 0, "setup_seconds"], 99.0, "summary"),
        (["summary"], None, "summary: "),
        (["params", "epochs"], 99, "epochs from 1 to 99"),
        (["runs", 1, "epochs", 0, "epoch"], 2, "epochs from 1 to"),
    ],
)
def test_a_file_that_is_no_benchmark_is_refused_with_its_key(tmp_path, keys, value, message):
    (tmp_path / "a.json").write_text(json.dumps(change(measured.benchmark(), keys, value)), encoding="utf-8")
    with pytest.raises(UserError, match=rf"a\.json is damaged \(.*{message}.*`make bench`"):
        records.read_benchmarks(tmp_path)


def test_a_comparison_without_keras_is_refused(tmp_path):
    write_json(tmp_path / "a.json", change(measured.comparison(), ["rounds", 0, "keras-float32"], None))
    with pytest.raises(UserError, match=r"a\.json is damaged \(rounds\.0: .*keras-float32"):
        records.read_comparisons(tmp_path)


def test_committed_records_are_readable():
    assert records.read_benchmarks(ROOT / BENCHMARKS)
    assert records.read_comparisons(ROOT / BENCHMARKS / "side_by_side")


def test_repetitions_read_as_runs_whose_params_agree():
    (history, timings), (other, _) = records.repetitions("name", measured.benchmark())
    assert (history["run"], history["variant"], history["split"]) == ("name-seed-0", "name", "full")
    assert history["params"] == other["params"]
    assert history["epochs"][1] == {"epoch": 2} | dict.fromkeys(("loss", "reconstruction_loss", "val_loss"), 180.0)
    assert timings["epochs"][1].keys() == {"train_seconds", "validation_seconds", "cpu_seconds", "finished_at"}
    assert timings["started_at"] == measured.STARTED


def test_median_epochs_go_over_the_seeds():
    first, _ = records.median_epochs(measured.benchmark(seeds=3))
    assert first["train_seconds"] == (11, 10, 12)
    assert first["loss"] == (191, 190, 192)


OF_BENCHMARKS = {  # rows of docs/speed.md
    "an epoch: training steps (s)": lambda its: its["summary"]["epoch_seconds"]["median"],
    "an epoch: validation (s)": lambda its: its["summary"]["validation_seconds"]["median"],
    "set-up: tracing, XLA, choice of kernels (s)": lambda its: its["summary"]["setup_seconds"]["median"],
    "a step alone, compiled by XLA (ms)": lambda its: statistics.median(its["step_milliseconds"]["xla"]),
    "a step alone, not compiled (ms)": lambda its: statistics.median(its["step_milliseconds"]["no_xla"]),
}
COLUMNS = ("nvidia-h200-gpu-float32", "nvidia-h200-gpu-mixed-bfloat16", "intel-xeon-processor-16-cores-cpu-float32")


@pytest.mark.parametrize("row", OF_BENCHMARKS)
def test_the_page_on_speed_says_what_the_benchmarks_of_the_gpu_do(row):
    page, recorded = (ROOT / "docs/speed.md").read_text(encoding="utf-8"), records.read_benchmarks(ROOT / BENCHMARKS)
    [cells] = re.findall(rf"^\| {re.escape(row)} \| (.+) \|$", page, re.MULTILINE)
    for cell, name in zip(cells.split(" | "), COLUMNS, strict=True):
        assert f"{OF_BENCHMARKS[row](recorded[name]):.{len(cell.partition('.')[2])}f}" == cell
