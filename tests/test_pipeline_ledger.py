"""What of the ledger needs no graph; the rest is in test_pipeline_repro.py."""

import signal

import pytest
from dvc.dependency import param
from dvc.fs import LocalFileSystem

from pipeline.ledger import params_parsed_once, uninterrupted


def test_ctrl_c_waits_for_the_end_of_an_uninterrupted_block():
    done = []

    def work():
        with uninterrupted():
            signal.raise_signal(signal.SIGINT)
            done.append("all of it")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["all of it"]


def test_params_parsed_once_are_what_dvc_reads(project):
    keys = ["train", "train.latent_dim", "variants.l1_l2", "preprocess.train_images", "variants.absent", "train.seed.x"]

    def selected():
        return param.read_param_file(LocalFileSystem(), str(project / "params.yaml"), keys, flatten=True)

    before = selected()
    assert set(before) == set(keys[:4])
    with params_parsed_once():
        assert selected() == selected() == before
        text = (project / "params.yaml").read_text()
        (project / "params.yaml").write_text(text.replace("latent_dim: 2", "latent_dim: 16"))
        edited = selected()
    assert edited == selected()
    assert edited["train.latent_dim"] == edited["train"]["latent_dim"] == 16
