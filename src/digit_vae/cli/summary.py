"""`digit-vae summary`: writes reports/README.md and the numbers of README.md from the committed results."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from digit_vae.report.summary import write_summary


def main(arguments: Sequence[str] | None = None) -> None:
    argparse.ArgumentParser(prog="digit-vae summary", description=__doc__).parse_args(arguments)
    write_summary(Path())
    print("wrote reports/README.md and the results of README.md")
