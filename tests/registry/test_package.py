"""What is in a model's folder."""

from importlib.metadata import version

import mlflow.models
import mlflow.pyfunc
import numpy as np
import pytest
from mlflow.exceptions import MlflowException

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


def test_a_model_is_written_into_an_empty_folder_also_where_a_link_leads(packaged, tmp_path):
    folder, link = tmp_path / "model", tmp_path / "link"
    folder.mkdir()
    link.symlink_to(folder)
    save(packaged.run, link)
    assert (folder / "MLmodel").is_file()
    assert link.is_symlink()
    assert {path.name for path in tmp_path.iterdir()} == {"model", "link"}


@pytest.mark.parametrize("there", ["model", "model/MLmodel"])
def test_nothing_is_replaced(packaged, tmp_path, there):
    (tmp_path / there).parent.mkdir(exist_ok=True)
    (tmp_path / there).write_text("mine", encoding="utf-8")
    with pytest.raises(UserError, match=r"model: expected a new or an empty folder for the model; received"):
        save(packaged.run, tmp_path / "model")
    assert (tmp_path / there).read_text(encoding="utf-8") == "mine"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / there]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), MlflowException("No space left on device")])
def test_a_model_that_could_not_be_written_whole_is_not_there(packaged, tmp_path, monkeypatch, error):
    def fill(path, **_):
        path.mkdir()
        (path / "MLmodel").touch()
        raise error

    monkeypatch.setattr(mlflow.pyfunc, "save_model", fill)
    with pytest.raises(UserError, match="model could not be written: No space left on device"):
        save(packaged.run, tmp_path / "model")
    assert not list(tmp_path.iterdir())
