"""A small convolutional classifier of digits, which judges what the autoencoders make: class, confidence, and how far a
set of images is from real ones.

Images (B, 28, 28, 1) in 0..255 -> Conv 16 -> Conv 32, each with max-pooling -> Dense 64, the features -> 10 logits.
"""

from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
from keras import layers
from scipy.special import softmax
from scipy.stats import entropy

from digit_vae.config.params import ClassifierParams

CLASSES = 10
FEATURES = "features"
DROPOUT = 0.25


class Judged(NamedTuple):
    """What the classifier says of N images: probabilities (N, 10), features (N, 64), both float64."""

    probabilities: np.ndarray
    features: np.ndarray

    @property
    def classes(self) -> np.ndarray:
        """The likeliest digit of each image: (N,)."""
        return self.probabilities.argmax(axis=1)

    @property
    def confidence(self) -> float:
        """The mean probability of the likeliest digit, from 0.1 to 1."""
        return float(self.probabilities.max(axis=1).mean())

    @property
    def class_balance(self) -> float:
        """Entropy of the shares of the likeliest digits over log 10: 1 where all are equally many, 0 for one alone."""
        return float(entropy(np.bincount(self.classes)) / np.log(CLASSES))


def build_classifier() -> keras.Model:
    """The classifier with new weights, which follow Keras' seed."""
    images = keras.Input((28, 28, 1), name="images")
    hidden = layers.Rescaling(1 / 255, name="scaled")(images)
    for number, filters in enumerate((16, 32), start=1):
        hidden = layers.Conv2D(filters, 3, padding="same", activation="relu", name=f"conv_{number}")(hidden)
        hidden = layers.MaxPooling2D(name=f"pool_{number}")(hidden)
    hidden = layers.Dropout(DROPOUT, name="dropout_1")(layers.Flatten(name="flatten")(hidden))
    features = layers.Dense(64, activation="relu", name=FEATURES)(hidden)
    logits = layers.Dense(CLASSES, name="logits")(layers.Dropout(DROPOUT, name="dropout_2")(features))
    return keras.Model(images, logits, name="classifier")


def train_classifier(
    params: ClassifierParams, images: np.ndarray, labels: np.ndarray, on_epoch: Callable[[int, dict], None]
) -> keras.Model:
    """Trains the classifier with Adam, whose learning rate falls to 0 along a cosine; the same bits on one machine.

    images: (N, 28, 28, 1) uint8; labels: (N,). on_epoch: is told the epoch's number, from 1 on, with loss and accuracy.
    """
    keras.utils.set_random_seed(params.seed)
    classifier = build_classifier()
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
    both = keras.Model(classifier.input, [classifier.output, classifier.get_layer(FEATURES).output])
    images = images.reshape(-1, 28, 28, 1)
    parts = [both(images[start : start + 1000], training=False) for start in range(0, len(images), 1000)]
    logits, features = (np.concatenate(part).astype(np.float64) for part in zip(*parts, strict=True))
    return Judged(softmax(logits, axis=1), features)


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
