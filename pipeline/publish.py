"""Stage `publish`: what it takes to check a run without having made it, copied to where git keeps it.

    python -m pipeline.publish

reports/published/<run>.history.json, .timings.json   byte for byte those of models/<run>/
reports/published/<run>.model.weights.h5              likewise, of plot.first_run alone: half a megabyte
reports/published/manifest.json                       that of data/processed/: the hash of every array and fold
"""

import argparse
import sys
from pathlib import Path

from digit_vae.errors import exit_status
from digit_vae.files import existing, write_folder
from digit_vae.params import Params, load_params, runs

MODELS = Path("models")
MANIFEST = Path("data/processed/manifest.json")
PUBLISHED = Path("reports/published")


def originals(params: Params) -> dict[str, tuple[Path, str]]:
    """For each published file by its name: the file that it is a copy of, and the stage that makes that one."""
    names = [(run.name, file) for run in runs(params) for file in ("history.json", "timings.json")]
    names.append((params.plot.first_run, "model.weights.h5"))
    return {f"{run}.{file}": (MODELS / run / file, f"train@{run}") for run, file in names} | {
        MANIFEST.name: (MANIFEST, "preprocess")
    }


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    files = originals(load_params())
    contents = {name: existing(path, made_by=stage).read_bytes() for name, (path, stage) in files.items()}
    write_folder(PUBLISHED, contents)


if __name__ == "__main__":
    sys.exit(exit_status(main))
