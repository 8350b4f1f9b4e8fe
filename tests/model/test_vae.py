import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from digit_vae.model.losses import kl_loss, reconstruction_loss
from digit_vae.model.vae import Losses, Sampling, build_decoder, build_encoder, build_vae

pytestmark = pytest.mark.usefixtures("cpu")
EVERYTHING = {"kernel_l1": 1e-5, "kernel_l2": 1e-4, "dropout": 0.2, "batch_norm": True}


@pytest.fixture
def images(digits):
    return digits[:32].astype(np.float32) / 255


def trainable(model):
    return sum(variable.numpy().size for variable in model.trainable_variables)


def test_parameter_counts_are_the_papers(make_params):
    assert trainable(build_encoder(make_params())) == 69_076
    assert trainable(build_decoder(make_params())) == 65_089
    assert trainable(build_vae(make_params())) == 69_076 + 65_089


def test_layers_are_the_papers(make_params):
    encoder, decoder = build_encoder(make_params()), build_decoder(make_params())
    assert [(type(layer).__name__, tuple(layer.output.shape[1:])) for layer in encoder.layers] == [
        ("InputLayer", (28, 28, 1)),
        ("Conv2D", (14, 14, 32)),
        ("Conv2D", (7, 7, 64)),
        ("Flatten", (3136,)),
        ("Dense", (16,)),
        ("Dense", (2,)),
        ("Dense", (2,)),
    ]
    assert [(type(layer).__name__, tuple(layer.output.shape[1:])) for layer in decoder.layers] == [
        ("InputLayer", (2,)),
        ("Dense", (3136,)),
        ("Reshape", (7, 7, 64)),
        ("Conv2DTranspose", (14, 14, 64)),
        ("Conv2DTranspose", (28, 28, 32)),
        ("Conv2DTranspose", (28, 28, 1)),
    ]
    activations = {layer.name: layer.activation.__name__ for layer in encoder.layers + decoder.layers if layer.weights}
    linear = {name for name, activation in activations.items() if activation == "linear"}
    assert linear == {"z_mean", "z_log_var", "logits"}
    assert set(activations.values()) == {"linear", "relu"}


def test_variants_add_layers_where_they_should(make_params):
    names = [
        layer.name for model in (build_encoder, build_decoder) for layer in model(make_params(**EVERYTHING)).layers
    ]
    followers = dict(itertools.pairwise(names))
    assert followers["flatten"] == "dropout"
    normalised = [name for name, follower in followers.items() if follower == f"{name}_norm"]
    assert normalised == ["conv_1", "conv_2", "conv_transpose_1", "conv_transpose_2"]


def test_sampling_has_the_mean_and_variance_it_is_given():
    z_mean, z_log_var = np.array([-1.0, 0.5, 3.0], np.float32), np.array([-2.0, 0.0, 1.0], np.float32)
    count = 100_000
    z = Sampling(seed=1)(np.tile(z_mean, (count, 1)), np.tile(z_log_var, (count, 1))).numpy()
    np.testing.assert_allclose(z.mean(axis=0), z_mean, atol=5 * np.exp(0.5) / np.sqrt(count))
    np.testing.assert_allclose(z.var(axis=0), np.exp(z_log_var), rtol=5 * np.sqrt(2 / count))
    np.testing.assert_allclose(np.corrcoef(z.T), np.eye(3), atol=0.02)


def test_sampling_repeats_by_its_seed_and_goes_on():
    zeros = np.zeros((4, 2), np.float32)
    one, same, other = Sampling(seed=1), Sampling(seed=1), Sampling(seed=2)
    first, second = one(zeros, zeros).numpy(), one(zeros, zeros).numpy()
    np.testing.assert_array_equal(first, same(zeros, zeros))
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, other(zeros, zeros))


@pytest.mark.parametrize("beta", [0.0, 1.0, 4.0])
def test_loss_is_the_sum_of_its_terms(make_params, images, beta):
    vae = build_vae(make_params(beta=beta, **EVERYTHING))
    outputs = vae(images)
    vae.sampling.seed_generator.state.assign(Sampling(0).seed_generator.state)  # the same epsilon once more
    losses = Losses(*(value.numpy() for value in vae.compute_losses(images)))
    assert losses.loss == pytest.approx(losses.reconstruction_loss + beta * losses.kl_loss + losses.penalty)
    assert losses.reconstruction_loss == pytest.approx(reconstruction_loss(images, outputs.logits).numpy().mean())
    assert losses.kl_loss == pytest.approx(kl_loss(outputs.z_mean, outputs.z_log_var).numpy().mean())


def test_penalty_is_the_sum_over_all_nine_kernels(make_params, images):
    vae = build_vae(make_params(kernel_l1=1e-5, kernel_l2=1e-4))
    kernels = [variable.numpy().astype(np.float64) for variable in vae.variables if variable.name == "kernel"]
    assert len(kernels) == 9
    expected = sum(1e-5 * np.abs(kernel).sum() + 1e-4 * (kernel**2).sum() for kernel in kernels)
    assert vae.compute_losses(images).penalty.numpy() == pytest.approx(expected, rel=1e-5)
    assert build_vae(make_params()).compute_losses(images).penalty.numpy() == 0


def test_dropout_is_off_in_evaluation(make_params, images):
    encoder = build_vae(make_params(dropout=0.5)).encoder
    np.testing.assert_array_equal(encoder(images, training=False)[0], encoder(images, training=False)[0])
    assert not np.array_equal(encoder(images, training=True)[0], encoder(images, training=True)[0])


def test_batch_statistics_are_frozen_in_evaluation(make_params, images):
    vae = build_vae(make_params(batch_norm=True))
    moving = [variable for variable in vae.non_trainable_variables if variable.name.startswith("moving")]
    before = [variable.numpy() for variable in moving]
    assert len(before) == 8
    together, alone = vae.encoder(images, training=False)[0], vae.encoder(images[:1], training=False)[0]
    np.testing.assert_allclose(together[:1], alone, atol=1e-5)
    vae.test_step(images)
    assert all(np.array_equal(variable, value) for variable, value in zip(moving, before, strict=True))
    vae.compute_losses(images, training=True)
    assert not any(np.array_equal(variable, value) for variable, value in zip(moving, before, strict=True))


def test_compile_and_fit_work_as_for_any_keras_model(make_params, digits):
    keras.utils.set_random_seed(0)
    vae = build_vae(make_params())
    vae.compile(optimizer=keras.optimizers.Adam(1e-3))
    images = digits.astype(np.float32) / 255
    history = vae.fit(images[:300], validation_data=(images[300:],), batch_size=50, epochs=2, verbose=0).history
    names = {"loss", "reconstruction_loss", "kl_loss", "penalty"}
    assert set(history) == names | {f"val_{name}" for name in names}
    assert history["loss"][1] < history["loss"][0]
    assert history["val_loss"][1] < history["val_loss"][0]
    assert vae.predict(images[:5], verbose=0).logits.shape == (5, 28, 28, 1)


def test_mixed_precision_computes_in_bfloat16_and_keeps_float32(make_params, images):
    vae = build_vae(make_params(precision="mixed_bfloat16", batch_norm=True))
    layers = [layer for part in (vae.encoder, vae.decoder) for layer in part.layers if layer.weights]
    assert {layer.compute_dtype for layer in layers} == {"bfloat16"}
    assert {variable.dtype for variable in vae.weights} == {"float32"}
    assert vae.sampling.compute_dtype == "float32"
    assert {value.dtype.name for value in vae.compute_losses(images)} == {"float32"}


def test_the_start_follows_initializer_and_hidden_bias(make_params):
    """Layers with a ReLU start as asked for; the others, and all at the defaults, as Keras' own."""
    he = build_vae(make_params(initializer="he_normal", hidden_bias=1.5)).encoder
    base = build_vae(make_params()).encoder
    deviation = {encoder: encoder.get_layer("conv_2").kernel.numpy().std() for encoder in (he, base)}
    assert deviation[he] == pytest.approx((2 / (9 * 32)) ** 0.5, rel=0.03)
    assert deviation[base] == pytest.approx((2 / (9 * 32 + 9 * 64)) ** 0.5, rel=0.03)
    assert [float(encoder.get_layer("hidden").bias.numpy().mean()) for encoder in (he, base)] == [1.5, 0]
    assert abs(he.get_layer("z_mean").kernel.numpy()).max() <= (6 / 18) ** 0.5  # Glorot's uniform limit


def traced(function, *arguments):
    """The types of all operations in the graph of a function and of those that it calls."""
    graph = tf.function(function).get_concrete_function(*arguments).graph.as_graph_def()
    nodes = [*graph.node, *(node for each in graph.library.function for node in each.node_def)]
    return {node.op for node in nodes}


@pytest.mark.parametrize("options", [{}, EVERYTHING])
def test_no_step_starts_from_an_estimate_that_processors_make_differently(make_params, images, options):
    estimates = {"Reciprocal", "Inv", "InvGrad", "ReciprocalGrad", "Rsqrt", "RsqrtGrad"}
    vae = build_vae(make_params(**options))
    vae.compile(optimizer=keras.optimizers.Adam(1e-3), jit_compile=False)
    for step in (vae.train_step, vae.test_step):
        found = traced(step, tf.constant(images))
        assert "Softplus" in found
        assert not found & estimates

    def log1p_and_rsqrt(values):
        with tf.GradientTape() as tape:
            tape.watch(values)
            outputs = tf.math.log1p(values) * tf.math.rsqrt(values)
        return tape.gradient(outputs, values)

    assert {"Reciprocal", "Rsqrt"} <= traced(log1p_and_rsqrt, tf.ones(3))
