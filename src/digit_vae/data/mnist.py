"""The four files of MNIST, with the sizes and hashes by which any copy is recognised."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from digit_vae.base.files import sha256

SIDE = 28
CLASSES = 10


@dataclass(frozen=True)
class RawFile:
    """One uncompressed file of a data set. size: bytes."""

    name: str
    size: int
    sha256: str

    def is_at(self, path: Path) -> bool:
        """Whether `path` is this file, to the last bit."""
        try:
            return path.stat().st_size == self.size and sha256(path) == self.sha256
        except OSError:
            return False


class DataSet(NamedTuple):
    """The files of a data set, in the IDX format."""

    train_images: RawFile
    train_labels: RawFile
    test_images: RawFile
    test_labels: RawFile


MNIST = DataSet(
    RawFile("train-images-idx3-ubyte", 47_040_016, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
    RawFile("train-labels-idx1-ubyte", 60_008, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
    RawFile("t10k-images-idx3-ubyte", 7_840_016, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
    RawFile("t10k-labels-idx1-ubyte", 10_008, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
)
