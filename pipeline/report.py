"""Stage `report`: the pages of a graph with their tables and figures, made of the committed JSON files alone.

python -m pipeline.report paper
"""

import argparse

from digit_vae.base.command import run
from digit_vae.config.loading import load_params
from digit_vae.config.runs import GRAPHS
from digit_vae.report.chapters import write_report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("graph", choices=GRAPHS)
    write_report(load_params(), parser.parse_args().graph)


if __name__ == "__main__":
    run(main)
