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


def has(path: Path) -> bool:
    """Whether git has the file, or something below the folder, here or not."""
    return bool(said("--literal-pathspecs", "ls-files", "--", str(path)))
