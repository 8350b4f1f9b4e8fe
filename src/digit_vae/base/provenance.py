"""Which code a result comes from."""

import subprocess
from pathlib import Path

from digit_vae.base.files import sha256

CODE = ("pipeline", "src")
MADE = ("reports", "dvc.lock", "beyond/dvc.lock")  # the code makes them: they do not count as changes of it


def git_commit() -> str | None:
    """The commit of the working folder; None unless that is the root of a checkout.

    It ends in "-dirty" when tracked files other than results differ from the commit, or there is code that git neither
    tracks nor ignores.
    """
    root = _git("rev-parse", "--show-toplevel")
    if not root or Path(root).resolve() != Path.cwd().resolve():  # an archive, maybe within somebody's repository
        return None
    if commit := _git("rev-parse", "--verify", "--quiet", "HEAD"):
        changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", *(f":!{made}" for made in MADE))
        untracked = _git("ls-files", "--others", "--exclude-standard", "--", *CODE)
        return f"{commit}-dirty" if changed or untracked else commit
    return None


def _git(*arguments: str) -> str:
    """What git prints; nothing where it fails or is missing."""
    try:
        return subprocess.run(
            ["git", *arguments], capture_output=True, encoding="utf-8", errors="surrogateescape", check=False
        ).stdout.strip()
    except FileNotFoundError:
        return ""


def code_hashes(*folders: str) -> dict[str, str]:
    """SHA-256 of each module in or below these folders of the imported package, by its path in the package."""
    package = Path(__file__).parent.parent
    files = sorted(file for folder in folders for file in (package / folder).rglob("*.py"))
    return {file.relative_to(package).as_posix(): sha256(file) for file in files}
