"""What XLA does to a training step of this project: the same step compiled by it and not, by turns."""

import time
from collections.abc import Callable

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from digit_vae.config.schema import RunParams
from digit_vae.model.device import select_device
from digit_vae.model.vae import build_vae

COMPILED = {"xla": True, "no_xla": False}


def step_milliseconds(
    params: RunParams, images: npt.NDArray[np.uint8], *, rounds: int, steps: int
) -> dict[str, list[float]]:
    """Milliseconds of a step on the first batch of `images` (N, 28, 28, 1), each the mean of `steps`: one a round.

    Both take turns, so that the machine's drift is in both; the round before the first traces and compiles.
    Raises: UserError when the params' device is absent.
    """
    select_device(params.device)
    with tf.device(f"/{params.device}:0"):
        batch = tf.cast(tf.constant(images[: params.batch_size]), tf.float32) / 255.0
        running = {name: _steps(params, batch, compiled) for name, compiled in COMPILED.items()}
        found: dict[str, list[float]] = {name: [] for name in running}
        for _ in range(1 + rounds):
            for name, run in running.items():
                started = time.perf_counter()
                run(steps)
                found[name].append(1000 * (time.perf_counter() - started) / steps)
    return {name: milliseconds[1:] for name, milliseconds in found.items()}


def _steps(params: RunParams, batch: tf.Tensor, compiled: bool) -> Callable[[int], float]:
    """Does so many steps of a new model on `batch`, in one call, and waits for their loss."""
    keras.utils.set_random_seed(params.seed)
    vae = build_vae(params)
    vae.compile(optimizer=keras.optimizers.Adam(params.learning_rate), jit_compile=False)
    vae.optimizer.build(vae.trainable_variables)
    step = tf.function(vae.train_step, jit_compile=compiled)

    def run(count: tf.Tensor) -> tf.Tensor:
        for _ in tf.range(count):
            step(batch)
        return vae.trackers[0].result()

    graph = tf.function(run)
    return lambda count: float(graph(tf.constant(count)))
