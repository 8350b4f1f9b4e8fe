"""Stage `evaluate_<study>@<run>`: measures a trained run on its validation images and on the test images.

    python -m pipeline.evaluate baseline-full-0

Also what its latent space tells of the classes, and what the classifier says of its images.
"""

import argparse
from pathlib import Path

from digit_vae.base.command import run as run_stage
from digit_vae.base.files import remove, write_bytes
from digit_vae.base.orphans import die_with_parent
from digit_vae.base.paths import RunFiles
from digit_vae.base.provenance import git_commit
from digit_vae.config.loading import load_params
from digit_vae.config.runs import find_run
from digit_vae.data.arrays import read_arrays, read_held_out
from digit_vae.evaluation.run import evaluate_run
from digit_vae.tracking.mirror import mirror_evaluation


def main() -> None:
    die_with_parent()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="a run of params.yaml's studies, such as baseline-full-0")
    params = load_params()
    run = find_run(params, parser.parse_args().run)
    held_out, _ = read_held_out(run)
    for path, content in evaluate_run(params, run, Path(), read_arrays(), held_out, git_commit()).items():
        write_bytes(path, content)
    remove(RunFiles(run.graph, run.name).checkpoint)  # DVC has recorded the training by now
    mirror_evaluation(run.name)


if __name__ == "__main__":
    run_stage(main)
