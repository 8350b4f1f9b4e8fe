"""Stage `compare`: what the variants of each study are worth over the folds, and how far they are from each other.

Reads the metrics of the runs that params.yaml declares and writes one JSON a study that compares variants on folds.

    python -m pipeline.compare paper
"""

import argparse

from digit_vae.analysis.fold_comparison import fold_studies
from digit_vae.analysis.results import read_results
from digit_vae.base.command import run
from digit_vae.base.files import json_bytes, write_folder
from digit_vae.base.paths import comparisons
from digit_vae.config.loading import load_params
from digit_vae.config.runs import GRAPHS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("graph", choices=GRAPHS)
    graph = parser.parse_args().graph
    studies = fold_studies(read_results(load_params(), graph), graph)
    write_folder(comparisons(graph), {f"{each.name}.json": json_bytes(each.compare()) for each in studies})


if __name__ == "__main__":
    run(main)
