import numpy as np
import pytest

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_fit_learns_and_times_every_epoch(make_params, digits, precision):
    from digit_vae.speed import torch_fit

    images = digits.astype(np.float32) / 255
    (_, first), (seconds, last) = (
        torch_fit.fit(make_params(epochs=epochs, precision=precision), images[:300], images[300:]) for epochs in (1, 3)
    )
    assert len(seconds) == 3
    assert last < first - 10
