"""A run's folder is believed only as a whole."""

from dataclasses import replace

import pytest
from synthetic import write_history

from digit_vae.base.errors import UserError
from digit_vae.base.files import write_bytes
from digit_vae.serving.trained import read_trained


@pytest.fixture
def folder(tmp_path, make_params):
    """A run with the paper's parameters, and bytes for weights."""
    write_bytes(tmp_path / "baseline-0/model.weights.h5", b"weights")
    write_history(tmp_path / "baseline-0", make_params())
    return tmp_path / "baseline-0"


def test_a_whole_run_is_read(folder, make_params):
    run = read_trained(folder)
    assert run == ("baseline-0", make_params(), folder / "model.weights.h5")
    assert read_trained(folder, make_params()) == run


def test_weights_of_another_run_are_refused(folder):
    (folder / "model.weights.h5").write_bytes(b"Weights")
    with pytest.raises(UserError, match=r"weights.h5 is damaged \(its SHA-256 .* `dvc repro train@baseline-0`"):
        read_trained(folder)


def test_other_params_are_refused(folder, make_params):
    with pytest.raises(UserError, match=r"trained with other params .*: run `dvc repro train@baseline-0`"):
        read_trained(folder, replace(make_params(), seed=1))
