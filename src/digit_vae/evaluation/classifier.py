"""A small convolutional classifier, and what it says of the images that the autoencoders make: their class, its
confidence, and how far a set of images is from real ones. Without labels there is none.

Images (B, 28, 28, 1) in 0..255 -> Conv 16 -> Conv 32, each with max-pooling -> Dense 64, the features -> C logits, one
for each class.
"""

import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers
from scipy.special import softmax
from scipy.stats import entropy
from threadpoolctl import threadpool_limits

from digit_vae.base.errors import UserError
from digit_vae.base.files import json_bytes
from digit_vae.config.schema import ClassifierParams
from digit_vae.data.arrays import Arrays
from digit_vae.evaluation.coding import decode
from digit_vae.evaluation.graph import as_graph
from digit_vae.evaluation.manifold import IMAGES, covered, region
from digit_vae.model.device import select_device
from digit_vae.model.vae import VAE
from digit_vae.model.weights import load_weights, weights_bytes

FEATURES = "features"
DROPOUT = 0.25


class Judged(NamedTuple):
    """What the classifier says of N images: probabilities (N, C), features (N, 64), both float64."""

    probabilities: np.ndarray
    features: np.ndarray

    @property
    def classes(self) -> np.ndarray:
        """The likeliest class of each image: (N,)."""
        return self.probabilities.argmax(axis=1)

    @property
    def confidence(self) -> float:
        """The mean probability of the likeliest class, from 1 / C to 1."""
        return float(self.probabilities.max(axis=1).mean())

    @property
    def class_balance(self) -> float:
        """Entropy of the shares of the likeliest classes over log C: 1 where all are equally many, 0 for one alone."""
        return float(entropy(np.bincount(self.classes)) / np.log(self.probabilities.shape[1]))


def make_classifier(
    params: ClassifierParams, arrays: Arrays, on_epoch: Callable[[int, dict[str, float], float], None]
) -> tuple[bytes, bytes]:
    """Trains the classifier and measures it on the test images. Returns: its weights file, its metrics as JSON.

    Without labels there is nothing to learn: the weights file is empty, and the metrics are the number of images alone.
    on_epoch: is told the epoch's number, its loss and accuracy, and the seconds that are left.
    Raises: UserError when it finds too few of the classes to judge by.
    """
    if not arrays.train_labels.size:
        return b"", json_bytes({"images": len(arrays.test_images)})
    select_device("cpu")
    started = time.perf_counter()

    def timed(epoch: int, logs: dict[str, float]) -> None:
        on_epoch(epoch, logs, (time.perf_counter() - started) / epoch * (params.epochs - epoch))

    classifier = train_classifier(params, arrays.train_images, arrays.train_labels, timed)
    with threadpool_limits(limits=1):  # the order of sums depends on the number of threads
        metrics = measure_classifier(classifier, arrays)
    if metrics["accuracy"] < params.minimum_accuracy:
        raise UserError(
            f"classifier.minimum_accuracy: expected an accuracy of {params.minimum_accuracy:g} on the test images, to "
            f"judge others by; received {metrics['accuracy']:.4f}: raise classifier.epochs, or lower what is asked"
        )
    return weights_bytes(classifier), json_bytes(metrics)


def class_count(labels: np.ndarray) -> int:
    """How many classes the classifier tells apart: one for each number up to the largest of the labels (N,)."""
    return int(labels.max()) + 1


def build_classifier(classes: int) -> keras.Model:
    """The classifier with new weights, which follow Keras' seed."""
    images = keras.Input((28, 28, 1), name="images")
    hidden = layers.Rescaling(1 / 255, name="scaled")(images)
    for number, filters in enumerate((16, 32), start=1):
        hidden = layers.Conv2D(filters, 3, padding="same", activation="relu", name=f"conv_{number}")(hidden)
        hidden = layers.MaxPooling2D(name=f"pool_{number}")(hidden)
    hidden = layers.Dropout(DROPOUT, name="dropout_1")(layers.Flatten(name="flatten")(hidden))
    features = layers.Dense(64, activation="relu", name=FEATURES)(hidden)
    logits = layers.Dense(classes, name="logits")(layers.Dropout(DROPOUT, name="dropout_2")(features))
    return keras.Model(images, logits, name="classifier")


def train_classifier(
    params: ClassifierParams, images: np.ndarray, labels: np.ndarray, on_epoch: Callable[[int, dict[str, float]], None]
) -> keras.Model:
    """Trains the classifier with Adam, whose learning rate falls to 0 along a cosine; the same bits on one machine.

    images: (N, 28, 28, 1) uint8; labels: (N,). on_epoch: is told the epoch's number, from 1 on, with loss and accuracy.
    """
    keras.utils.set_random_seed(params.seed)
    classifier = build_classifier(class_count(labels))
    steps = params.epochs * -(-len(images) // params.batch_size)
    classifier.compile(
        optimizer=keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(params.learning_rate, steps)),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,
    )
    progress = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: on_epoch(epoch + 1, logs))
    classifier.fit(images, labels, batch_size=params.batch_size, epochs=params.epochs, verbose=0, callbacks=[progress])
    return keras.Model(classifier.input, classifier.output, name="classifier")  # without the optimizer


def judge(classifier: keras.Model, images: np.ndarray) -> Judged:
    """images: (N, 28, 28) or (N, 28, 28, 1) uint8."""
    both = as_graph(_with_features(classifier))
    images = images.reshape(-1, 28, 28, 1)
    parts = [both(images[start : start + 1000].astype(np.float32)) for start in range(0, len(images), 1000)]
    logits, features = (np.concatenate(part).astype(np.float64) for part in zip(*parts, strict=True))
    return Judged(softmax(logits, axis=1), features)


@lru_cache(maxsize=1)
def _with_features(classifier: keras.Model) -> keras.Model:
    return keras.Model(classifier.input, [classifier.output, classifier.get_layer(FEATURES).output])


def frechet_distance(first: np.ndarray, second: np.ndarray) -> float:
    """The squared Frechet distance of the Gaussians that fit two sets of features (Heusel et al. 2017, eq. 6):

    |m1 - m2|^2 + Tr(C1 + C2 - 2 (C1 C2)^(1/2)), and Tr (C1 C2)^(1/2) = Tr (R C2 R)^(1/2) with R = C1^(1/2),

    which has real eigenvalues whatever the covariances. It is 0 for equal moments, and grows as the sets get smaller:
    compare sets of one size. first: (N, F); second: (M, F), N and M at least 2.
    """
    means, covariances = zip(
        *((each.mean(axis=0), np.cov(each, rowvar=False)) for each in (first, second)), strict=True
    )
    values, vectors = np.linalg.eigh(covariances[0])
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    shared = np.sqrt(np.linalg.eigvalsh(root @ covariances[1] @ root).clip(0)).sum()
    return float(((means[0] - means[1]) ** 2).sum() + sum(np.trace(each) for each in covariances) - 2 * shared)


def load_classifier(weights: Path, labels: np.ndarray) -> keras.Model | None:
    """The classifier with the weights that stage `classifier` wrote. Raises: UserError that names it.

    labels: those it learnt from, (N,). Returns: None where there are none.
    """
    if not labels.size:
        return None
    classifier = build_classifier(class_count(labels))
    load_weights(classifier, weights, made_by="classifier")
    return classifier


def judge_plane(vae: VAE, classifier: keras.Model, edges: np.ndarray) -> Judged:
    """What the classifier sees at the middle of each cell of the latent plane, row by row, the highest z1 first.

    edges: (cells + 1,), along both axes.
    """
    middles = (edges[1:] + edges[:-1]) / 2
    z0, z1 = np.meshgrid(middles, middles[::-1])
    return judge(classifier, decode(vae, np.stack([z0.ravel(), z1.ravel()], axis=1).astype(np.float32)))


def measure_classifier(classifier: keras.Model, arrays: Arrays) -> dict[str, Any]:
    """Its accuracy on the test images, and as a yardstick for generated ones what it says of these real ones.

    frechet_train: the Frechet distance of the test images to as many training images, the least to hope for.
    precision_train, recall_train: of the training images, as if they were generated, see `manifold`.
    """
    judged = judge(classifier, arrays.test_images)
    learnt = judge(classifier, arrays.train_images[: len(arrays.test_images)])
    size = min(IMAGES, len(learnt.features), len(judged.features))
    shares = covered(region(judged.features, size), region(learnt.features, size))
    return {
        "images": len(arrays.test_images),
        "accuracy": float((judged.classes == arrays.test_labels).mean()),
        "confidence": judged.confidence,
        "class_balance": judged.class_balance,
        "frechet_train": frechet_distance(learnt.features, judged.features),
        "precision_train": shares.precision,
        "recall_train": shares.recall,
    }
