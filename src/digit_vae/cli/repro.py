"""`digit-vae repro` and `digit-vae beyond`: bring runs and reports up to date, with the runs side by side."""

import argparse
from collections.abc import Sequence

from digit_vae.base.arguments import parser_of
from digit_vae.cli.launching import add_options, begin, cluster_address
from digit_vae.config.loading import load_params
from digit_vae.config.runs import find_run, runs
from digit_vae.driver.reproduce import reproduce

DOES = {
    "repro": "Brings the paper's graph up to date, with the runs side by side.",
    "beyond": "Brings the paper's graph and the runs that go beyond it up to date, side by side.",
}
ALL = {"repro": "all of the paper's graph", "beyond": "all of both graphs"}
EXAMPLES = """\
  digit-vae {command}                         # on all cores of this machine
  digit-vae {command} --jobs 1                # one run at a time
  digit-vae {command} --address auto          # on the Ray cluster that `ray start` started here
  digit-vae {command} --anew                  # also trains runs of which only git's results are here
  digit-vae {command} --runs {run}  # this run alone, without what is made of all runs"""
RUN = {"repro": "dropout-fold3-0", "beyond": "improved-full-0"}


def parser(command: str) -> argparse.ArgumentParser:
    made = parser_of(command, DOES[command], examples=EXAMPLES.format(command=command, run=RUN[command]))
    add_options(made, anew="make here what is not here, even where all that git has fits")
    only = f"only these runs, of either graph (default: {ALL[command]})"
    made.add_argument("--runs", nargs="+", metavar="RUN", help=only)
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    bring_up_to_date("repro", arguments)


def beyond_main(arguments: Sequence[str] | None = None) -> None:
    bring_up_to_date("beyond", arguments)


def bring_up_to_date(command: str, arguments: Sequence[str] | None) -> None:
    """What the command's line asks for. Raises: UserError when it names a run that there is not, or a run fails."""
    begin()
    given = parser(command).parse_args(arguments)
    params = load_params()
    chosen = runs(params, "paper" if command == "repro" else None)
    if given.runs:
        chosen = tuple(find_run(params, name) for name in dict.fromkeys(given.runs))
    address, named = cluster_address(given.address), bool(given.runs)
    # A run that is named is wanted here.
    reproduce(params, chosen, whole=not named, anew=given.anew or named, jobs=given.jobs, address=address)
