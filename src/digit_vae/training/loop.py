"""One run: parameters and images in; a trained model, its history and its timings out.

Same parameters, machine and versions give the same bytes: one thread a run (the thread setting changes the order of
sums), seeded initialisers, shuffling and sampling, deterministic operations. The number of cores does not matter.
"""

import math
import mmap
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from digit_vae.base.errors import UserError
from digit_vae.config.schema import RunParams
from digit_vae.model.device import select_device
from digit_vae.model.vae import IMAGE_SHAPE, VAE, build_vae
from digit_vae.training.examination import examination

IMAGES = tf.TensorSpec((None, *IMAGE_SHAPE), tf.uint8)
BATCHES = tf.TensorSpec((None, None), tf.int64)  # of each batch the rows of its images


class Epoch(NamedTuple):
    """One finished epoch: `history` is reproducible (nats per image), `timing` is the machine's (seconds)."""

    history: dict[str, Any]
    timing: dict[str, Any]


class State(NamedTuple):
    """Where a training stands after an epoch: all epochs so far, and the values of everything that changes in one."""

    epochs: Sequence[Epoch]
    variables: Sequence[np.ndarray]


BEGINNING = State((), ())


class Trained(NamedTuple):
    """The two parts of a trained model, its epochs, and the seconds that building, tracing and compiling took."""

    encoder: keras.Model
    decoder: keras.Model
    epochs: list[Epoch]
    setup_seconds: float


def train(
    params: RunParams,
    images: np.ndarray,
    learn: np.ndarray,
    validation_images: np.ndarray,
    on_epoch: Callable[[State], None] = lambda _: None,
    start: State = BEGINNING,
) -> Trained:
    """Trains one model on `images[learn]`, reporting where it stands after each epoch.

    From `start`, a state that it reported once, it goes on as if it had never stopped.

    images, validation_images: (N, 28, 28, 1) uint8; learn: (n,) indices into images.
    Raises: UserError when the loss stops being a finite number, or the device is absent.
    """
    select_device(params.device)
    # It pays on a GPU. On a CPU it costs half as much again: oneDNN is faster.
    xla = params.device == "gpu"
    started = time.perf_counter()
    with tf.device(f"/{params.device}:0"):
        vae = _new_vae(params, len(learn))
        train_epoch = epoch_of(vae.train_step, images, vae, params, xla=xla)
        validate = epoch_of(vae.test_step, validation_images, vae, params, xla=xla)
        examine = examination(vae, validation_images)
        in_order = np.arange(len(validation_images))
        for epoch, order in ((train_epoch, learn), (validate, in_order)):
            # XLA compiles a loop for the number of its steps. Else one batch of each size will do.
            _warm_up(vae, partial(epoch, order if xla else _every_size(order, params.batch_size)))
        examine()
        setup_seconds = time.perf_counter() - started

        epochs = list(start.epochs)
        if epochs:
            _assign(vae, start.variables)
        for number in range(len(epochs) + 1, params.epochs + 1):
            order = np.random.default_rng((params.seed, number)).permutation(learn)
            losses, train_seconds = _timed(partial(train_epoch, order))
            val_losses, validation_seconds = _timed(partial(validate, in_order))
            values = losses | {f"val_{name}": value for name, value in val_losses.items()}
            _assert_finite(values, number)
            seconds = {"train_seconds": train_seconds, "validation_seconds": validation_seconds}
            history = {"epoch": number} | values | {"health": examine()}
            epochs.append(Epoch(history, {"epoch": number} | seconds | {"finished_at": time.time()}))
            on_epoch(State(tuple(epochs), _values(vae)))
    return Trained(vae.encoder, vae.decoder, epochs, setup_seconds)


def _new_vae(params: RunParams, images: int) -> VAE:
    """The run's model before its first step, with an optimizer, on the current device. images: those of an epoch."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(params.seed)
    vae = build_vae(params)
    vae.compile(optimizer=_optimizer(params, images), jit_compile=False)
    vae.optimizer.build(vae.trainable_variables)
    _assert_device(vae, params.device)
    return vae


def _optimizer(params: RunParams, images: int) -> keras.optimizers.Optimizer:
    """Adam with the run's learning rate: constant, or rising in `warmup_steps`, then falling by a cosine to the end."""
    rate = params.learning_rate
    if params.warmup_steps or params.final_learning_rate < 1:
        steps = params.epochs * math.ceil(images / params.batch_size)
        rate = keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=0.0 if params.warmup_steps else rate,
            decay_steps=max(1, steps - params.warmup_steps),
            alpha=params.final_learning_rate,
            warmup_target=rate if params.warmup_steps else None,
            warmup_steps=params.warmup_steps,
        )
    return keras.optimizers.Adam(rate, beta_2=params.adam_beta_2, global_clipnorm=params.clip_norm)


def epoch_of(
    step: Callable[[tf.Tensor], object], images: np.ndarray, vae: VAE, params: RunParams, *, xla: bool
) -> Callable[[np.ndarray], dict[str, float]]:
    """A whole epoch of `step` as one call: batches are gathered and scaled on the device, Python is not in the loop.

    Where `images` take more memory than params.resident_bytes, they come to the device in parts of as many batches as
    that holds, read from the file that they are mapped from: the batches are the same, and so are the bits.

    xla: whether XLA compiles the epoch, with its loop: to call a compiled step takes TensorFlow longer than a GPU takes
    to compute it. Returns: a function that takes the rows of `images` in their order, and returns the mean losses.
    """
    step = tf.function(step, reduce_retracing=True)

    @tf.function(input_signature=[IMAGES, BATCHES], jit_compile=xla)
    def steps(images: tf.Tensor, batches: tf.Tensor) -> None:
        for rows in batches:
            step(tf.cast(tf.gather(images, rows), tf.float32) / 255.0)

    resident = tf.constant(images) if images.nbytes <= params.resident_bytes else None
    batch_bytes = params.batch_size * images[0].nbytes
    part = params.batch_size * max(1, params.resident_bytes // batch_bytes)

    def take(held: np.ndarray | tf.Tensor, order: np.ndarray) -> None:
        whole = len(order) - len(order) % params.batch_size
        for batches in (order[:whole].reshape(-1, params.batch_size), order[np.newaxis, whole:]):
            if batches.size:  # XLA cannot compile a loop over nothing
                steps(held, batches)

    def run(order: np.ndarray) -> dict[str, float]:
        vae.reset_metrics()
        if resident is not None:
            take(resident, order)
        else:
            for start in range(0, len(order), part):
                rows = order[start : start + part]
                take(_read(images, rows), np.arange(len(rows)))
        return {tracker.name: _shortest(tracker.result().numpy()) for tracker in vae.metrics}

    return run


def _read(images: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """`images[rows]`; of a mapped file from the file itself: pages read through the map would count as memory."""
    if not isinstance(images.base, mmap.mmap):
        return images[rows]
    read = np.empty((len(rows), *images.shape[1:]), images.dtype)
    with Path(images.filename).open("rb", buffering=0) as file:
        for image, row in zip(read, rows.tolist(), strict=True):
            file.seek(images.offset + row * image.nbytes)
            if file.readinto(image) < image.nbytes:
                raise UserError(f"{images.filename} ends before image {row}: expected {len(images)} images")
    return read


def _warm_up(vae: VAE, run: Callable[[], object]) -> None:
    """Traces and compiles by running once, then puts every variable back to where it was."""
    values = _values(vae)
    run()
    _assign(vae, values)


def _values(vae: VAE) -> list[np.ndarray]:
    """Weights, the states of the random generators, and the optimizer with its count of steps."""
    return [variable.numpy() for variable in (*vae.variables, *vae.optimizer.variables)]


def _assign(vae: VAE, values: Sequence[np.ndarray]) -> None:
    for variable, value in zip((*vae.variables, *vae.optimizer.variables), values, strict=True):
        variable.assign(value)


def _every_size(order: np.ndarray, batch_size: int) -> np.ndarray:
    """The start of `order` that has a batch of each size that `order` has: a whole one, and the smaller last one."""
    return order[: batch_size + len(order) % batch_size]


def _timed(call: Callable[[], dict[str, float]]) -> tuple[dict[str, float], float]:
    started = time.perf_counter()
    return call(), time.perf_counter() - started


def _shortest(value: np.floating) -> float:
    """The shortest decimal of the value as float32, which is as much of it as means anything."""
    return float(str(np.float32(value)))


def _assert_device(vae: VAE, device: str) -> None:
    devices = {variable.value.device for variable in vae.weights}
    elsewhere = sorted(name for name in devices if f"device:{device.upper()}:" not in name)
    if elsewhere:
        raise UserError(f"train.device: expected every variable on {device}, received {', '.join(elsewhere)}")


def _assert_finite(values: dict[str, float], epoch: int) -> None:
    for name, value in values.items():
        if not np.isfinite(value):
            raise UserError(
                f"training diverged: {name} is {value} after epoch {epoch}; "
                "expected a finite number: lower train.learning_rate or the variant's penalty"
            )
