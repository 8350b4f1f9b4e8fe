"""What git says of the working folder."""

import subprocess
from pathlib import Path

from digit_vae.base.errors import UserError


def said(*arguments: str) -> str | None:
    """What git prints; None where it fails or is missing."""
    try:
        done = _git(*arguments)
    except FileNotFoundError:
        return None
    return None if done.returncode else done.stdout.decode(errors="surrogateescape").strip()


def answer(*arguments: str) -> bytes:
    """What git prints, to the byte. Raises: UserError where it fails or is missing: no answer is not an empty one."""
    try:
        done = _git(*arguments)
    except FileNotFoundError as error:
        raise UserError("git was not found: what changed is known from its commits alone") from error
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip()
        raise UserError(f"`git {' '.join(arguments)}` failed: {reason or f'status {done.returncode}'}")
    return done.stdout


def has_other(path: Path) -> bool:
    """Whether git has the file otherwise than it is here: changed, deleted or in conflict."""
    return bool(said("--literal-pathspecs", "ls-files", "--modified", "--", str(path)))


def _git(*arguments: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(["git", *arguments], capture_output=True, check=False)
