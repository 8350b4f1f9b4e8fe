"""The layers against Keras' own, which they replace: same weights, outputs, gradients and moving averages."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from digit_vae.model.layers import FusedBatchNormalization, OnePixelConv2DTranspose, ReluConv2DTranspose

pytestmark = pytest.mark.usefixtures("cpu")
CASES = {
    "one pixel": (OnePixelConv2DTranspose, keras.layers.Conv2DTranspose, {"filters": 1, "kernel_size": 3}),
    "relu": (
        ReluConv2DTranspose,
        keras.layers.Conv2DTranspose,
        {"filters": 5, "kernel_size": 3, "strides": 2, "activation": "relu"},
    ),
    "batch norm": (FusedBatchNormalization, keras.layers.BatchNormalization, {}),
}


@pytest.fixture
def inputs():
    return np.random.default_rng(0).normal(1, 2, (6, 5, 7, 4)).astype(np.float32)


def pair(case, inputs, **more):
    """Our layer and Keras' with the same random weights."""
    ours, theirs, settings = CASES[case]
    if "filters" in settings:
        settings = settings | {"padding": "same"}
    built = [layer(**settings, **more) for layer in (ours, theirs)]
    for layer in built:
        layer.build(inputs.shape)
    generator = np.random.default_rng(1)
    weights = [generator.uniform(0.1, 1, weight.shape) - (weight.ndim > 1) * 0.5 for weight in built[0].weights]
    for layer in built:
        layer.set_weights(weights)
    return built


def outputs_and_gradients(layer, inputs, upstream):
    """Of sum(upstream * layer(inputs)): the layer's outputs, then the gradients to inputs and weights."""
    inputs = tf.constant(inputs)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs, training=True) if "norm" in layer.name else layer(inputs)
        total = tf.reduce_sum(tf.cast(outputs, tf.float32) * upstream)
    variables = [weight.value for weight in layer.trainable_weights]
    return [outputs, *tape.gradient(total, [inputs, *variables])]


@pytest.mark.parametrize("case", CASES)
def test_outputs_and_gradients_are_those_of_keras(case, inputs):
    ours, theirs = pair(case, inputs)
    upstream = np.random.default_rng(2).normal(size=theirs.compute_output_shape(inputs.shape)).astype(np.float32)
    results = [outputs_and_gradients(layer, inputs, upstream) for layer in (ours, theirs)]
    for our, their in zip(*results, strict=True):
        np.testing.assert_allclose(our, their, rtol=1e-4, atol=1e-4)
    for our, their in zip(ours.weights, theirs.weights, strict=True):
        np.testing.assert_allclose(our.numpy(), their.numpy(), rtol=1e-5, atol=1e-6)


def test_outputs_in_bfloat16_are_within_its_rounding(inputs):
    ours, theirs = pair("relu", inputs, dtype="mixed_bfloat16")
    outputs = ours(inputs)
    assert outputs.dtype == tf.bfloat16
    np.testing.assert_allclose(tf.cast(outputs, tf.float32), tf.cast(theirs(inputs), tf.float32), rtol=2**-6, atol=0.05)


def test_moving_averages_follow_the_batch(inputs):
    """Keras documents momentum 0.99 on the mean and the (biased) variance of the batch."""
    layer = FusedBatchNormalization()
    layer(inputs, training=True)
    np.testing.assert_allclose(layer.moving_mean.numpy(), 0.01 * inputs.mean((0, 1, 2)), rtol=1e-4)
    np.testing.assert_allclose(layer.moving_variance.numpy(), 0.99 + 0.01 * inputs.var((0, 1, 2)), rtol=1e-5)


def test_batch_normalisation_uses_the_moving_averages_outside_training(inputs):
    layer = FusedBatchNormalization(epsilon=1e-3)
    layer.build(inputs.shape)
    layer.set_weights([np.full(4, 2.0), np.full(4, 1.0), np.full(4, 0.5), np.full(4, 4.0)])
    np.testing.assert_allclose(layer(inputs), 2 * (inputs - 0.5) / np.sqrt(4.001) + 1, rtol=1e-5, atol=1e-5)
