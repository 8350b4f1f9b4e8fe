"""Stage `classifier`: trains the classifier that judges what the autoencoders make, and measures it on the test images.

    python -m pipeline.classifier

Writes models/classifier/model.weights.h5 and reports/metrics/classifier.json.
"""

import argparse
import sys
import time
from pathlib import Path

import keras
import numpy as np
from threadpoolctl import threadpool_limits

from digit_vae.evaluation.classifier import frechet_distance, judge, train_classifier
from digit_vae.base.errors import UserError, exit_status
from digit_vae.base.files import read_listed_npy, replacing, write_json
from digit_vae.model.device import select_device
from digit_vae.base.orphans import die_with_parent
from digit_vae.config.params import ClassifierParams, load_params
from digit_vae.base.progress import show

PROCESSED = Path("data/processed")
WEIGHTS = Path("models/classifier/model.weights.h5")
METRICS = Path("reports/metrics/classifier.json")


def train(params: ClassifierParams, images: np.ndarray, labels: np.ndarray) -> keras.Model:
    """The trained classifier; shows one line an epoch."""
    select_device("cpu")
    started = time.perf_counter()

    def on_epoch(epoch: int, logs: dict) -> None:
        seconds = time.perf_counter() - started
        line = f"classifier epoch {epoch}/{params.epochs}  loss {logs['loss']:.4f}  accuracy {logs['accuracy']:.4f}"
        show(line, done=epoch / params.epochs, left_seconds=seconds / epoch * (params.epochs - epoch))

    return train_classifier(params, images, labels, on_epoch)


def measure(classifier: keras.Model, images: np.ndarray, labels: np.ndarray, train_images: np.ndarray) -> dict:
    """Its accuracy on the test images, and as a yardstick for generated ones what it says of these real ones.

    frechet_train: the Frechet distance of the test images to as many training images, the least to hope for.
    """
    judged = judge(classifier, images)
    learnt = judge(classifier, train_images[: len(images)])
    return {
        "images": len(images),
        "accuracy": float((judged.classes == labels).mean()),
        "confidence": judged.confidence,
        "class_balance": judged.class_balance,
        "frechet_train": frechet_distance(learnt.features, judged.features),
    }


def write_weights(classifier: keras.Model) -> None:
    """Raises: UserError when there is no room."""
    try:
        with replacing(WEIGHTS) as temporary:
            classifier.save_weights(temporary)
    except RuntimeError as error:  # h5py's for a disk that is full when it closes a file
        raise UserError(f"{WEIGHTS} could not be written: {error}") from error


def main() -> None:
    die_with_parent()
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    params = load_params().classifier
    train_images, train_labels, test_images, test_labels = (
        read_listed_npy(PROCESSED, f"{name}.npy", made_by="preprocess")[0]
        for name in ("train_images", "train_labels", "test_images", "test_labels")
    )
    classifier = train(params, train_images, train_labels)
    with threadpool_limits(limits=1):  # the order of sums depends on the number of threads
        metrics = measure(classifier, test_images, test_labels, train_images)
    if metrics["accuracy"] < params.minimum_accuracy:
        raise UserError(
            f"the classifier is too weak to judge by: expected an accuracy of {params.minimum_accuracy:g} on the test "
            f"images (classifier.minimum_accuracy), received {metrics['accuracy']:.4f}: raise classifier.epochs"
        )
    write_weights(classifier)
    write_json(METRICS, metrics)


if __name__ == "__main__":
    sys.exit(exit_status(main))
