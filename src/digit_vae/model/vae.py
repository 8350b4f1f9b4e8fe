"""The paper's convolutional variational autoencoder, as Keras models of Keras layers.

Encoder q(z|x): 28x28x1 -> Conv 32 -> Conv 64 -> Dense 16 -> z_mean, z_log_var. Decoder p(x|z): z -> Dense 7*7*64 ->
ConvTranspose 64 -> 32 -> 1, the pixels' log-odds ("logits"): the sigmoid is the loss's, where it is safe at 0 and 1.
"""

from typing import Any, NamedTuple

import keras
import tensorflow as tf
from keras import layers, ops

from digit_vae.config.schema import RunParams
from digit_vae.model import losses
from digit_vae.model.layers import BatchNormalization, Conv2DTranspose
from digit_vae.model.units import UNITS

IMAGE_SHAPE = (28, 28, 1)
HIDDEN_LAYER = "hidden"


class Outputs(NamedTuple):
    """What the VAE computes of a batch: z_* (B, latent_dim), logits (B, 28, 28, 1)."""

    z_mean: tf.Tensor
    z_log_var: tf.Tensor
    z: tf.Tensor
    logits: tf.Tensor


class Losses(NamedTuple):
    """Means over a batch in nats per image; loss = reconstruction_loss + beta * kl_loss + penalty."""

    loss: tf.Tensor
    reconstruction_loss: tf.Tensor
    kl_loss: tf.Tensor
    penalty: tf.Tensor


class Sampling(layers.Layer):
    """z = z_mean + sigma * epsilon, epsilon ~ N(0, I): the reparametrisation trick (Kingma & Welling 2014, 2.4)."""

    def __init__(self, seed: int) -> None:
        super().__init__(dtype="float32", name="sampling")
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, z_mean: tf.Tensor, z_log_var: tf.Tensor) -> tf.Tensor:
        epsilon = keras.random.normal(ops.shape(z_mean), dtype=self.compute_dtype, seed=self.seed_generator)
        return z_mean + ops.exp(0.5 * z_log_var) * epsilon


class VAE(keras.Model):
    """Encoder, sampling layer and decoder, trained on the beta-ELBO; `compile` and `fit` work as ever in Keras."""

    def __init__(
        self, encoder: keras.Model, decoder: keras.Model, *, beta: float, seed: int, kl_warmup_steps: int
    ) -> None:
        super().__init__(name="vae")
        self.encoder = encoder
        self.sampling = Sampling(seed)
        self.decoder = decoder
        self.beta = beta
        self.kl_warmup_steps = kl_warmup_steps
        # In float64, since a sum over an epoch has more digits than float32 holds.
        self.trackers = [keras.metrics.Mean(name=name, dtype="float64") for name in Losses._fields]
        self.build(encoder.input_shape)

    def build(self, _: object) -> None:
        """Encoder and decoder come built; the sampling layer has no weights."""
        self.built = True

    def call(self, images: tf.Tensor, training: bool = False) -> Outputs:
        z_mean, z_log_var = self.encoder(images, training=training)
        z = self.sampling(z_mean, z_log_var)
        return Outputs(z_mean, z_log_var, z, self.decoder(z, training=training))

    def compute_losses(self, images: tf.Tensor, training: bool = False) -> Losses:
        """images: (B, 28, 28, 1) in [0, 1]."""
        outputs = self(images, training=training)
        reconstruction_loss = ops.mean(losses.reconstruction_loss(images, outputs.logits))
        kl_loss = ops.mean(losses.kl_loss(outputs.z_mean, outputs.z_log_var))
        penalty = ops.cast(sum(self.losses), "float32")
        beta = self._warmed_up_beta() if training and self.kl_warmup_steps else self.beta
        return Losses(reconstruction_loss + beta * kl_loss + penalty, reconstruction_loss, kl_loss, penalty)

    def _warmed_up_beta(self) -> tf.Tensor:
        """beta times min(1, steps done / kl_warmup_steps): the KL's warm-up (Bowman et al. 2016, section 3.1)."""
        steps = ops.cast(self.optimizer.iterations, "float32")
        return self.beta * ops.minimum(1.0, steps / self.kl_warmup_steps)

    def train_step(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.GradientTape() as tape:
            batch = self.compute_losses(images, training=True)
        gradients = tape.gradient(batch.loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        return self._track(batch, images)

    def test_step(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        return self._track(self.compute_losses(images), images)

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return self.trackers

    def _track(self, batch: Losses, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Means over the images seen so far: the last batch of an epoch is smaller and counts for less."""
        for tracker, value in zip(self.trackers, batch, strict=True):
            tracker.update_state(value, sample_weight=ops.cast(ops.shape(images)[0], "float32"))
        return {tracker.name: tracker.result() for tracker in self.trackers}


def build_encoder(params: RunParams) -> keras.Model:
    """Images (B, 28, 28, 1) to z_mean and z_log_var, each (B, latent_dim)."""
    settings, relu = _layer_settings(params), _relu_settings(params)
    images = keras.Input(IMAGE_SHAPE, name="images")
    hidden = images
    for name in ("conv_1", "conv_2"):
        hidden = layers.Conv2D(UNITS[name], 3, strides=2, padding="same", name=name, **relu)(hidden)
        hidden = _normalised(hidden, params, f"{name}_norm")
    hidden = layers.Flatten(name="flatten", dtype=settings["dtype"])(hidden)
    if params.dropout > 0:
        hidden = layers.Dropout(params.dropout, name="dropout", dtype=settings["dtype"])(hidden)
    bias = keras.initializers.Constant(params.hidden_bias)
    hidden = layers.Dense(UNITS[HIDDEN_LAYER], name=HIDDEN_LAYER, bias_initializer=bias, **relu)(hidden)
    z_mean = layers.Dense(params.latent_dim, name="z_mean", **settings)(hidden)
    z_log_var = layers.Dense(params.latent_dim, name="z_log_var", **settings)(hidden)
    return keras.Model(images, [z_mean, z_log_var], name="encoder")


def build_decoder(params: RunParams) -> keras.Model:
    """Latent vectors (B, latent_dim) to the pixels' log-odds (B, 28, 28, 1)."""
    settings, relu = _layer_settings(params), _relu_settings(params)
    z = keras.Input((params.latent_dim,), name="z")
    hidden = layers.Dense(UNITS["dense"], name="dense", **relu)(z)
    hidden = layers.Reshape((7, 7, 64), name="reshape", dtype=settings["dtype"])(hidden)
    transposed = Conv2DTranspose if params.device == "cpu" else layers.Conv2DTranspose
    for name in ("conv_transpose_1", "conv_transpose_2"):
        hidden = transposed(UNITS[name], 3, strides=2, padding="same", name=name, **relu)(hidden)
        hidden = _normalised(hidden, params, f"{name}_norm")
    logits = transposed(1, 3, padding="same", name="logits", **settings)(hidden)
    return keras.Model(z, logits, name="decoder")


def build_vae(params: RunParams) -> VAE:
    """The model of one run with new weights. They, and the dropout, follow Keras' seed: set it for the same again."""
    return VAE(
        build_encoder(params),
        build_decoder(params),
        beta=params.beta,
        seed=params.seed,
        kl_warmup_steps=params.kl_warmup_steps,
    )


def _layer_settings(params: RunParams) -> dict[str, Any]:
    """What every convolution and dense layer of the run has in common."""
    penalised = params.kernel_l1 > 0 or params.kernel_l2 > 0
    regularizer = keras.regularizers.L1L2(params.kernel_l1, params.kernel_l2) if penalised else None
    return {"kernel_regularizer": regularizer, "dtype": keras.DTypePolicy(params.precision)}


def _relu_settings(params: RunParams) -> dict[str, Any]:
    """What those have in common that end in a ReLU."""
    return _layer_settings(params) | {"activation": "relu", "kernel_initializer": params.initializer}


def _normalised(hidden: tf.Tensor, params: RunParams, name: str) -> tf.Tensor:
    if not params.batch_norm:
        return hidden
    return BatchNormalization(name=name, dtype=keras.DTypePolicy(params.precision))(hidden)
