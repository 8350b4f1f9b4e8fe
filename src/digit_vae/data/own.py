"""Anybody's own images, from a folder: four IDX files, or train/ and test/ with PNG files of 28x28 grey pixels.

With labels, train/ and test/ have a folder for each class, whose name is the class's. Without, the PNG files lie in
train/ and test/ themselves, or the two IDX files with labels are missing (or hold none). A file classes.txt beside IDX
files names the labels from 0 on, one a line. Whatever is unsound is refused in one sentence.
"""

import hashlib
import io
import os
import struct
import unicodedata
import warnings
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from digit_vae.base.errors import UserError
from digit_vae.data.arrays import Arrays
from digit_vae.data.datasets import FOLDER, Description
from digit_vae.data.download import Limits, SourceError
from digit_vae.data.idx import IdxError, decoded
from digit_vae.data.mnist import MNIST, NAMES, SIDE, DataSet, RawFile
from digit_vae.data.sources import local_bytes

MOST_CLASSES = 62  # ten digits, and the letters of both cases
# Images: a density is fitted to half of the training images, and the spread of the test images is their error.
FEWEST = {"training": 3, "test": 2}
CLASS_NAMES = "classes.txt"
MOST_BYTES = 2**20  # of a PNG file: its pixels take a thousand, and what else it holds is not read
PASSES = {  # the first column and row and the steps between them, of PNG's passes over the pixels, by "interlace"
    0: ((0, 0, 1, 1),),
    1: ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
}
Listed = Mapping[str, Sequence[Path]]  # the PNG files of each class; of "" where there are no classes


class Own(NamedTuple):
    """classes: the names of the labels; none where they are not known. hidden: files that were left out."""

    arrays: Arrays
    classes: tuple[str, ...]
    hidden: int


def read_own(folder: Path, limits: Limits) -> Own:
    """The images in `folder`. Raises: UserError that says what was expected where."""
    try:
        own = _own(folder, limits)
    except OSError as error:  # of a path that is too long, or of a folder that may not be entered
        raise UserError(f"fetch.folder: {shown(folder)} cannot be read: {error.strerror}") from error
    for problem in _problems(own):
        raise UserError(f"{shown(folder)}: {problem}")
    return own


def _own(folder: Path, limits: Limits) -> Own:
    if (folder / "train").is_dir() and (folder / "test").is_dir():
        return _of_pictures(folder, limits)
    if _has(folder, MNIST.train_images.name):
        return _of_idx(folder, limits)
    expected = f"the folders train and test, or {', '.join(file.name for file in MNIST)}"
    raise UserError(f"fetch.folder: expected {expected} in {shown(folder)}; received neither")


def own_description(own: Own, recorded: Description | None) -> tuple[Description, dict[str, bytes]]:
    """What there is to say of own images, and their four files by name. A class without a name has its number, or the
    name that was recorded with the same files.
    """
    arrays = own.arrays
    items = (arrays.train_images[..., 0], arrays.train_labels, arrays.test_images[..., 0], arrays.test_labels)
    contents = {name: _encoded(part) for name, part in zip(NAMES, items, strict=True)}
    files = DataSet(*(RawFile(name, len(each), hashlib.sha256(each).hexdigest()) for name, each in contents.items()))
    classes = own.classes
    if not classes and recorded is not None and recorded.files == files:
        classes = recorded.classes
    elif not classes and arrays.train_labels.size:
        classes = tuple(map(str, range(arrays.train_labels.max() + 1)))
    return Description(FOLDER, "image", "images", classes, files), contents


def _encoded(items: np.ndarray) -> bytes:
    """uint8 items (N, ...) as the content of an IDX file."""
    return struct.pack(f">HBB{items.ndim}I", 0, 8, items.ndim, *items.shape) + items.tobytes()


def _problems(own: Own) -> Iterator[str]:
    arrays, known = own.arrays, len(own.classes) or MOST_CLASSES
    for name, images, labels in (
        ("training", arrays.train_images, arrays.train_labels),
        ("test", arrays.test_images, arrays.test_labels),
    ):
        if len(images) < FEWEST[name]:
            yield f"expected at least {FEWEST[name]} {name} images; received {len(images)}"
        if len(labels) not in (0, len(images)):
            yield f"expected one label for each of the {len(images)} {name} images; received {len(labels)}"
        if labels.size and labels.max() >= known:
            yield f"expected labels of {name} images from 0 to {known - 1}; received {labels.max()}"
    train, test = (set(labels.tolist()) for labels in (arrays.train_labels, arrays.test_labels))
    if bool(train) != bool(test):
        yield "expected labels of both training and test images, or of neither; received those of one"
    if own.classes and not train:
        yield f"expected no {CLASS_NAMES} where there are no labels; received one"
    if len(train) == 1:
        yield "expected images of two classes at least; received those of one"
    if alone := sorted(test - train):
        yield f"expected training images of each class in the test images; received none of class {alone[0]}"


def shown(path: Path) -> str:
    """A path as any terminal can show it, even if it is not UTF-8."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _of_idx(folder: Path, limits: Limits) -> Own:
    there = [_has(folder, file.name) for file in (MNIST.train_labels, MNIST.test_labels)]
    if any(there) != all(there):
        names = f"{MNIST.train_labels.name} and {MNIST.test_labels.name}"
        raise UserError(f"{shown(folder)}: expected both {names}, or neither; received one of them")
    labels = [_idx(folder, file.name, (), limits) for file in (MNIST.train_labels, MNIST.test_labels) if all(there)]
    train_labels, test_labels = labels or (np.empty(0, np.uint8), np.empty(0, np.uint8))
    train, test = (
        _idx(folder, file.name, (SIDE, SIDE), limits)[..., np.newaxis]
        for file in (MNIST.train_images, MNIST.test_images)
    )
    return Own(Arrays(train, train_labels, test, test_labels), _names(folder / CLASS_NAMES), 0)


def _has(folder: Path, name: str) -> bool:
    return any((folder / each).is_file() for each in (name, f"{name}.gz"))


def _idx(folder: Path, name: str, item_shape: tuple[int, ...], limits: Limits) -> np.ndarray:
    try:
        return decoded(local_bytes(folder, name, limits), item_shape)
    except (SourceError, IdxError) as error:
        raise UserError(f"{shown(folder / name)}: {error}") from error


def _names(path: Path) -> tuple[str, ...]:
    """What classes.txt says; nothing where it is missing."""
    if not path.is_file():
        return ()
    try:
        names = tuple(line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines())
    except (OSError, ValueError) as error:
        raise UserError(f"{shown(path)}: expected a text in UTF-8; received {error}") from error
    _check_names(names, path)
    return names


def _of_pictures(folder: Path, limits: Limits) -> Own:
    train, test = _listed(folder / "train"), _listed(folder / "test")
    for name in sorted(train.keys() ^ test.keys()):
        where = "train" if name in train else "test"
        what = f"{name!a} in {where} alone" if name else f"PNG files without one in {where} alone"
        raise UserError(f"{shown(folder)}: expected the same class folders in train and test; received {what}")
    classes = tuple(sorted(train, key=_order))
    if classes != ("",):
        _check_names(classes, folder / "train")
    hidden = sum(1 for name in ("train", "test") for _ in (folder / name).rglob(".*"))
    train_set, test_set = (_read(listed, classes, limits) for listed in (train, test))
    return Own(Arrays(*train_set, *test_set), () if classes == ("",) else classes, hidden)


def _order(name: str) -> tuple[int, str]:
    """Numbers by their value, then other names by their characters."""
    return (int(name), "") if name.isdecimal() else (2**31, name)


def _check_names(names: Sequence[str], path: Path) -> None:
    if not 2 <= len(names) <= MOST_CLASSES:
        raise UserError(f"{shown(path)}: expected 2 to {MOST_CLASSES} classes; received {len(names)}")
    for name in names:
        if not name or not name.isprintable():
            raise UserError(f"{shown(path)}: expected printable names of classes; received {name!a}")
    if len({" ".join(unicodedata.normalize("NFC", name).split()) for name in names}) < len(names):
        raise UserError(f"{shown(path)}: expected a name of its own for each class; received two that look alike")


def _listed(folder: Path) -> Listed:
    """The PNG files of each class, sorted by name; hidden files are left out."""
    entries = _entries(folder)
    folders = [path for path in entries if path.is_dir()]
    if folders and len(folders) < len(entries):
        stray = next(path for path in entries if not path.is_dir())
        raise UserError(f"{shown(folder)}: expected either class folders or PNG files; received both ({shown(stray)})")
    return {path.name: _pictures(path) for path in folders} if folders else {"": _pictures(folder)}


def _pictures(folder: Path) -> list[Path]:
    entries = _entries(folder)
    for path in entries:
        if path.suffix.lower() != ".png" or not path.is_file():
            raise UserError(f"{shown(folder)}: expected nothing but PNG files; received {shown(path)}")
    return entries


def _entries(folder: Path) -> list[Path]:
    """What is in a folder but for hidden files, sorted by name; no link, which may lead anywhere."""
    try:
        entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise UserError(f"{shown(folder)} cannot be read: {error.strerror}") from error
    for path in (folder, *entries):
        if path.is_symlink():
            raise UserError(f"{shown(path)}: expected the file or folder itself; received a symbolic link")
    return entries


def _read(listed: Listed, classes: Sequence[str], limits: Limits) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels, shuffled, so that the first of them are of all classes."""
    paths = [(path, label) for label, name in enumerate(classes) for path in listed[name]]
    if len(paths) * SIDE**2 > limits.maximum_bytes:
        most = limits.maximum_bytes // SIDE**2
        raise UserError(f"fetch.maximum_bytes: expected room for {len(paths)} images; received room for {most}")
    images = np.array([_pixels(path) for path, _ in paths], np.uint8).reshape(-1, SIDE, SIDE, 1)
    order = np.random.default_rng(0).permutation(len(paths))
    labels = np.array([label for _, label in paths], np.uint8)[order]
    return images[order], labels if classes != ("",) else labels[:0]


def _pixels(path: Path) -> np.ndarray:
    """The picture as (28, 28) uint8. Its size is checked before its pixels are unpacked."""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise UserError(f"{shown(path)}: expected a PNG file of at most {MOST_BYTES} bytes; received a larger one")
        return _decoded(content, path)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UserError(f"{shown(path)}: expected {SIDE}x{SIDE} pixels; received far more ({error})") from error
    except UnidentifiedImageError as error:
        raise UserError(f"{shown(path)}: expected a PNG file; received something else") from error
    except (OSError, SyntaxError, ValueError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{shown(path)} cannot be read as a PNG file: {reason}") from error


def _decoded(content: bytes, path: Path) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(io.BytesIO(content), formats=("PNG",)) as picture:
            if picture.size != (SIDE, SIDE) or picture.mode != "L":
                raise UserError(
                    f"{shown(path)}: expected {SIDE}x{SIDE} pixels of 8-bit grey; "
                    f"received {picture.width}x{picture.height} of mode {picture.mode}"
                )
            _check_length(content, picture.info.get("interlace", 0))
            return np.asarray(picture)


def _check_length(content: bytes, interlace: int) -> None:
    """Pillow fills rows that a PNG file lacks, so that they have to be counted. Raises: ValueError."""
    sizes = [(len(range(x, SIDE, right)), len(range(y, SIDE, down))) for x, y, right, down in PASSES[interlace]]
    expected = sum(height * (1 + width) for width, height in sizes)  # a row has its filter's byte before its pixels
    place, compressed = 8, bytearray()
    while place + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        if kind == b"IDAT":
            compressed += content[place + 8 : place + 8 + length]
        place += 12 + length
    received = len(zlib.decompressobj().decompress(compressed, expected + 1))
    if received != expected:
        more = " or more" if received > expected else ""
        raise ValueError(f"expected {expected} bytes of pixels; received {received}{more}")
