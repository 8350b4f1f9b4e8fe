"""How every stage and tool starts and ends."""

import sys
from collections.abc import Callable
from typing import NoReturn

from digit_vae.base.errors import exit_status


def run(main: Callable[[], None]) -> NoReturn:
    """Runs `main` and ends the process with its status."""
    sys.exit(exit_status(main))
