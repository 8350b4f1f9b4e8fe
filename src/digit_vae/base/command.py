"""How stages and tools start and end: with the code of their own folder, and without tracebacks for mistakes."""

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import digit_vae
from digit_vae.base.errors import PIPE_CLOSED, UserError, exit_status

PACKAGE = Path("src/digit_vae")


def run(main: Callable[[], None], *, anywhere: bool = False) -> NoReturn:
    """Runs `main` and ends the process: with status 0, 1 after a `UserError` (one line), 130 after Ctrl-C, 141 where
    nobody reads its output any more.

    anywhere: whether the package in use may be another than that of the working folder; otherwise it is refused.
    """

    def checked() -> None:
        if not anywhere:
            check_code(Path.cwd())
        main()

    print_all_characters()
    status = exit_status(checked)
    if status == PIPE_CLOSED:  # what is still to be written at the end has nowhere to go
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(status)


def check_code(folder: Path) -> None:
    """Raises: UserError unless the imported package is the one in `folder`, the project's root.

    DVC hashes the code of the folder that it works in, so no other code may run there.
    """
    used, expected = Path(digit_vae.__file__).resolve().parent, (folder / PACKAGE).resolve()
    if not expected.is_dir():
        raise UserError(f"expected to be started in the project's root folder; received {folder}, without {PACKAGE}")
    if used != expected:
        raise UserError(
            f"the code in use is not that of this folder: expected {expected}, received {used}; run `make setup` in "
            f"{folder} and use its own .venv, or begin the command with PYTHONPATH=src"
        )


def print_all_characters() -> None:
    """Makes standard output and error escape characters that they cannot encode, instead of failing.

    One that was closed before the process began, as by `>&-`, becomes one that nobody reads.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - as long as the process
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
