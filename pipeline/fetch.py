"""Stage `fetch`: brings the four files of the data set into data/raw, and says in reports/dataset.json what they are.

    python -m pipeline.fetch

Known data sets come from the first source that delivers them intact. Own images are read from `fetch.folder`.
"""

import argparse
import functools
from pathlib import Path

from digit_vae.base.command import run as run_stage
from digit_vae.base.files import write_bytes, write_json
from digit_vae.base.paths import DATASET, RAW
from digit_vae.config.loading import load_params
from digit_vae.config.schema import FetchParams
from digit_vae.data.datasets import KNOWN, Description, check_recorded, read_description
from digit_vae.data.download import Limits
from digit_vae.data.own import own_description, read_own
from digit_vae.data.sources import fetch, sources


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    params = load_params().fetch
    recorded = read_description() if DATASET.is_file() else None
    found = fetch_known(params, recorded) if params.dataset in KNOWN else fetch_own(params, recorded)
    write_json(DATASET, found.content())


def fetch_known(params: FetchParams, recorded: Description | None) -> Description:
    known = KNOWN[params.dataset].with_recorded(recorded)
    fetch(RAW, sources(params), files=known.files, report=functools.partial(print, flush=True))
    return known.measured(RAW)


def fetch_own(params: FetchParams, recorded: Description | None) -> Description:
    own = read_own(Path(str(params.folder)), Limits(params.maximum_bytes, params.timeout_seconds))
    found, contents = own_description(own, recorded)
    check_recorded(recorded, found)
    for name, content in contents.items():
        write_bytes(RAW / name, content)
    print(f"{len(own.arrays.train_images)} training and {len(own.arrays.test_images)} test images, ", end="")
    print(f"{len(found.classes)} classes" if found.classes else "no labels", end="")
    print(f"; {own.hidden} hidden files were left out" if own.hidden else "")
    return found


if __name__ == "__main__":
    run_stage(main)
