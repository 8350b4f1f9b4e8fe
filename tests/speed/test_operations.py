"""The operations of a step and of an evaluation, hashed on this processor."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from digit_vae.base.errors import UserError
from digit_vae.base.files import write_json
from digit_vae.config.runs import find_run, run_params
from digit_vae.model.vae import build_vae
from digit_vae.speed import operations as module
from digit_vae.speed.operations import digest, draw, operations, steps
from digit_vae.speed.processors import machines_with_bytes, read_processor

pytestmark = pytest.mark.usefixtures("cpu")
FEW = {"one": np.arange(3.0), "other": [np.zeros(2), np.ones(2)]}


@pytest.fixture(scope="module")
def params(small_params):
    run = run_params(small_params, find_run(small_params, "baseline-full-0"))
    return replace(run, batch_norm=True, dropout=0.25, batch_size=4)


@pytest.fixture(scope="module")
def results(params, cpu):  # noqa: ARG001 - it sets TensorFlow up
    return dict(operations(params))


@pytest.fixture
def few(project, monkeypatch, cpu):  # noqa: ARG001 - the working folder
    """The command with two operations; the path that it writes for a processor called "A CPU (R)" with AVX2."""
    monkeypatch.setattr(module, "operations", lambda _: FEW.items())
    monkeypatch.setattr(
        module, "select_device", lambda _: cpu | {"cpu": "A CPU (R)", "instruction_sets": ["avx2", "fma"]}
    )
    return Path("reports/processors/a-cpu-r-avx2.json")


def test_each_weight_of_the_model_has_its_gradient(params, results):
    vae = build_vae(params)
    weights = [
        f"{layer.name}, gradient to the {weight.name}"
        for part in (vae.encoder, vae.decoder)
        for layer in part.layers
        for weight in layer.trainable_weights
    ]
    assert len(weights) == len(vae.trainable_variables)
    assert set(weights) <= results.keys()


def test_operations_are_those_of_the_formulas(params, results):
    inputs, upstream = draw("hidden", params.batch_size, 3136), draw("hidden", params.batch_size, 16)
    kernel, bias = 0.1 * draw("hidden kernel", 3136, 16), 0.1 * draw("hidden bias", 16)
    outputs = np.maximum(inputs @ kernel + bias, 0)
    np.testing.assert_allclose(results["hidden"], outputs, rtol=1e-4, atol=1e-5)
    expected = inputs.T @ np.where(outputs > 0, upstream, 0)
    np.testing.assert_allclose(results["hidden, gradient to the kernel"], expected, rtol=1e-4, atol=1e-5)
    logits, upstream = (5 * draw(what, params.batch_size, 28, 28, 1) for what in ("logits", "pixels"))
    np.testing.assert_allclose(results["softplus"], np.logaddexp(0, logits), rtol=1e-5)
    np.testing.assert_allclose(results["softplus, gradient to the input"], upstream / (1 + np.exp(-logits)), rtol=1e-5)


def test_steps_change_the_weights_to_the_same_bits_again(params, results):
    plain = replace(params, batch_norm=False, dropout=0.0)
    again = steps(plain)
    assert digest(again) == digest(results["3 training steps"])
    assert np.abs(again[0] - 0.1 * draw("conv_1/kernel", *again[0].shape)).max() > 0


def test_one_bit_of_one_array_changes_the_hash():
    values = [tf.zeros(3), (np.ones(2), np.arange(4.0))]
    other = [tf.zeros(3), (np.ones(2), np.arange(4.0))]
    assert digest(values) == digest(other)
    other[1][1][3] = np.nextafter(other[1][1][3], 9)
    assert digest(values) != digest(other)


def test_the_record_is_named_by_the_processor_and_keeps_what_was_seen_until_an_operation_changes(few, monkeypatch):
    module.main([])
    assert read_processor(few).bytes_seen is False
    assert read_processor(few).operations.keys() == FEW.keys()
    module.main(["--bytes-seen"])
    module.main([])
    assert read_processor(few).bytes_seen is True
    monkeypatch.setattr(module, "operations", lambda _: {"one": np.arange(4.0)}.items())
    module.main([])
    assert read_processor(few).bytes_seen is False


def test_a_record_of_a_setting_is_of_no_processor(few):
    path = Path("reports/processors/settings/one.json")
    module.main(["--out", str(path)])
    assert (read_processor(path).operations.keys(), read_processor(path).bytes_seen) == (FEW.keys(), False)
    assert not few.exists()
    assert machines_with_bytes() == []


def test_a_record_is_written_into_a_pipe(few):
    os.mkfifo("pipe")
    with ThreadPoolExecutor() as pool:
        read = pool.submit(Path("pipe").read_text, encoding="utf-8")
        module.main(["--out", "pipe"])
        assert json.loads(read.result(timeout=60))["operations"].keys() == FEW.keys()
    assert Path("pipe").is_fifo()
    assert not few.exists()


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("other", [["--bytes-seen"], ["--against", "other.json"]])
def test_a_setting_is_held_against_nothing_and_proves_nothing(other, capsys):
    with pytest.raises(SystemExit):
        module.main(["--out", "one.json", *other])
    assert "--out" in capsys.readouterr().err


def test_what_differs_from_another_record_is_named_and_nothing_is_written(few, capsys):
    module.main([])
    content = json.loads(few.read_text(encoding="utf-8"))
    other = few.with_name("other.json")
    write_json(other, content)
    module.main(["--against", str(other)])
    assert "0 differ" in capsys.readouterr().out
    few.unlink()
    write_json(other, content | {"operations": content["operations"] | {"other": "0" * 16, "third": "1"}})
    with pytest.raises(UserError, match="2 operations"):
        module.main(["--against", str(other)])
    assert capsys.readouterr().out.splitlines()[1:] == ["  other", "  third"]
    assert not few.exists()


@pytest.mark.parametrize("text", [None, "no JSON", "{}", '{"bytes_seen": 1, "machine": {}, "operations": {}}'])
def test_what_is_no_record_is_refused_by_name(few, text):
    other = few.parent / "other.json"
    other.parent.mkdir(parents=True)
    if text is not None:
        other.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"other\.json: expected .*digit-vae operations"):
        module.main(["--against", str(other)])
