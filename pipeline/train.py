"""Stage `train_<study>@<run>`: trains one run and writes its weights, history and timings.

    python -m pipeline.train baseline-full-0

After each epoch a checkpoint has all that it takes to go on. Stage `evaluate` deletes it: DVC has recorded the training
by then.
"""

import argparse
from typing import Any

from digit_vae.base.command import run as run_stage
from digit_vae.base.files import read_bytes_if_any, write_bytes
from digit_vae.base.orphans import die_with_parent
from digit_vae.base.paths import RunFiles
from digit_vae.base.progress import show_event
from digit_vae.base.provenance import git_commit
from digit_vae.config.loading import load_params
from digit_vae.config.runs import find_run, run_params
from digit_vae.data.arrays import data_hashes, read_held_out, read_listed
from digit_vae.tracking.mirror import Mirror
from digit_vae.training.division import Images
from digit_vae.training.run import train_run


def main() -> None:
    die_with_parent()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="a run of params.yaml's studies, such as baseline-full-0")
    params = load_params()
    run = find_run(params, parser.parse_args().run)
    files, epochs = RunFiles(run.graph, run.name), run_params(params, run).epochs
    (train_images, _), (test_images, _) = read_listed("train_images.npy"), read_listed("test_images.npy")
    images = Images(train_images, read_held_out(run)[0], test_images)

    with Mirror() as mirror:

        def report(event: dict[str, Any]) -> None:
            if event["event"] == "checkpoint":
                write_bytes(files.checkpoint, event["content"])
                return
            mirror.send(event)
            show_event(event, epochs)

        saved = read_bytes_if_any(files.checkpoint)
        made = train_run(params, run, images, data=data_hashes(run), report=report, saved=saved, commit=git_commit())
        for path, content in made.items():
            write_bytes(path, content)
        mirror.send({"event": "end", "run": run.name})


if __name__ == "__main__":
    run_stage(main)
