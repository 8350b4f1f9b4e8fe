"""Which code a result comes from."""

import subprocess


def git_commit() -> str | None:
    """The commit of the working tree, with "-dirty" when tracked files differ from it; None outside a checkout."""
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--match="]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or None
    except FileNotFoundError:
        return None
