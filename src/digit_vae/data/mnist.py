"""The four files of MNIST and of Fashion-MNIST, with the sizes and hashes by which any copy is recognised.

Fashion-MNIST (Xiao, Rasul and Vollgraf 2017) has the files and the layout of MNIST. Its hashes are published of the
packed files, which its mirrors deliver.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from digit_vae.base.files import sha256

SIDE = 28


@dataclass(frozen=True)
class RawFile:
    """One uncompressed file of a data set. size: bytes. sha256: "" where that of the gzipped file alone is known, which
    is packed_sha256.
    """

    name: str
    size: int
    sha256: str
    packed_sha256: str = ""

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


NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
SIZES = (47_040_016, 60_008, 7_840_016, 10_008)
MNIST = DataSet(
    RawFile(NAMES[0], SIZES[0], "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
    RawFile(NAMES[1], SIZES[1], "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
    RawFile(NAMES[2], SIZES[2], "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
    RawFile(NAMES[3], SIZES[3], "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
)
FASHION_MNIST = DataSet(
    RawFile(NAMES[0], SIZES[0], "", "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
    RawFile(NAMES[1], SIZES[1], "", "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
    RawFile(NAMES[2], SIZES[2], "", "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
    RawFile(NAMES[3], SIZES[3], "", "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
)
