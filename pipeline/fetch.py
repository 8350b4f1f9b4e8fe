"""Stage `fetch`: brings the four MNIST files into data/raw, from the first source that delivers them intact.

    python -m pipeline.fetch
"""

import argparse
from functools import partial

from digit_vae.base.command import run as run_stage
from digit_vae.base.paths import RAW
from digit_vae.config.loading import load_params
from digit_vae.data import sources


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    where = sources.sources(load_params().fetch)
    sources.fetch(RAW, where, files=sources.FILES, report=partial(print, flush=True))


if __name__ == "__main__":
    run_stage(main)
