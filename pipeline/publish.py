"""Stage `publish@<run>`: puts a run's weights where git has them, with how well it rebuilds the test images.

python -m pipeline.publish baseline-full-0
"""

import argparse

from digit_vae.base.command import run as run_stage
from digit_vae.base.files import existing, write_bytes
from digit_vae.base.paths import RunFiles
from digit_vae.config.loading import load_params
from digit_vae.config.runs import find_run
from digit_vae.model.device import select_device
from digit_vae.serving.trained import find_trained
from digit_vae.serving.typical import losses_file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="a run of params.yaml, section publish")
    run = find_run(load_params(), parser.parse_args().run)
    files = RunFiles(run.graph, run.name)
    for path in (files.encoder, files.decoder):
        write_bytes(files.published / path.name, existing(path, made_by=run.stages[0]).read_bytes())
    select_device("cpu")
    write_bytes(files.published / "losses.json", losses_file(find_trained(run.name)))


if __name__ == "__main__":
    run_stage(main)
