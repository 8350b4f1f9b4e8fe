"""A run is believed only as a whole: its history, and the weights that it names."""

import shutil

import pytest
from synthetic import write_history

from digit_vae.base.errors import UserError
from digit_vae.base.files import write_bytes, write_json
from digit_vae.base.paths import RunFiles
from digit_vae.serving.trained import find_trained

RUN = "baseline-full-0"


@pytest.fixture(params=["paper", "beyond"])
def files(request, project, make_params):
    """A run of either graph with bytes for weights."""
    files = RunFiles(request.param, RUN)
    for path in (files.encoder, files.decoder):
        write_bytes(path, path.name.encode())
    write_history(project, RUN, make_params(), graph=request.param)
    return files


def test_a_whole_run_is_read(files, make_params):
    run = find_trained(RUN)
    assert (run.name, run.params) == (RUN, make_params())
    assert (run.encoder, run.decoder) == (files.encoder, files.decoder)


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_weights_of_another_run_are_refused(files, part):
    getattr(files, part).write_bytes(b"another's")
    with pytest.raises(UserError, match=part):
        find_trained(RUN)


def test_own_weights_come_before_committed_ones(files):
    shutil.copytree(files.models, files.published)
    assert find_trained(RUN).encoder == files.encoder
    shutil.rmtree(files.models)
    assert find_trained(RUN).encoder.parent == files.published


def test_committed_weights_of_another_training_are_refused(files):
    shutil.move(files.models, files.published)
    (files.published / files.decoder.name).write_bytes(b"another's")
    with pytest.raises(UserError, match="decoder"):
        find_trained(RUN)


def test_a_history_without_params_is_refused(files):
    write_json(files.history, {"run": RUN})
    with pytest.raises(UserError, match="history"):
        find_trained(RUN)
