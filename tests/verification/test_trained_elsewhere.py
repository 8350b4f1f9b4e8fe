"""What docs/portable_bits.md says of two processors: an Intel processor trained what an AMD processor published."""

import json
from pathlib import Path

import pytest

from digit_vae.base.files import sha256
from digit_vae.config.loading import load_params
from digit_vae.config.runs import find_run

ROOT = Path(__file__).parents[2]
RECORD = json.loads((ROOT / "reports/processors/trained/intel-r-xeon-r-processor.json").read_text(encoding="utf-8"))


REPEATING = ("history.json", "metrics.json", "digits.npz")


def folder_of(name):
    run = find_run(load_params(ROOT / "params.yaml"), name)
    return ROOT / run.files.history.parent


@pytest.mark.parametrize("name", RECORD["runs"])
def test_the_weights_are_those_that_are_published(name):
    history = json.loads((folder_of(name) / "history.json").read_text(encoding="utf-8"))
    assert history["weights_sha256"] == RECORD["runs"][name]["weights_sha256"]


@pytest.mark.parametrize("file", REPEATING)
@pytest.mark.parametrize("name", RECORD["runs"])
def test_the_losses_of_every_epoch_and_what_an_evaluation_found_are_those_that_are_published(name, file):
    assert sha256(folder_of(name) / file) == RECORD["runs"][name][f"{file.partition('.')[0]}_sha256"]
