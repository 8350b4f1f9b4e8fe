"""`digit-vae track` brings into MLflow what it lacks; `digit-vae verify-tracking` compares MLflow with the files.

A second `track` changes nothing. `verify-tracking` changes no run, and fails where MLflow claims what the files
do not say.
"""

from collections.abc import Sequence

from digit_vae.base.arguments import parser_of
from digit_vae.base.errors import UserError
from digit_vae.base.progress import Elapsed, say
from digit_vae.config.loading import load_params
from digit_vae.tracking.audit import INCOMPLETE, PRESENT, STATES, Audited, audit
from digit_vae.tracking.reading import read_project
from digit_vae.tracking.store import NoStoreError, Store, project_root
from digit_vae.tracking.sync import sync

SHOWN = 3  # of what a run lacks


def main(argv: Sequence[str] | None = None) -> None:
    """Brings in every run that params.yaml declares, whose files are there, and every recorded benchmark."""
    parser_of("track", main.__doc__).parse_args(argv)
    track()


def verify_main(argv: Sequence[str] | None = None) -> None:
    """Says which runs in MLflow are of the present files, and fails where one claims what the files do not say."""
    parser_of("verify-tracking", verify_main.__doc__).parse_args(argv)
    verify()


def track() -> None:
    """Makes MLflow agree with the files, and says in one line what it did. Some runs take seconds, all of them half a
    minute: a terminal has a bar.
    """
    project = read_project(load_params())
    say(f"MLflow is brought up to date with the files of {len(project.records)} runs")
    synced = sync(Store(project_root()), project.records, project.groups, Elapsed().show)
    of = f"{len(project.runs)} runs and {len(project.benchmarks)} of benchmarks"
    of = f"{of}, {len(project.trials)} trials of the search" if project.trials else of
    parts = [f"MLflow has {of}, {len(synced.brought)} of them brought in just now"]
    if synced.killed:
        parts.append(f"closed as killed: {', '.join(synced.killed)}")
    if project.missing:
        parts.append(f"not trained yet: {', '.join(project.missing)}")
    print("; ".join(parts))


def verify() -> None:
    """Says how each run in MLflow relates to the files. Raises: UserError when one claims what they do not say."""
    project = read_project(load_params())
    try:
        audited = audit(Store(project_root(), making=False), project.records, project.groups)
    except NoStoreError:
        audited = []
    for state in STATES:
        of_state = sorted(f"{each.run} ({each.run_id[:8]})" for each in audited if each.state == state)
        shown = of_state if state != PRESENT else []  # the others are those that somebody looks for
        print(f"{len(of_state)} {state}{': ' if shown else ''}{', '.join(shown)}")
    held = {each.run for each in audited if each.state in (PRESENT, INCOMPLETE)}
    absent = sorted({record.name for record in project.records} - held)
    shown = absent if audited else []  # of an empty store it is all of them
    advice = ", `make track` brings them in" if absent else ""
    print(f"{len(absent)} not there{advice}{': ' if shown else ''}{', '.join(shown)}")
    _complain(audited)


def _complain(audited: Sequence[Audited]) -> None:
    for each in audited:
        if each.lacking:
            more = f" and {len(each.lacking) - SHOWN} more" if len(each.lacking) > SHOWN else ""
            lacking = f"{', '.join(each.lacking[:SHOWN])}{more}"
            print(f"{each.run} ({each.run_id}) lacks {lacking}: `make track` completes it")
    false = [each for each in audited if each.false_claims]
    for each in false:
        print(*(f"{each.run} ({each.run_id}) claims {claim}" for claim in each.false_claims), sep="\n")
    if false:
        raise UserError(
            f"{len(false)} of {len(audited)} runs in MLflow claim what the files do not say (see above): `make track` "
            "marks and closes those that are stale; delete the others in MLflow, and it brings them in anew"
        )
