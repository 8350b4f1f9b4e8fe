"""Stage `power`: what repetitions of the folds can tell, simulated from the spread of the first one.

python -m pipeline.power
"""

import argparse

from digit_vae.analysis.repetitions import plan
from digit_vae.analysis.results import read_results
from digit_vae.base.command import run
from digit_vae.base.files import write_json
from digit_vae.base.paths import POWER
from digit_vae.config.loading import load_params


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    write_json(POWER, plan(read_results(load_params(), "beyond")))


if __name__ == "__main__":
    run(main)
