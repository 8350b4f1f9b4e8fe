"""What git says of the working folder."""

import subprocess
from pathlib import Path


def said(*arguments: str) -> str:
    """What git prints; nothing where it fails or is missing."""
    try:
        return subprocess.run(
            ["git", *arguments], capture_output=True, encoding="utf-8", errors="surrogateescape", check=False
        ).stdout.strip()
    except FileNotFoundError:
        return ""


def has_other(path: Path) -> bool:
    """Whether git has the file otherwise than it is here: changed, deleted or in conflict."""
    return bool(said("--literal-pathspecs", "ls-files", "--modified", "--", str(path)))
