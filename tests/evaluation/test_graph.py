import numpy as np
import pytest

from digit_vae.evaluation.graph import as_graph
from digit_vae.model.vae import build_vae


@pytest.mark.usefixtures("cpu")
def test_a_graph_gives_what_the_model_gives_outside_training_with_the_weights_it_has_now(make_params, digits):
    encoder = build_vae(make_params(dropout=0.5, batch_norm=True)).encoder
    images = (digits[:5] / 255).astype(np.float32)
    for factor in (1, 2):
        encoder.set_weights([factor * each for each in encoder.get_weights()])
        for found, expected in zip(as_graph(encoder)(images), encoder(images, training=False), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert as_graph(encoder) is as_graph(encoder)
