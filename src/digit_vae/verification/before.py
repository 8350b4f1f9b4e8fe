"""What a commit has, and which files are other ones now: git's answers for `digit-vae changes`."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from digit_vae.base.errors import UserError
from digit_vae.base.files import read_bytes_if_any


class Change(NamedTuple):
    """A file that is not as it was. None: it was not there, or is not there now."""

    path: str
    before: bytes | None
    now: bytes | None


def branched_off(reference: str) -> str:
    """The commit at which HEAD left `reference`: what came there since is not a change of this branch.

    Raises: UserError when git knows no such commit, or none that both come from.
    """
    found = _git("merge-base", reference, "HEAD", "--")
    if found.returncode:
        raise UserError(
            f"--base: expected a branch or commit of this repository, fetched whole; received {reference!r}"
        )
    return found.stdout.decode().strip()


def head() -> str:
    """The commit that is checked out."""
    return _printed("rev-parse", "HEAD").decode().strip()


def project_folder() -> str:
    """Where the working folder is in its repository: "" in the root, or such as "vae/"."""
    return os.fsdecode(_printed("rev-parse", "--show-prefix").removesuffix(b"\n"))


def content(commit: str, path: str) -> bytes | None:
    """The file in that commit; None where it has none. Raises: UserError when git cannot read what the commit has."""
    entry = _printed("--literal-pathspecs", "ls-tree", "-z", commit, "--", path)
    if not entry:
        return None
    _, kind, name = entry.partition(b"\t")[0].split()
    return _printed("cat-file", "blob", name.decode()) if kind == b"blob" else None


def changes_since(commit: str) -> Iterator[Change]:
    """The files below the working folder, tracked or new, that are not as in `commit`, by their paths in order.

    Raises: UserError when git cannot compare, or a file cannot be read.
    """
    # The project may lie in a folder of a larger repository: paths are told from here, not from that one's root.
    tracked = _printed("diff", "--relative", "--name-only", "--no-renames", "-z", commit, "--")
    new = _printed("ls-files", "--others", "--exclude-standard", "-z")
    for name in sorted({*tracked.split(b"\0"), *new.split(b"\0")} - {b""}):
        path = name.decode(errors="surrogateescape")
        yield Change(path, content(commit, path), read_bytes_if_any(Path(path)) if Path(path).is_file() else None)


def _printed(*arguments: str) -> bytes:
    """What git prints. Raises: UserError where it fails: what it cannot tell is not what did not change."""
    done = _git(*arguments)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        raise UserError(f"`git {' '.join(arguments)}` failed: {said}")
    return done.stdout


def _git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Raises: UserError where there is no git."""
    try:
        return subprocess.run(["git", *arguments], capture_output=True, check=False)
    except FileNotFoundError as error:
        raise UserError("git was not found: what changed is known from its commits alone") from error
