"""The format on bytes that the test writes."""

import numpy as np
import pytest

from digit_vae.base.errors import UserError
from digit_vae.data.idx import read_images, read_labels


def test_images_and_labels_are_read_as_they_were_written(tmp_path, idx_bytes):
    values = np.random.default_rng(0).integers(0, 256, (3, 28, 28))
    (tmp_path / "images").write_bytes(idx_bytes(values))
    (tmp_path / "labels").write_bytes(b"\x00\x00\x08\x01" + b"\x00\x00\x00\x03" + b"\x05\x00\x09")
    images, labels = read_images(tmp_path / "images"), read_labels(tmp_path / "labels")
    assert (images.shape, images.dtype, labels.dtype) == ((3, 28, 28, 1), np.uint8, np.uint8)
    np.testing.assert_array_equal(images[..., 0], values)
    np.testing.assert_array_equal(labels, [5, 0, 9])


HEADER = b"\x00\x00\x08\x03\x00\x00\x00\x01\x00\x00\x00\x1c\x00\x00\x00\x1c"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "a header of 16 bytes; received 0 bytes"),
        (HEADER[:9], "a header of 16 bytes; received 9 bytes"),
        (b"\x00\x00\x08\x01" + HEADER[4:] + bytes(784), r"\(0, 8, 3\) at the start; received \(0, 8, 1\)"),
        (b"\x00\x00\x0d\x03" + HEADER[4:] + bytes(784), r"\(0, 8, 3\) at the start; received \(0, 13, 3\)"),
        (HEADER[:15] + b"\x20" + bytes(784), r"items shaped \(28, 28\); received \(28, 32\)"),
        (HEADER + bytes(783), "800 bytes for 1 items; received 799"),
        (HEADER + bytes(785), "800 bytes for 1 items; received 801"),
        (HEADER[:4] + b"\xff" * 4 + HEADER[8:] + bytes(784), "for 4294967295 items; received 800"),
    ],
    ids=["empty", "half a header", "labels", "floats", "dimensions", "short", "long", "absurd count"],
)
def test_a_damaged_idx_file_is_refused_with_what_was_expected(tmp_path, content, reason):
    path = tmp_path / "images"
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"images is damaged \(expected .*{reason}.*dvc repro fetch"):
        read_images(path)


def test_a_missing_idx_file_names_the_stage(tmp_path):
    with pytest.raises(UserError, match="labels is missing: `dvc repro fetch` makes it"):
        read_labels(tmp_path / "labels")
