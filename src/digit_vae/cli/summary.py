"""`digit-vae summary`: writes reports/README.md and the numbers of README.md from the committed results."""

from collections.abc import Sequence
from pathlib import Path

from digit_vae.base.arguments import parser_of
from digit_vae.report.summary import write_summary


def main(arguments: Sequence[str] | None = None) -> None:
    parser_of("summary", __doc__).parse_args(arguments)
    write_summary(Path())
    print("wrote reports/README.md and the results of README.md")
