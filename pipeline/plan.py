"""Stage `plan`: writes the run matrix of params.yaml to runs.yaml, over which dvc.yaml and extended/dvc.yaml iterate.

DVC's templates cannot multiply a variant by its own splits, so the product is written out. DVC reads runs.yaml before
it runs anything: when this stage changes the file under a running `dvc repro`, it says to start that once more.

    python -m pipeline.plan          # as a stage: fails after a change, since the graph in use is then an old one
    python -m pipeline.plan --quiet  # ahead of `dvc repro`
"""

import argparse
import sys
from pathlib import Path

from digit_vae.errors import UserError, exit_status
from digit_vae.files import write_text
from digit_vae.params import Params, load_params, runs

RUNS = Path("runs.yaml")


def matrix(params: Params) -> str:
    """runs.yaml: for each run its variant and the file that says what it is validated on; extended runs apart."""
    lines = ["# Made by `python -m pipeline.plan` from the variants in params.yaml: edit them there."]
    for key, extended in {"runs": False, "extended": True}.items():
        chosen = runs(params, extended=extended)
        lines.append(f"{key}:" if chosen else f"{key}: {{}}")
        lines += [f"  {run.name}: {{variant: {run.variant}, validation: {run.validation_file}}}" for run in chosen]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quiet", action="store_true", help="a changed matrix is no error")
    arguments = parser.parse_args()
    planned = matrix(load_params())
    if RUNS.is_file() and RUNS.read_text() == planned:
        return
    write_text(RUNS, planned)
    if not arguments.quiet:
        raise UserError(f"{RUNS} now follows params.yaml, but the graph in use is the old one: run `dvc repro` again")


if __name__ == "__main__":
    sys.exit(exit_status(main))
