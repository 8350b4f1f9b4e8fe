"""Stage `draw`: the paper's figures that show what is too large for git: samples of its two runs.

python -m pipeline.draw
"""

import argparse

import numpy as np

from digit_vae.base.command import run
from digit_vae.base.files import write_folder
from digit_vae.base.paths import pictures
from digit_vae.config.loading import load_params
from digit_vae.data.arrays import read_listed
from digit_vae.data.datasets import described
from digit_vae.report.figures import png_bytes
from digit_vae.report.sample_figures import paper_figures


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    labels, _ = read_listed("test_labels.npy")
    drawn = paper_figures(load_params(), np.asarray(labels), described().classes)
    write_folder(pictures("paper"), {f"{name}.png": png_bytes(figure) for name, figure in drawn.items()})


if __name__ == "__main__":
    run(main)
