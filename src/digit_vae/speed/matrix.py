"""How fast a device multiplies matrices: what the operations of a training are held against."""

import time

import tensorflow as tf

REPETITIONS = 7


def matrix_gflops(device: str, precision: str, *, size: int) -> float:
    """The rate of a square matrix product of `size` rows on the selected device, in 10^9 operations a second.

    2 size^3 operations over the seconds of the fastest repetition, in bfloat16 where `precision` computes in it.
    """
    dtype = tf.bfloat16 if precision == "mixed_bfloat16" else tf.float32
    product = tf.function(lambda left, right: tf.matmul(left, right)[0, 0])
    with tf.device(f"/{device}:0"):
        matrix = tf.cast(tf.random.stateless_uniform((size, size), (0, 1)), dtype)
        product(matrix, matrix).numpy()  # traced, and the device awake
        seconds = []
        for _ in range(REPETITIONS):
            started = time.perf_counter()
            product(matrix, matrix).numpy()
            seconds.append(time.perf_counter() - started)
    return 2 * size**3 / min(seconds) / 1e9
