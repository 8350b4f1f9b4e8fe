"""Two Keras layers again, with the same weights and the same mathematics in fewer passes over memory.

On a CPU a training step spends a third of its time in passes over the decoder's largest array, 28x28x32 an image: it
pays to fuse them. On a GPU XLA fuses what it finds, and Keras' own layers do. The classes bear the names of Keras' own,
by which weights files name layers: a file has the same names whichever layer wrote it.
"""

from collections.abc import Callable, Mapping
from functools import cache

import keras
import tensorflow as tf
from keras import layers, ops

# What the kernels below are right for. A layer with other settings is Keras' own.
TRANSPOSED = {
    "padding": "same",
    "output_padding": None,
    "dilation_rate": (1, 1),
    "data_format": "channels_last",
    "use_bias": True,
}
ONE_PIXEL = TRANSPOSED | {
    "filters": 1,
    "kernel_size": (3, 3),
    "strides": (1, 1),
    "activation": keras.activations.linear,
    "compute_dtype": "float32",
}
BIAS_RELU = TRANSPOSED | {"activation": keras.activations.relu, "compute_dtype": "bfloat16"}
NORMALISED = {"axis": -1, "center": True, "scale": True, "renorm": False, "synchronized": False}


class Conv2DTranspose(layers.Conv2DTranspose):
    """A transposed convolution on the CPU, in the kernels that are fastest for its output and precision.

    To one channel in float32 it is a matrix product, of `taps` numbers for each input pixel: oneDNN computes 16 output
    channels at least and throws 15 of them away, 6.2 ms of a step instead of 2.0. With a ReLU in bfloat16 its bias and
    ReLU are one pass and their gradients two, compiled by XLA: 29 instead of 36 ms a step.
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """inputs: (B, H, W, C). Returns: (B, H * stride, W * stride, filters)."""
        if None in inputs.shape[1:] or not (_has(self, ONE_PIXEL) or _has(self, BIAS_RELU)):
            return super().call(inputs)
        kernel, bias = ops.cast(self.kernel, inputs.dtype), ops.cast(self.bias, inputs.dtype)
        if _has(self, ONE_PIXEL):
            return _traced_once(_one_pixel_conv_transpose, inputs, kernel) + bias
        convolved = ops.conv_transpose(inputs, kernel, strides=self.strides, padding=self.padding)
        return _traced_once(_bias_relu, convolved, bias)


class BatchNormalization(layers.BatchNormalization):
    """Batch normalisation over (B, H, W) in TensorFlow's fused kernel: a step of 75 ms instead of 103 in float32."""

    def call(self, inputs: tf.Tensor, training: bool = False, mask: tf.Tensor | None = None) -> tf.Tensor:
        if mask is not None or len(inputs.shape) != 4 or not _has(self, NORMALISED):
            return super().call(inputs, training=training, mask=mask)
        if not (training and self.trainable):
            # Divided by the root: Keras multiplies by rsqrt, which TensorFlow starts from the processor's own estimate.
            # TensorFlow's optimiser of graphs makes that of a plain division by a root, too, but not of this one.
            scale = tf.math.divide_no_nan(self.gamma, ops.sqrt(self.moving_variance + self.epsilon))
            shift = self.beta - self.moving_mean * scale
            return inputs * ops.cast(scale, inputs.dtype) + ops.cast(shift, inputs.dtype)
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=tf.convert_to_tensor(self.gamma),
            offset=tf.convert_to_tensor(self.beta),
            mean=tf.zeros((0,)),
            variance=tf.zeros((0,)),
            epsilon=self.epsilon,
            is_training=True,
        )
        # The kernel returns the unbiased estimate; Keras' moving variance is made of the biased one.
        count = tf.cast(tf.reduce_prod(tf.shape(inputs)[:3]), tf.float32)
        self._move(self.moving_mean, mean)
        self._move(self.moving_variance, variance * (count - 1) / count)
        return outputs

    def _move(self, average: keras.Variable, value: tf.Tensor) -> None:
        average.assign(average * self.momentum + value * (1 - self.momentum))


def _has(layer: layers.Layer, settings: Mapping[str, object]) -> bool:
    return all(getattr(layer, name) == value for name, value in settings.items())


def _traced_once(function: Callable[..., tf.Tensor], images: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """function(images, weights), by a graph that all models of the process share.

    TensorFlow keeps what a custom gradient was traced in for good: without this, the graphs of every model trained.
    """
    return _graph(function, (None, *images.shape[1:]), tuple(weights.shape), images.dtype)(images, weights)


@cache
def _graph(
    function: Callable[..., tf.Tensor], images: tuple[int | None, ...], weights: tuple[int, ...], dtype: tf.DType
) -> Callable[..., tf.Tensor]:
    signature = [tf.TensorSpec(images, dtype), tf.TensorSpec(weights, dtype)]
    with tf.init_scope():
        return tf.function(function, signature, autograph=False).get_concrete_function()


@tf.custom_gradient
def _one_pixel_conv_transpose(inputs: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, Callable[..., object]]:
    """inputs: (B, H, W, C); kernel: (3, 3, 1, C). Its gradients are those of the convolution, which oneDNN has fast."""
    taps = tf.reshape(kernel[::-1, ::-1], (9, -1))
    products = tf.matmul(tf.reshape(inputs, (-1, inputs.shape[-1])), taps, transpose_b=True)
    outputs = _sum_of_taps(tf.reshape(products, tf.concat([tf.shape(inputs)[:3], [9]], 0)))

    def gradients(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        kernel_gradient = tf.raw_ops.Conv2DBackpropFilter(
            input=upstream,
            filter_sizes=kernel.shape,
            out_backprop=inputs,
            strides=[1, 1, 1, 1],
            padding="SAME",
        )
        return tf.nn.conv2d(upstream, kernel, 1, "SAME"), kernel_gradient

    return outputs, gradients


@tf.function(jit_compile=True, autograph=False)
def _sum_of_taps(products: tf.Tensor) -> tf.Tensor:
    """products: (B, H, W, 9), each input pixel times each tap of a 3x3 kernel. Returns: (B, H, W, 1)."""
    height, width = products.shape[1:3]
    padded = tf.pad(products, [[0, 0], [1, 1], [1, 1], [0, 0]])
    shifted = [padded[:, i : i + height, j : j + width, 3 * i + j] for i in range(3) for j in range(3)]
    return sum(shifted)[..., tf.newaxis]


@tf.custom_gradient
def _bias_relu(inputs: tf.Tensor, bias: tf.Tensor) -> tuple[tf.Tensor, Callable[..., object]]:
    """relu(inputs + bias). inputs: (B, H, W, C); bias: (C,)."""
    outputs = _relu_of_sum(inputs, bias)

    def gradients(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        passed = _where_positive(outputs, upstream)
        rows = tf.reshape(passed, (-1, bias.shape[0]))
        # A matrix product sums bfloat16 in float32, and faster than a reduction.
        summed = tf.matmul(tf.ones((1, tf.shape(rows)[0]), rows.dtype), rows)
        return passed, tf.reshape(summed, bias.shape)

    return outputs, gradients


@tf.function(jit_compile=True, autograph=False)
def _relu_of_sum(inputs: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    return tf.nn.relu(inputs + bias)


@tf.function(jit_compile=True, autograph=False)
def _where_positive(outputs: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
    return tf.where(outputs > 0, upstream, tf.zeros_like(upstream))
