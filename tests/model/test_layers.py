"""The layers against Keras' own, which they replace: same weights, outputs, gradients and moving averages."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from digit_vae.model.layers import BatchNormalization, Conv2DTranspose

pytestmark = pytest.mark.usefixtures("cpu")
LOGITS = {"filters": 1, "kernel_size": 3, "padding": "same"}
RELU = {"filters": 5, "kernel_size": 3, "strides": 2, "padding": "same", "activation": "relu"}
CASES = {
    "logits": (Conv2DTranspose, keras.layers.Conv2DTranspose, LOGITS),
    "relu": (Conv2DTranspose, keras.layers.Conv2DTranspose, RELU),
    "batch norm": (BatchNormalization, keras.layers.BatchNormalization, {}),
}
INPUTS = np.random.default_rng(0).normal(1, 2, (6, 5, 7, 4)).astype(np.float32)


def pair(case, ours="float32", theirs="float32"):
    """Our layer and Keras' own, each in its precision, with the same random weights."""
    our, their, settings = CASES[case]
    built = [our(**settings, dtype=ours), their(**settings, dtype=theirs)]
    for layer in built:
        layer.build(INPUTS.shape)
    generator = np.random.default_rng(1)
    weights = [generator.uniform(0.1, 1, weight.shape) - (weight.ndim > 1) * 0.5 for weight in built[0].weights]
    for layer in built:
        layer.set_weights(weights)
    return built


def errors_in_bfloat16(case, layer):
    """How far outputs and gradients of a layer in bfloat16 are from those of Keras' in float32, as shares of these."""
    _, exact = pair(case)
    outputs, *gradients = outputs_and_gradients(layer, upstream(layer))
    assert outputs.dtype == tf.bfloat16
    expected, *expected_gradients = outputs_and_gradients(exact, upstream(exact))
    if case == "relu":  # rounding may wake a unit, or put it to sleep: the gradient passes those that are awake here
        exact.activation = keras.activations.linear
        awake = tf.cast(outputs > 0, tf.float32)
        _, *expected_gradients = outputs_and_gradients(exact, upstream(exact) * awake)
    both = zip([outputs, *gradients], [expected, *expected_gradients], strict=True)
    return [np.linalg.norm(tf.cast(found, tf.float32) - exact) / np.linalg.norm(exact) for found, exact in both]


def upstream(layer):
    return np.random.default_rng(2).normal(size=layer.compute_output_shape(INPUTS.shape)).astype(np.float32)


def outputs_and_gradients(layer, upstream):
    """Of sum(upstream * layer(INPUTS)) in training: the layer's outputs, then the gradients to inputs and weights."""
    inputs = tf.constant(INPUTS)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs, training=True) if "norm" in layer.name else layer(inputs)
        total = tf.reduce_sum(tf.cast(outputs, tf.float32) * upstream)
    return [outputs, *tape.gradient(total, [inputs, *(weight.value for weight in layer.trainable_weights)])]


@pytest.mark.parametrize("case", CASES)
def test_outputs_and_gradients_are_those_of_keras(case):
    ours, theirs = pair(case)
    results = [outputs_and_gradients(layer, upstream(layer)) for layer in (ours, theirs)]
    for our, their in zip(*results, strict=True):
        np.testing.assert_allclose(our, their, rtol=1e-4, atol=1e-4)
    for our, their in zip(ours.weights, theirs.weights, strict=True):
        np.testing.assert_allclose(our.numpy(), their.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_in_bfloat16_they_are_within_its_rounding(case):
    """bfloat16 has 8 bits: a number is rounded by at most 2^-9 of itself, and few roundings follow each other.

    Without instructions for it a processor's convolutions sum in it, too, and round more often: where ours is farther
    off, it is so by the same kernel as Keras' own.
    """
    ours, theirs = (errors_in_bfloat16(case, layer) for layer in pair(case, "mixed_bfloat16", "mixed_bfloat16"))
    for our, their in zip(ours, theirs, strict=True):
        assert our < 2**-6 or our == their


def test_moving_averages_follow_the_batch():
    """Keras documents momentum 0.99 on the mean and the (biased) variance of the batch."""
    layer = BatchNormalization()
    layer(INPUTS, training=True)
    np.testing.assert_allclose(layer.moving_mean.numpy(), 0.01 * INPUTS.mean((0, 1, 2)), rtol=1e-4)
    np.testing.assert_allclose(layer.moving_variance.numpy(), 0.99 + 0.01 * INPUTS.var((0, 1, 2)), rtol=1e-5)


def test_batch_normalisation_uses_the_moving_averages_outside_training():
    layer = BatchNormalization(epsilon=1e-3)
    layer.build(INPUTS.shape)
    layer.set_weights([np.full(4, 2.0), np.full(4, 1.0), np.full(4, 0.5), np.full(4, 4.0)])
    np.testing.assert_allclose(layer(INPUTS), 2 * (INPUTS - 0.5) / np.sqrt(4.001) + 1, rtol=1e-5, atol=1e-5)


def test_batch_normalisation_in_a_graph_rounds_as_numpy_does_and_not_as_an_estimate():
    """Every processor rounds a root and a division in one way (IEEE 754), but estimates 1 / sqrt in its own."""
    generator, ones, zeros = np.random.default_rng(3), np.ones(4096, np.float32), np.zeros(4096, np.float32)
    gamma, variance = (generator.uniform(0.1, 9, 4096).astype(np.float32) for _ in range(2))
    layer, inputs = BatchNormalization(), tf.constant(ones.reshape(1, 1, 1, -1))
    layer.build(inputs.shape)
    layer.set_weights([gamma, zeros, zeros, variance])
    scale = tf.function(lambda x: layer(x, training=False))(inputs)
    np.testing.assert_array_equal(np.ravel(scale), gamma / np.sqrt(variance + np.float32(layer.epsilon)))


# What the fast kernels are not made for.
OTHER = {
    "logits, 5x5": (LOGITS | {"kernel_size": 5}, "float32"),
    "logits, 1x1": (LOGITS | {"kernel_size": 1}, "float32"),
    "logits, stride 2": (LOGITS | {"strides": 2}, "float32"),
    "logits, valid": (LOGITS | {"padding": "valid"}, "float32"),
    "logits, dilated": (LOGITS | {"dilation_rate": 2}, "float32"),
    "logits, sigmoid": (LOGITS | {"activation": "sigmoid"}, "float32"),
    "logits, no bias": (LOGITS | {"use_bias": False}, "float32"),
    "logits, bfloat16": (LOGITS, "mixed_bfloat16"),
    "relu, float32": (RELU, "float32"),
    "relu, padded outputs": (RELU | {"output_padding": 0}, "mixed_bfloat16"),
    "relu, valid": (RELU | {"padding": "valid"}, "mixed_bfloat16"),
    "relu, no bias": (RELU | {"use_bias": False}, "mixed_bfloat16"),
    "tanh": (RELU | {"activation": "tanh"}, "mixed_bfloat16"),
}


@pytest.mark.parametrize("other", OTHER)
def test_in_other_settings_a_transposed_convolution_is_keras_own(other):
    settings, precision = OTHER[other]
    ours, theirs = (each(**settings, dtype=precision) for each in (Conv2DTranspose, keras.layers.Conv2DTranspose))
    try:
        shape = theirs(INPUTS).shape
    except tf.errors.InvalidArgumentError as error:  # without oneDNN a CPU has no kernel for some settings
        with pytest.raises(type(error)):
            ours(INPUTS)
        return
    assert ours(INPUTS).shape == shape
    ours.set_weights(theirs.get_weights())
    np.testing.assert_array_equal(tf.cast(ours(INPUTS), tf.float32), tf.cast(theirs(INPUTS), tf.float32))


def test_images_may_be_of_any_size():
    inputs = keras.Input((None, None, 4))
    ours, theirs = (each(**LOGITS) for each in (Conv2DTranspose, keras.layers.Conv2DTranspose))
    models = [keras.Model(inputs, layer(inputs)) for layer in (ours, theirs)]
    ours.set_weights(theirs.get_weights())
    np.testing.assert_allclose(*(model(INPUTS) for model in models), rtol=1e-4, atol=1e-4)


def test_the_logits_are_made_by_no_convolution():
    """It would throw 15 of 16 channels away."""
    found = []
    for layer in pair("logits"):
        graph = tf.function(layer).get_concrete_function(tf.constant(INPUTS)).graph.as_graph_def()
        nodes = [*graph.node, *(node for each in graph.library.function for node in each.node_def)]
        found.append({"Conv2DBackpropInput", "MatMul"} & {node.op for node in nodes})
    assert found == [{"MatMul"}, {"Conv2DBackpropInput"}]


@pytest.mark.parametrize(
    "settings", [{"axis": 1}, {"center": False}, {"scale": False}, {"center": False, "scale": False}, {"renorm": True}]
)
def test_in_other_settings_batch_normalisation_is_keras_own(settings):
    ours, theirs = (each(**settings) for each in (BatchNormalization, keras.layers.BatchNormalization))
    for training in (True, False):
        np.testing.assert_array_equal(ours(INPUTS, training=training), theirs(INPUTS, training=training))
    for our, their in zip(ours.weights, theirs.weights, strict=True):
        np.testing.assert_array_equal(our.numpy(), their.numpy())


def test_batch_normalisation_of_vectors_is_keras_own():
    ours, theirs = BatchNormalization(), keras.layers.BatchNormalization()
    np.testing.assert_array_equal(*(layer(INPUTS[:, 0, 0], training=True) for layer in (ours, theirs)))


def test_frozen_batch_normalisation_uses_the_moving_averages_in_training_too():
    layer = BatchNormalization(trainable=False)
    np.testing.assert_array_equal(layer(INPUTS, training=True), layer(INPUTS, training=False))
    assert not layer.moving_mean.numpy().any()
