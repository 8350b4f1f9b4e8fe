"""The one exception for what a user can mend, and how a command ends when it meets it: without its secrets."""

import re
import sys
from collections.abc import Callable


class UserError(Exception):
    """A mistake or a missing thing that the user can mend: one sentence with what, where, expected and received."""


def exit_status(command: Callable[[], None]) -> int:
    """Runs `command` and returns its exit status; a `UserError` becomes one line on standard error, no traceback."""
    try:
        command()
    except UserError as error:
        print(f"error: {masked(str(error))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def masked(text: str) -> str:
    """`text` without the passwords and tokens of the addresses in it; what only may be one goes, too."""
    text = re.sub(r"://([^\s/:@]*):(?:\S*|[^/\n]*)@", r"://\1:***@", text)  # a blank may be in one, before any slash
    text = re.sub(r"://[^\s/:@]+@", "://***@", text)
    keys = "password|passwd|pwd|token|api_?key|secret"
    return re.sub(rf"((?:{keys})(?:=|%3D))[^&;\s]+", r"\1***", text, flags=re.IGNORECASE)
