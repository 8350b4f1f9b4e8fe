import shutil
from pathlib import Path

import numpy as np
import pytest

from digit_vae.base.errors import UserError
from digit_vae.base.files import write_bytes, write_json
from digit_vae.serving.trained import TrainedRun
from digit_vae.serving.typical import compared, loss_quantiles, losses_file, reconstruction_losses, typical_losses


@pytest.fixture
def vae(cpu, make_params):
    del cpu
    from digit_vae.model.vae import build_vae

    return build_vae(make_params())


@pytest.fixture
def run(make_params):
    return TrainedRun("baseline-full-0", make_params(), Path("w/encoder.weights.h5"), Path("w/decoder.weights.h5"), "x")


def test_the_loss_is_the_cross_entropy_of_the_mean_s_reconstruction(vae, digits):
    losses = reconstruction_losses(vae, digits[:5])
    images = digits[:5].astype(np.float64) / 255
    logits = np.asarray(vae.decoder(vae.encoder(images.astype(np.float32))[0]), np.float64)
    probabilities = 1 / (1 + np.exp(-logits))
    expected = -(images * np.log(probabilities) + (1 - images) * np.log(1 - probabilities)).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(losses, expected, rtol=1e-4)


def test_a_loss_stands_beside_those_of_the_test_images():
    quantiles = loss_quantiles(np.arange(1, 10_001, dtype=float))
    low, middle, last, above = compared(np.array([-5.0, 5000.5, 9990.0, 10_001.0]), quantiles)
    assert (low.share, round(middle.share, 1), above.share) == (0, 50, 100)
    assert [each.is_digit for each in (low, middle, last, above)] == [True, True, True, False]
    assert "50 %" in middle.note
    assert "no digit" in above.note
    assert "no item" in compared(np.array([10_001.0]), quantiles, "item")[0].note


@pytest.mark.usefixtures("project")
def test_without_test_images_nothing_is_said_of_them(run, vae):
    assert typical_losses(run, vae) is None
    (only,) = compared(np.array([100.0]), None)
    assert only.is_digit
    assert "%" not in only.note


@pytest.mark.usefixtures("processed")
def test_quantiles_are_read_beside_the_weights_or_made_of_the_test_images(run, vae, digits):
    assert typical_losses(run, vae) == loss_quantiles(reconstruction_losses(vae, digits[300:]))
    write_json(Path("w/losses.json"), {"percent": [0, 100], "nats": [1.0, 2.0]})
    assert typical_losses(run, vae) == {"percent": [0, 100], "nats": [1.0, 2.0]}
    for nats in ({}, {"nats": ["1", "2"]}, {"nats": 3}, {"nats": [1.0]}):
        write_json(Path("w/losses.json"), {"percent": [0, 100]} | nats)
        with pytest.raises(UserError, match=r"losses\.json is damaged"):
            typical_losses(run, vae)


@pytest.mark.usefixtures("processed")
def test_the_file_beside_the_weights_says_what_the_test_images_say(run, vae):
    from digit_vae.model.weights import weights_bytes

    for path, part in ((run.encoder, vae.encoder), (run.decoder, vae.decoder)):
        write_bytes(path, weights_bytes(part))
    made = typical_losses(run, vae)
    write_bytes(Path("w/losses.json"), losses_file(run))
    shutil.rmtree("data")
    assert typical_losses(run, vae) == made
