"""What is in a model's folder."""

from importlib.metadata import version

import mlflow.models
import numpy as np
import pytest

from digit_vae.base.errors import UserError
from digit_vae.registry.package import input_example, save


def test_a_model_states_its_signature_example_and_requirements(packaged):
    info = mlflow.models.get_model_info(str(packaged.folder))
    [images] = info.signature.inputs.inputs
    assert (images.type, images.shape) == (np.float32, (-1, -1, -1))
    outputs = {each.name: each.shape for each in info.signature.outputs.inputs}
    assert outputs == {"z_mean": (-1, 3), "z_log_var": (-1, 3), "reconstruction": (-1, 28, 28), "elbo": (-1,)}
    found = packaged.model.predict(input_example())
    assert {name: len(shape) for name, shape in outputs.items()} == {name: each.ndim for name, each in found.items()}
    assert {"task", "scale"} <= {each.name for each in info.signature.params}
    np.testing.assert_array_equal(packaged.model.input_example, input_example())
    requirements = (packaged.folder / "requirements.txt").read_text(encoding="utf-8").split()
    assert sorted(requirements) == [f"{name}=={version(name)}" for name in ("mlflow", "numpy", "onnxruntime")]


def test_nothing_in_it_is_a_pickle(packaged):
    # Python keeps byte code beside what the fixture has loaded.
    files = (path for path in packaged.folder.rglob("*") if path.is_file() and path.parent.name != "__pycache__")
    names = {path.suffix for path in files}
    assert names <= {"", ".json", ".onnx", ".py", ".txt", ".yaml"}


def test_a_run_on_a_fold_is_refused(packaged, tmp_path):
    with pytest.raises(UserError, match="baseline-fold0-0"):
        save(packaged.run._replace(name="baseline-fold0-0"), tmp_path / "model")


def test_a_model_is_written_in_the_place_of_another(packaged, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "MLmodel").touch()
    save(packaged.run, folder)
    assert (folder / "MLmodel").stat().st_size > 0
    save(packaged.run, folder)
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("beside", [(), ("MLmodel",)])
def test_nothing_but_a_model_is_replaced(packaged, tmp_path, beside):
    for name in ("mine", *beside):
        (tmp_path / name).touch()
    with pytest.raises(UserError, match=r"MLmodel|mine"):
        save(packaged.run, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"mine", *beside}
