"""What a commit has, and which files are other ones now: git's answers for `digit-vae changes`."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from digit_vae.base import git
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
    head()  # where there is no git or no commit, that is what is wrong, and not the reference
    if not (found := git.said("merge-base", reference, "HEAD", "--")):
        raise UserError(
            f"--base: expected a branch or commit of this repository, fetched whole; received {reference!r}"
        )
    return found


def head() -> str:
    """The commit that is checked out."""
    return git.answer("rev-parse", "HEAD").decode().strip()


def project_folder() -> str:
    """Where the working folder is in its repository: "" in the root, or such as "vae/"."""
    return os.fsdecode(git.answer("rev-parse", "--show-prefix").removesuffix(b"\n"))


def content(commit: str, path: str) -> bytes | None:
    """The file in that commit; None where it has none. Raises: UserError when git cannot read what the commit has."""
    entry = git.answer("--literal-pathspecs", "ls-tree", "-z", commit, "--", path)
    if not entry:
        return None
    _, kind, name = entry.partition(b"\t")[0].split()
    return git.answer("cat-file", "blob", name.decode()) if kind == b"blob" else None


def changes_since(commit: str, takes_new: Callable[[Path], bool]) -> Iterator[Change]:
    """The files below the working folder that are not as in `commit`, by their paths in order.

    takes_new: which of those that git does not track; others, such as somebody's film, are not even read.
    Raises: UserError when git cannot compare, or a file cannot be read.
    """
    # The project may lie in a folder of a larger repository: paths are told from here, not from that one's root.
    tracked = git.answer("diff", "--relative", "--name-only", "--no-renames", "-z", commit, "--")
    new = git.answer("ls-files", "--others", "--exclude-standard", "-z")
    taken = (name for name in new.split(b"\0") if takes_new(Path(os.fsdecode(name))))
    for name in sorted({*tracked.split(b"\0"), *taken} - {b""}):
        path = os.fsdecode(name)
        yield Change(path, content(commit, path), read_bytes_if_any(Path(path)) if Path(path).is_file() else None)
