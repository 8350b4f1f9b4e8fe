"""Stage `fetch`: brings the four MNIST files into data/raw, from the first source that delivers them intact.

python -m pipeline.fetch
"""

import argparse
import functools

from digit_vae.base.command import run as run_stage
from digit_vae.base.paths import RAW
from digit_vae.config.loading import load_params
from digit_vae.data.mnist import MNIST
from digit_vae.data.sources import fetch, sources


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    fetch(RAW, sources(load_params().fetch), files=MNIST, report=functools.partial(print, flush=True))


if __name__ == "__main__":
    run_stage(main)
