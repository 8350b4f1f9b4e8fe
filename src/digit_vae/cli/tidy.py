"""`digit-vae tidy`: moves the files of runs that params.yaml does not declare into leftovers/. Nothing is deleted.

So are committed weights of runs that its section publish does not list.
"""

from collections.abc import Sequence
from pathlib import Path

from digit_vae.analysis.results import undeclared_runs
from digit_vae.base.arguments import parser_of
from digit_vae.base.errors import UserError
from digit_vae.base.paths import LEFTOVERS
from digit_vae.config.loading import load_params


def main(arguments: Sequence[str] | None = None) -> None:
    parser_of("tidy", __doc__).parse_args(arguments)
    moved = [(folder, moved_away(folder)) for folder in undeclared_runs(load_params())]
    for folder, target in moved:
        print(f"moved {folder} to {target}")
    if not moved:
        print("there are no files but those of runs that params.yaml declares")


def moved_away(folder: Path) -> Path:
    """Moves `folder` below leftovers/, with a number added if there is one already. Returns its new place."""
    target = LEFTOVERS / folder
    further = 1
    while target.exists():
        further += 1
        target = LEFTOVERS / folder.with_name(f"{folder.name}.{further}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder.rename(target)
    except OSError as error:
        raise UserError(f"{folder} could not be moved to {target}: {error.strerror or error}") from error
    return target
