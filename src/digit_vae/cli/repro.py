"""`digit-vae repro` and `digit-vae beyond`: bring runs and reports up to date, with the runs side by side."""

import argparse
import os
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from digit_vae.base.arguments import whole
from digit_vae.base.orphans import die_with_parent
from digit_vae.config.loading import load_params
from digit_vae.config.runs import find_run, runs
from digit_vae.driver.reproduce import reproduce

MOST_JOBS = 10_000
DOES = {
    "repro": "Brings the paper's graph up to date, with the runs side by side.",
    "beyond": "Brings the paper's graph and the runs that go beyond it up to date, side by side.",
}
EXAMPLES = """\
examples:
  digit-vae {command}                            # on all cores of this machine
  digit-vae {command} --jobs 1                   # one run at a time
  digit-vae {command} --address auto             # on the Ray cluster that `ray start` started here
  digit-vae {command} --anew                     # also trains runs of which only git's results are here
  digit-vae repro --runs dropout-fold3-0          # this run alone, without what is made of all runs"""


def parser(command: str = "repro") -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        f"digit-vae {command}",
        description=DOES[command],
        epilog=EXAMPLES.format(command=command),
        formatter_class=argparse.RawTextHelpFormatter,
    )
    made.add_argument("--jobs", type=whole(1, MOST_JOBS), help="how many runs at once (default: one a core)")
    made.add_argument("--address", help="a Ray cluster: auto, or such as 10.0.0.1:6379 (default: one for this call)")
    made.add_argument(
        "--anew", action="store_true", help="make here what is not here, even where all that git has fits"
    )
    which = made.add_mutually_exclusive_group()
    which.add_argument("--beyond", action="store_true", help="all runs, those beyond the paper too")
    which.add_argument("--runs", nargs="+", metavar="RUN", help="only these runs (default: all of the paper's graph)")
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    if not is_to_outlive_its_parent():
        die_with_parent()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: CI stops things so
    given = parser("beyond" if arguments and arguments[0] == "--beyond" else "repro").parse_args(arguments)
    params = load_params()
    chosen = runs(params, None if given.beyond else "paper")
    if given.runs:
        chosen = tuple(find_run(params, name) for name in dict.fromkeys(given.runs))
    address = None
    if given.address:
        from digit_vae.driver.cluster import found_address  # Ray takes a second to import

        address = found_address(given.address)
    # A run that is named is wanted here.
    reproduce(
        params, chosen, whole=not given.runs, anew=given.anew or bool(given.runs), jobs=given.jobs, address=address
    )


def is_to_outlive_its_parent() -> bool:
    """Whether the user asked for it: with setsid, or with nohup for this process itself (not for `make` around it)."""

    def ignores_hangup(pid: int) -> bool:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
        [mask] = re.findall(r"^SigIgn:\s*(\w+)$", status, re.MULTILINE)
        return bool(int(mask, 16) & 1 << signal.SIGHUP - 1)

    if sys.platform != "linux":
        return True
    return os.getsid(0) == os.getpid() or (ignores_hangup(os.getpid()) and not ignores_hangup(os.getppid()))
