"""What a commit has, and which files are other ones now: git's answers for `digit-vae changes`."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from digit_vae.base.errors import UserError


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
    if found is None:
        raise UserError(
            f"--base: expected a branch or commit of this repository, fetched whole; received {reference!r}"
        )
    return found.decode().strip()


def head() -> str:
    """The commit that is checked out."""
    return (_git("rev-parse", "HEAD") or b"").decode().strip()


def content(commit: str, path: str) -> bytes | None:
    """The file in that commit; None where it has none."""
    return _git("show", f"{commit}:{path}")


def changes_since(commit: str) -> Iterator[Change]:
    """The files, tracked or new, that are not as in `commit`, by their paths in order."""
    tracked = _git("diff", "--name-only", "--no-renames", "-z", commit, "--") or b""
    new = _git("ls-files", "--others", "--exclude-standard", "-z") or b""
    for name in sorted({*tracked.split(b"\0"), *new.split(b"\0")} - {b""}):
        path = name.decode(errors="surrogateescape")
        yield Change(path, content(commit, path), Path(path).read_bytes() if Path(path).is_file() else None)


def _git(*arguments: str) -> bytes | None:
    """What git prints; None where it fails. Raises: UserError where there is no git."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, check=False)
    except FileNotFoundError as error:
        raise UserError("git was not found: what changed is known from its commits alone") from error
    return None if done.returncode else done.stdout
