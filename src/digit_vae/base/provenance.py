"""Which code a result comes from."""

import subprocess
from pathlib import Path

from digit_vae.base.files import sha256

CODE = ("pipeline", "src")


def git_commit() -> str | None:
    """The commit of the working tree; None outside a checkout.

    It ends in "-dirty" when tracked files differ from it, or code is there that git neither tracks nor ignores. The
    certificate, which `make verify` removes and writes anew, is about the commit and not of it.
    """
    if commit := _git("rev-parse", "--verify", "--quiet", "HEAD"):
        changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!reports/certificate.*")
        untracked = _git("ls-files", "--others", "--exclude-standard", "--", *CODE)
        return f"{commit}-dirty" if changed or untracked else commit
    return None


def _git(*arguments: str) -> str:
    """What git prints; nothing where it fails or is missing."""
    try:
        return subprocess.run(["git", *arguments], capture_output=True, text=True, check=False).stdout.strip()
    except FileNotFoundError:
        return ""


def code_hashes(*folders: str) -> dict[str, str]:
    """SHA-256 of each module in these folders of the package that is in use, by its path in the package."""
    package = Path(__file__).parent.parent
    files = sorted(file for folder in folders for file in (package / folder).glob("*.py"))
    return {file.relative_to(package).as_posix(): sha256(file) for file in files}
