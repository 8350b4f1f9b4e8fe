"""Reads and writes files: JSON, arrays, CSV, texts.

A file appears whole or not at all: a temporary file is written, synced to the disk and renamed. The same content
gives the same bytes. Texts are UTF-8, whatever the locale.
"""

import csv
import errno
import hashlib
import io
import json
import os
import tempfile
import tokenize
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from digit_vae.base import git
from digit_vae.base.errors import UserError
from digit_vae.base.shapes import All, ArrayShape, Every, Shape, array_misfits, misfits, other_than_numbers

BITS_64 = range(-(2**63), 2**63)
MOST_DIGITS = 19  # of an integer of 64 bits; Python refuses to read thousands
NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}  # what a write is refused with on a full disk, without a name
NO_STAGE = ""  # in the place of a stage's name, for files that no stage of params.yaml makes

# What the readers of JSON, .npy and .npz raise for damaged bytes.
_DAMAGE = (
    *(OSError, ValueError, TypeError, EOFError, RuntimeError, MemoryError, OverflowError),
    *(tokenize.TokenError, zipfile.BadZipFile, zlib.error),
)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`, with its suffixes; what the block writes there replaces `path` at the end.

    A missing parent folder is made. If the block raises, `path` keeps what it held.
    Raises: UserError when the folder cannot be written or the disk is full.
    """
    with _said_of(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=f".tmp.{path.name}")
        os.close(handle)
    temporary = Path(name)
    try:
        try:
            yield temporary
        except OSError as error:  # of another file that the block reads, it says nothing of `path`
            if error.errno not in NO_SPACE and error.filename not in (name, temporary):
                raise
            raise _unwritable(path, error) from error
        with _said_of(path):
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
            _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _said_of(path: Path) -> Iterator[None]:
    """What the system refuses becomes a UserError that `path` could not be written."""
    try:
        yield
    except OSError as error:
        raise _unwritable(path, error) from error


def _sync_folder(folder: Path) -> None:
    """Syncs a rename to the disk, so that it survives a loss of power; not every file system can do that."""
    opened = os.open(folder, os.O_RDONLY)
    with suppress(OSError):
        os.fsync(opened)
    os.close(opened)


def write_bytes(path: Path, content: bytes) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_output(path: Path, content: bytes) -> None:
    """Writes where the user says: a link is followed, and a pipe or a device is written to instead of being replaced.

    Raises: UserError when that cannot be done.
    """
    if not path.exists() or path.is_file() or path.is_dir():
        write_bytes(Path(os.path.realpath(path)) if path.is_symlink() else path, content)
        return
    with _said_of(path):
        path.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode())


def read_bytes_if_any(path: Path) -> bytes | None:
    """What `path` holds; None when there is no such file. Raises: UserError when it cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(path, error) from error


def remove(path: Path) -> None:
    """Deletes the file `path` if there is one. Raises: UserError when it cannot be deleted."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{path} could not be deleted: {error.strerror or error}") from error


def json_bytes(value: object) -> bytes:
    """JSON with sorted keys and a final newline. Raises: ValueError for NaN and infinities, which JSON lacks."""
    return (json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n").encode()


def write_json(path: Path, value: object) -> None:
    write_bytes(path, json_bytes(value))


def npy_bytes(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def write_npy(path: Path, array: np.ndarray) -> None:
    write_bytes(path, npy_bytes(array))


def write_folder(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Writes `contents` by their paths below `folder`, and deletes all else there, so that nothing stale remains.

    Raises: UserError when the folder cannot be cleared or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(folder.rglob("*"), reverse=True):  # a folder comes after what is in it
            if path.is_dir() and not path.is_symlink():
                if not any(path.iterdir()):
                    path.rmdir()
            elif path.relative_to(folder).as_posix() not in contents:
                path.unlink()
    except OSError as error:
        raise UserError(f"{folder} could not be cleared: {error.strerror or error}") from error
    for name, content in contents.items():
        write_bytes(folder / name, content)


def npz_bytes(arrays: Mapping[str, np.ndarray]) -> bytes:
    """An uncompressed .npz, as `np.savez` writes it, but for what the bytes there depend on.

    Entries have no time. Nor do they have the fields of a zip file beyond 4 GB, which `np.savez` asks for: patch
    releases of Python (3.11.2 and 3.11.7) write these differently, and the same arrays would have other bytes.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            entry = io.BytesIO()
            np.lib.format.write_array(entry, np.asanyarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), entry.getvalue())
    return buffer.getvalue()


def csv_bytes(header: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return buffer.getvalue().encode()


def parse_json(text: str | bytes) -> Any:  # noqa: ANN401 - whatever JSON holds
    """The value of a JSON text in UTF-8, whose numbers are finite: Python reads NaN, infinities and all that overflows.

    An integer beyond 64 bits is read as a float. Raises: ValueError.
    """
    try:
        value = json.loads(text, parse_int=_whole)
        problem = next(other_than_numbers(value), None)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if problem is not None:
        raise ValueError(problem)
    return value


def _whole(digits: str) -> int | float:
    value = int(digits) if len(digits) <= MOST_DIGITS + 1 else 2**63
    return value if value in BITS_64 else float(digits)


def read_json(
    path: Path, *, made_by: str, keys: Sequence[str] | Mapping[str, Shape] | Every | All = ()
) -> dict[str, Any]:
    """The JSON object in `path`. keys: those that it has, or their shapes (digit_vae.base.shapes).

    Raises: UserError that says how to come by the file, as `existing` and `damaged` do.
    """
    shape = keys if isinstance(keys, Mapping | Every | All) else dict.fromkeys(keys, object)
    try:
        value: dict[str, Any] = parse_json(existing(path, made_by=made_by).read_text(encoding="utf-8"))
    except _DAMAGE as error:
        raise damaged(path, made_by, error) from error
    for problem in misfits(value, shape):
        raise damaged(path, made_by, problem)
    return value


def read_npy(path: Path, *, made_by: str) -> np.ndarray:
    """The array in `path`, memory-mapped and read-only. Raises: UserError naming `made_by`, its stage."""
    try:
        return np.lib.format.open_memmap(existing(path, made_by=made_by), mode="r")
    except _DAMAGE as error:
        raise damaged(path, made_by, error) from error


def read_npz(path: Path, *, made_by: str, shapes: Mapping[str, ArrayShape] | None = None) -> dict[str, np.ndarray]:
    """The arrays in `path` by name. shapes: of those that are read (digit_vae.base.shapes).

    Raises: UserError naming `made_by`, its stage.
    """
    try:
        with existing(path, made_by=made_by).open("rb") as opened, np.load(opened, allow_pickle=False) as arrays:
            found = dict(arrays)
    except _DAMAGE as error:
        raise damaged(path, made_by, error) from error
    for problem in array_misfits(found, shapes or {}):
        raise damaged(path, made_by, problem)
    return found


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of(value: Mapping[str, object]) -> str:
    """SHA-256 of the canonical JSON of `value`."""
    return hashlib.sha256(json_bytes(value)).hexdigest()


def existing(path: Path, *, made_by: str) -> Path:
    """`path`, which has to be a file that may be read.

    made_by: what DVC calls the stage that makes it, or another command, or NO_STAGE. Raises: UserError that says how to
    come by the file.
    """
    if not path.is_file():
        raise UserError(f"{path} is missing: {_remedy(path, made_by, '`{}` makes it')}")
    return readable(path)


def readable(path: Path) -> Path:
    """`path`, which may be read. Raises: UserError with what the system says: the file need not be damaged."""
    try:
        path.open("rb").close()
    except OSError as error:
        raise _unreadable(path, error) from error
    return path


def damaged(path: Path, made_by: str, reason: object) -> UserError:
    """The error for a file that is not what it has to be. made_by: as of `existing`."""
    return UserError(
        f"{path} is damaged ({reason}): {_remedy(path, made_by, 'delete it and run `{}` to make it again')}"
    )


def _remedy(path: Path, made_by: str, otherwise: str) -> str:
    """How to come by the file again: from git, if that has it."""
    if git.has_other(path):
        return f"`git checkout HEAD -- {path}` brings the committed one back"
    if made_by == NO_STAGE:
        return "no stage of params.yaml makes it"
    return otherwise.format(made_by if " " in made_by else f"dvc repro {made_by}")


def _unwritable(path: Path, error: OSError) -> UserError:
    return UserError(f"{path} could not be written: {error.strerror or error}")


def _unreadable(path: Path, error: OSError) -> UserError:
    return UserError(f"{path} could not be read: {error.strerror or error}")
