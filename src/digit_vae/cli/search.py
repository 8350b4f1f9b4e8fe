"""`digit-vae search`: seeks a better recipe for the paper's layers, by single runs that one fold's images judge."""

import argparse
from collections.abc import Sequence
from dataclasses import asdict

import yaml

from digit_vae.base.arguments import parser_of, whole
from digit_vae.base.paths import SEARCH
from digit_vae.cli.launching import add_options, begin, cluster_address
from digit_vae.config.loading import load_params
from digit_vae.config.schema import Params
from digit_vae.search.record import Search, Trial, best, loss_of

VARIANT = "searched"  # what the chosen recipe is called as a variant
EXAMPLES = f"""\
  digit-vae search               # all trials of params.yaml's section search that {SEARCH} lacks
  digit-vae search --trials 6    # six more, for a limited time
  digit-vae search --trials 0    # none: checks what is recorded, and shows the best; the data have to be there
  digit-vae search --anew        # without the trials that are recorded"""


def parser() -> argparse.ArgumentParser:
    made = parser_of("search", __doc__, examples=EXAMPLES)
    made.add_argument("--trials", type=whole(0, 1000), metavar="N", help="at most so many more (default: all)")
    add_options(made, anew="begin without the trials that are recorded")
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    begin()
    given = parser().parse_args(arguments)
    params = load_params()
    from digit_vae.driver.search import search  # it imports Ray and Optuna, which take seconds

    address = cluster_address(given.address)
    found = search(params, jobs=given.jobs, address=address, more=given.trials, anew=given.anew)
    print(said(params, found))


def said(params: Params, found: Search) -> str:
    """How far the search is, its best trial and, once it is complete, that trial as a variant of params.yaml."""
    failed = sum(trial.result is None for trial in found.trials)
    lines = [f"{len(found.trials)} of {params.search.trials} trials are in {SEARCH}, {failed} of them without a result"]
    if (chosen := best(found.trials)) is None:
        return lines[0]
    loss = f"{loss_of(chosen):.2f} nats on the validation images of {params.search.fold}"
    lines.append(f"the best is trial {chosen.number}: {loss}")
    if len(found.trials) >= params.search.trials:
        lines += ["as a variant of params.yaml:", "", variant(params, chosen)]
    return "\n".join(lines)


def variant(params: Params, chosen: Trial) -> str:
    """The lines of section variants: what the trial has in place of the values of section train."""
    train = asdict(params.train)
    changed = {option: value for option, value in (train | chosen.options).items() if value != train[option]}
    text: str = yaml.safe_dump({VARIANT: changed}, sort_keys=False)
    return "".join(f"  {line}" for line in text.splitlines(keepends=True)).rstrip()
