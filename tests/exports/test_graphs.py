"""The ONNX graphs, run by ONNX Runtime, against the Keras models with the same weights."""

import subprocess
import sys
from pathlib import Path

import h5py
import keras
import numpy as np
import onnx
import onnxruntime
import pytest

from digit_vae.base.errors import UserError
from digit_vae.base.files import read_json, write_bytes
from digit_vae.base.paths import GRAPH_FILES, REPORTS
from digit_vae.config.loading import read_run_params
from digit_vae.evaluation.elbo import load_vae
from digit_vae.exports import graphs
from digit_vae.exports.graphs import OPSET, onnx_files
from digit_vae.model.vae import build_vae
from digit_vae.model.weights import weights_bytes
from digit_vae.serving.trained import TrainedRun

pytestmark = pytest.mark.usefixtures("cpu")
ROOT = Path(__file__).parents[2]
PUBLISHED = sorted(path for graph in GRAPH_FILES for path in (ROOT / REPORTS / graph / "weights").iterdir())


@pytest.fixture
def made(tmp_path, make_params):
    """A run with weights that no layer starts with, and its model."""

    def make(**changes):
        params = make_params(**changes)
        keras.utils.set_random_seed(1)
        vae = build_vae(params)
        for variable in vae.weights:
            noise = np.random.default_rng(len(variable.path)).uniform(0.01, 0.2, variable.shape)
            variable.assign(variable + noise if variable.ndim < 2 else variable)
        run = TrainedRun("made", params, tmp_path / "encoder.weights.h5", tmp_path / "decoder.weights.h5", "train@made")
        write_bytes(run.encoder, weights_bytes(vae.encoder))
        write_bytes(run.decoder, weights_bytes(vae.decoder))
        return run, vae

    return make


def outputs(content, name, values):
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run(None, {name: values})


def assert_same(run, vae, images):
    """Of whole batches and of a single image."""
    files = onnx_files(run)
    for batch in (images, images[:1]):
        expected = [part.numpy() for part in vae.encoder(batch, training=False)]
        encoded = outputs(files["encoder.onnx"], "images", batch)
        for ours, theirs in zip(encoded, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
        logits = vae.decoder(expected[0], training=False).numpy()
        decoded = outputs(files["decoder.onnx"], "z", expected[0])
        np.testing.assert_allclose(decoded[0], logits, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(decoded[1], keras.ops.sigmoid(logits), rtol=0, atol=1e-5)


@pytest.mark.parametrize("changes", [{}, {"batch_norm": True}, {"latent_dim": 5, "dropout": 0.3, "kernel_l2": 1e-4}])
def test_the_graphs_compute_what_the_model_computes(made, digits, changes):
    assert_same(*made(**changes), digits[:50].astype(np.float32) / 255)


@pytest.mark.parametrize("folder", PUBLISHED, ids=lambda path: path.name)
def test_the_graphs_of_published_weights_compute_what_keras_computes(folder, digits):
    history = read_json(folder.parents[1] / "runs" / folder.name / "history.json", made_by="train", keys=("params",))
    params = read_run_params(history["params"], "params")
    run = TrainedRun(folder.name, params, folder / "encoder.weights.h5", folder / "decoder.weights.h5", "train")
    vae = load_vae(params, run.encoder, run.decoder, made_by="train")
    assert_same(run, vae, digits[:50].astype(np.float32) / 255)


def test_a_graph_states_its_opset_and_shapes(made):
    run, _ = made(latent_dim=3)
    encoder, decoder = (onnx.load_from_string(content) for content in onnx_files(run).values())
    for model, inputs, outputs in (
        (encoder, {"images": ["N", 28, 28, 1]}, {"z_mean": ["N", 3], "z_log_var": ["N", 3]}),
        (decoder, {"z": ["N", 3]}, {"logits": ["N", 28, 28, 1], "probabilities": ["N", 28, 28, 1]}),
    ):
        onnx.checker.check_model(model, full_check=True)
        assert [each.version for each in model.opset_import] == [OPSET]
        assert (shapes(model.graph.input), shapes(model.graph.output)) == (inputs, outputs)


def shapes(ends):
    dims = {each.name: each.type.tensor_type.shape.dim for each in ends}
    return {name: [dim.dim_param or dim.dim_value for dim in found] for name, found in dims.items()}


def test_the_same_weights_give_the_same_bytes(made):
    run, _ = made()
    assert onnx_files(run) == onnx_files(run)


def test_weights_of_another_model_are_one_sentence(made):
    run, _ = made()
    with pytest.raises(UserError, match="encoder"):
        onnx_files(run._replace(encoder=run.decoder))
    run.encoder.write_bytes(b"no HDF5")
    with pytest.raises(UserError, match="damaged"):
        onnx_files(run)


@pytest.mark.parametrize(
    ("layer", "number", "values", "reason"),
    [
        ("conv_1", "0", np.ones((5, 5, 1, 32)), r"conv_1: .*\(3, 3, 1, 32\), .*received \[\(5, 5, 1, 32"),
        ("conv_2", "0", np.ones((3, 3, 7, 64)), "layer conv_2"),
        ("hidden", "1", np.ones(3), "layer hidden"),
        ("z_log_var", "0", np.ones((16, 3)), "layer z_log_var"),
        ("z_mean", "0", np.ones((16, 1025)), r"expected shapes \[\(16, 1024\)"),
        ("z_mean", "1", np.ones(()), "layer z_mean"),
        ("z_mean", "2", np.ones(2), "layer z_mean"),
        ("z_mean", "1", None, "layer z_mean"),
        ("hidden", "1", np.full(16, np.nan), "finite numbers in layer hidden"),
        ("hidden", "1", np.full(16, b"x"), "damaged"),
    ],
)
def test_damaged_weights_are_one_sentence(made, layer, number, values, reason):
    run, _ = made()
    with h5py.File(run.encoder, "a") as file:
        [variables] = [each["vars"] for each in file["layers"].values() if each["vars"].attrs["name"] == layer]
        if number in variables:
            del variables[number]
        if values is not None:
            variables[number] = values
    with pytest.raises(UserError, match=reason) as error:
        onnx_files(run)
    assert "\n" not in str(error.value)


def test_the_shape_of_an_array_is_checked_before_it_is_unpacked(made):
    run, _ = made()
    with h5py.File(run.decoder, "a") as file:
        del file["layers/dense/vars/0"]
        file["layers/dense/vars"].create_dataset("0", (10**6, 10**6), chunks=(1000, 1000), dtype=np.float32)
    with pytest.raises(UserError, match="layer dense"):
        onnx_files(run)
    with h5py.File(run.decoder, "w") as file:
        file["layers"] = np.ones(3)
    with pytest.raises(UserError, match="damaged"):
        onnx_files(run)


def test_nothing_of_tensorflow_is_imported():
    code = "import sys, digit_vae.exports.graphs; sys.exit(bool({'tensorflow', 'keras', 'mlflow'} & set(sys.modules)))"
    environment = {"PYTHONPATH": str(Path(graphs.__file__).parents[2])}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0
