"""Shared by the commands that spread trainings over cores and machines: their options, and how they begin and end."""

import argparse
import os
import re
import signal
import sys
from pathlib import Path

from digit_vae.base.arguments import whole
from digit_vae.base.orphans import die_with_parent

MOST_JOBS = 10_000


def add_options(parser: argparse.ArgumentParser, *, anew: str) -> None:
    """anew: what the option --anew is for."""
    parser.add_argument("--jobs", type=whole(1, MOST_JOBS), help="how many at once (default: one a core)")
    parser.add_argument("--address", help="a Ray cluster: auto, or such as 10.0.0.1:6379 (default: one for this call)")
    parser.add_argument("--anew", action="store_true", help=anew)


def begin() -> None:
    """Ends with its parent, unless the user asked otherwise, and takes SIGTERM for Ctrl-C: CI stops things so."""
    if not is_to_outlive_its_parent():
        die_with_parent()
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def cluster_address(given: str | None) -> str | None:
    """The cluster that --address names, once it answers. Raises: UserError."""
    if not given:
        return None
    from digit_vae.driver.cluster import found_address  # Ray takes a second to import

    return found_address(given)


def is_to_outlive_its_parent() -> bool:
    """Whether the user asked for it: with setsid, or with nohup for this process itself (not for `make` around it)."""

    def ignores_hangup(pid: int) -> bool:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
        [mask] = re.findall(r"^SigIgn:\s*(\w+)$", status, re.MULTILINE)
        return bool(int(mask, 16) & 1 << signal.SIGHUP - 1)

    if sys.platform != "linux":
        return True
    return os.getsid(0) == os.getpid() or (ignores_hangup(os.getpid()) and not ignores_hangup(os.getppid()))
