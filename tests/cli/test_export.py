"""The command `digit-vae export`: which runs, which files."""

import shutil
from pathlib import Path

import keras
import onnxruntime
import pytest
from synthetic import write_history

from digit_vae.base.command import exit_status
from digit_vae.base.files import write_bytes
from digit_vae.base.paths import RunFiles
from digit_vae.cli import export
from digit_vae.model.vae import build_vae
from digit_vae.model.weights import weights_bytes

RUN = "baseline-full-0"
FILES = RunFiles("paper", RUN)
pytestmark = pytest.mark.usefixtures("cpu")


@pytest.fixture
def trained(project, make_params):
    params = make_params(latent_dim=3)
    keras.utils.set_random_seed(0)
    vae = build_vae(params)
    write_bytes(FILES.encoder, weights_bytes(vae.encoder))
    write_bytes(FILES.decoder, weights_bytes(vae.decoder))
    write_history(project, RUN, params)


@pytest.mark.usefixtures("trained")
def test_a_run_is_exported_beside_its_weights_or_elsewhere():
    assert exit_status(lambda: export.main([RUN])) == 0
    assert exit_status(lambda: export.main([RUN, "--output", "elsewhere"])) == 0
    for name, shape in (("encoder.onnx", ["N", 28, 28, 1]), ("decoder.onnx", ["N", 3])):
        content = (FILES.models / name).read_bytes()
        assert content == (Path("elsewhere") / RUN / name).read_bytes()
        assert onnxruntime.InferenceSession(content).get_inputs()[0].shape == shape


@pytest.mark.usefixtures("trained")
def test_without_a_name_it_is_the_runs_with_committed_weights():
    assert exit_status(lambda: export.main([])) == 1
    shutil.copytree(FILES.models, FILES.published)
    assert exit_status(lambda: export.main([])) == 0
    assert (FILES.models / "encoder.onnx").exists()


@pytest.mark.usefixtures("trained")
def test_a_run_that_is_not_there_is_one_sentence(capsys):
    assert exit_status(lambda: export.main(["nobody"])) == 1
    assert "nobody" in capsys.readouterr().err


@pytest.mark.usefixtures("trained")
def test_a_model_of_mlflow_is_a_folder_that_is_not_written_twice(capsys):
    assert exit_status(lambda: export.main([RUN, "--mlflow"])) == 0
    assert (FILES.models / "mlflow/MLmodel").is_file()
    assert not (FILES.models / "encoder.onnx").exists()
    assert exit_status(lambda: export.main([RUN, "--mlflow"])) == 1
    assert f"{FILES.models}/mlflow: expected" in capsys.readouterr().err
