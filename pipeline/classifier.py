"""Stage `classifier`: trains the classifier that judges what the autoencoders make, and measures it on the test images.

python -m pipeline.classifier
"""

import argparse

from digit_vae.base.command import run as run_stage
from digit_vae.base.files import write_bytes
from digit_vae.base.orphans import die_with_parent
from digit_vae.base.paths import CLASSIFIER_METRICS, CLASSIFIER_WEIGHTS
from digit_vae.base.progress import show
from digit_vae.config.loading import load_params
from digit_vae.data.arrays import read_arrays
from digit_vae.evaluation.classifier import make_classifier


def main() -> None:
    die_with_parent()
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    params = load_params().classifier

    def on_epoch(epoch: int, logs: dict[str, float], left_seconds: float) -> None:
        line = f"classifier epoch {epoch}/{params.epochs}  loss {logs['loss']:.4f}  accuracy {logs['accuracy']:.4f}"
        show(line, done=epoch / params.epochs, left_seconds=left_seconds)

    weights, metrics = make_classifier(params, read_arrays(), on_epoch)
    write_bytes(CLASSIFIER_WEIGHTS, weights)
    write_bytes(CLASSIFIER_METRICS, metrics)


if __name__ == "__main__":
    run_stage(main)
