import numpy as np
import pytest
from scipy.stats import entropy

from digit_vae.protocols import BINARISED, GREY, Nats, column, entropy_floor, prepared


def test_binarised_pixels_are_one_from_a_half_on():
    images = np.array([0, 1, 127, 128, 255], np.uint8)  # 127 / 255 is below a half, 128 / 255 above
    binarised = prepared(images, BINARISED)
    assert binarised.dtype == np.uint8
    np.testing.assert_array_equal(binarised, [0, 0, 0, 255, 255])
    np.testing.assert_array_equal(prepared(images, GREY), images)


def test_the_entropy_floor_is_the_entropy_of_the_pixels():
    images = np.random.default_rng(0).integers(0, 256, (20, 28, 28, 1)).astype(np.uint8)
    expected = entropy([images / 255, 1 - images / 255], axis=0).sum() / 20
    assert entropy_floor(images) == pytest.approx(expected)
    assert entropy_floor(prepared(images, BINARISED)) == 0


def test_a_column_states_the_protocol_of_its_numbers():
    assert column("ELBO", [Nats(-155.0, GREY), Nats(-154.0, GREY)]) == ("ELBO (grey)", [-155.0, -154.0])


@pytest.mark.parametrize("cells", [[Nats(-155.0, GREY), Nats(-150.0, BINARISED)], []])
def test_a_column_of_mixed_protocols_or_of_none_is_refused(cells):
    with pytest.raises(
        ValueError, match=r"expected numbers of one protocol in the column 'ELBO'\. Received: protocols="
    ):
        column("ELBO", cells)
