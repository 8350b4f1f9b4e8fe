"""The pinned files against MNIST's published counts."""

import hashlib

from digit_vae.data.mnist import FASHION_MNIST, MNIST, RawFile


def test_the_pinned_sizes_are_those_of_the_published_counts():
    assert [file.size for file in MNIST] == [16 + 60_000 * 28 * 28, 8 + 60_000, 16 + 10_000 * 28 * 28, 8 + 10_000]
    assert len({file.sha256 for file in MNIST}) == 4
    assert [(file.name, file.size) for file in FASHION_MNIST] == [(file.name, file.size) for file in MNIST]
    assert len({file.packed_sha256 for file in FASHION_MNIST}) == 4


def test_a_file_is_recognised_by_its_bytes_alone(tmp_path):
    file = RawFile("a", 3, hashlib.sha256(b"abc").hexdigest())
    for content, expected in ((b"abc", True), (b"abd", False), (b"ab", False), (b"abcd", False)):
        (tmp_path / "any").write_bytes(content)
        assert file.is_at(tmp_path / "any") is expected
    assert not file.is_at(tmp_path / "none")
    assert not file.is_at(tmp_path)
