"""Stage `fetch`: brings the four MNIST files into data/raw, from the first source that delivers them intact.

python -m pipeline.fetch
"""

import argparse
import functools
import sys
from pathlib import Path

from digit_vae.config.params import load_params

from digit_vae.base.errors import exit_status
from digit_vae.data import sources as mnist

RAW = Path("data/raw")


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    sources = mnist.sources(load_params().fetch)
    mnist.fetch(RAW, sources, files=mnist.FILES, report=functools.partial(print, flush=True))


if __name__ == "__main__":
    sys.exit(exit_status(main))
