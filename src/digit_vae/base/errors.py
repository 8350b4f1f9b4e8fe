"""Mistakes that a user can correct, and how a command ends after one: with one line, without passwords."""

import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError

PIPE_CLOSED = 141  # what a shell calls a process that SIGPIPE has ended


class UserError(Exception):
    """A mistake that the user can correct: one sentence that says what, where, expected and received."""


def exit_status(command: Callable[[], None]) -> int:
    """Runs `command` and returns its exit status.

    A `UserError`, what the system refuses (a file that may not be read, a full disk), or a missing package becomes one
    line on standard error, without a traceback. Who no longer reads the output, as `| head` does, ends it quietly.
    """
    try:
        command()
    except UserError as error:
        _say(f"error: {masked(str(error))}")
        return 1
    except BrokenPipeError:
        return PIPE_CLOSED
    except OSError as error:
        said = f"{error.filename}: {error.strerror}" if error.filename is not None else str(error)
        _say(f"error: {masked(said)}")
        return 1
    except ModuleNotFoundError as error:
        if (error.name or "digit_vae").startswith("digit_vae"):
            raise  # a fault of this package
        _say(f"error: the package {error.name} is missing: `make setup` installs what is needed into .venv")
        return 1
    except KeyboardInterrupt:
        _say("interrupted")
        return 130
    return 0


def _say(line: str) -> None:
    if sys.stdout.isatty():
        print("\r\033[K", end="", flush=True)  # a progress bar may stand there
    print(line, file=sys.stderr)


def masked(text: str) -> str:
    """`text` without the passwords and tokens of its addresses; in doubt, it leaves out too much."""
    text = re.sub(r"://([^\s/:@]*):(?:\S*|[^/\n]*)@", r"://\1:***@", text)  # blanks may be in one, before any slash
    text = re.sub(r"://[^\s/:@]+@", "://***@", text)
    keys = "password|passwd|pwd|token|api_?key|secret"
    return re.sub(rf"((?:{keys})(?:=|%3D))[^&;\s]+", r"\1***", text, flags=re.IGNORECASE)


def first_misfit(error: "ValidationError") -> str:
    """The first thing that pydantic found otherwise: its place, what is wrong, and what was received."""
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"])) or "all of it"
    return f"{place}: {first['msg']}; received {first['input']!r:.80}"
