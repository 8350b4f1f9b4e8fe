"""What docs/portable_bits.md says of two processors: an Intel processor trained what an AMD processor published."""

import json
from pathlib import Path

import pytest

from digit_vae.base.files import sha256
from digit_vae.base.paths import RunFiles
from digit_vae.config.loading import load_params
from digit_vae.config.runs import find_run

ROOT = Path(__file__).parents[2]
RECORD = json.loads((ROOT / "reports/processors/trained/intel-r-xeon-r-processor.json").read_text(encoding="utf-8"))


def history_of(name):
    run = find_run(load_params(ROOT / "params.yaml"), name)
    return ROOT / RunFiles(run.graph, run.name).history


@pytest.mark.parametrize("name", RECORD["runs"])
def test_the_weights_are_those_that_are_published(name):
    history = json.loads(history_of(name).read_text(encoding="utf-8"))
    timings = json.loads(history_of(name).with_name("timings.json").read_text(encoding="utf-8"))
    assert timings["machine"]["cpu"] != RECORD["machine"]["cpu"]
    assert history["weights_sha256"] == RECORD["runs"][name]["weights_sha256"]


@pytest.mark.parametrize("name", sorted(set(RECORD["runs"]) - {"batch_norm-fold0-0"}))
def test_the_losses_of_every_epoch_are_those_that_are_published(name):
    assert sha256(history_of(name)) == RECORD["runs"][name]["history_sha256"]


def test_the_validation_of_batch_normalisation_differed_in_its_last_digits_alone():
    epochs = json.loads(history_of("batch_norm-fold0-0").read_text(encoding="utf-8"))["epochs"]
    here = [epoch["val_kl_loss"] for epoch in epochs]
    assert here == pytest.approx(RECORD["runs"]["batch_norm-fold0-0"]["val_kl_loss"], rel=3e-7)
