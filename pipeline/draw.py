"""Stage `draw`: the figures of a graph that need more than the committed JSON files: arrays of its trained runs.

python -m pipeline.draw paper
"""

import argparse

from digit_vae.base.command import run
from digit_vae.base.files import write_folder
from digit_vae.base.paths import pictures as folder
from digit_vae.config.loading import load_params
from digit_vae.config.runs import GRAPHS
from digit_vae.data.arrays import read_listed
from digit_vae.report.figures import png_bytes
from digit_vae.report.sample_figures import pictures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("graph", choices=GRAPHS)
    graph = parser.parse_args().graph
    labels, _ = read_listed("test_labels.npy")
    drawn = pictures(load_params(), graph, labels)
    write_folder(folder(graph), {f"{name}.png": png_bytes(figure) for name, figure in drawn.items()})


if __name__ == "__main__":
    run(main)
