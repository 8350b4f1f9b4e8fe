"""The paper's model as Keras' own VAE example writes it, trained by Keras' own `fit`: what our speed is compared with.

Source: https://keras.io/examples/generative/vae/ (Francois Chollet), with validation. Nothing of this project's model
or training is used, and nothing is set that a user of Keras would not set.
"""

import time

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from digit_vae.base.errors import UserError
from digit_vae.config.schema import RunParams
from digit_vae.config.values import Device


class Sampling(layers.Layer):
    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.seed_generator = keras.random.SeedGenerator(1337)

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        z_mean, z_log_var = inputs
        epsilon = keras.random.normal(shape=ops.shape(z_mean), seed=self.seed_generator)
        return z_mean + ops.exp(0.5 * z_log_var) * epsilon


class VAE(keras.Model):
    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder(latent_dim), decoder(latent_dim)
        self.loss_tracker = keras.metrics.Mean(name="loss")

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return [self.loss_tracker]

    def loss_of(self, images: tf.Tensor) -> tf.Tensor:
        """The negative ELBO, mean over the batch (nats per image)."""
        z_mean, z_log_var, z = self.encoder(images)
        pixels = keras.losses.binary_crossentropy(images, self.decoder(z))
        kl = -0.5 * (1 + z_log_var - ops.square(z_mean) - ops.exp(z_log_var))
        return ops.mean(ops.sum(pixels, axis=(1, 2))) + ops.mean(ops.sum(kl, axis=1))

    def train_step(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.GradientTape() as tape:
            loss = self.loss_of(images)
        gradients = tape.gradient(loss, self.trainable_weights)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
        self.loss_tracker.update_state(loss)
        return {"loss": self.loss_tracker.result()}

    def test_step(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        self.loss_tracker.update_state(self.loss_of(images))
        return {"loss": self.loss_tracker.result()}


def encoder(latent_dim: int) -> keras.Model:
    images = keras.Input(shape=(28, 28, 1))
    x = layers.Conv2D(32, 3, activation="relu", strides=2, padding="same")(images)
    x = layers.Conv2D(64, 3, activation="relu", strides=2, padding="same")(x)
    x = layers.Flatten()(x)
    x = layers.Dense(16, activation="relu")(x)
    z_mean = layers.Dense(latent_dim)(x)
    z_log_var = layers.Dense(latent_dim)(x)
    return keras.Model(images, [z_mean, z_log_var, Sampling()([z_mean, z_log_var])])


def decoder(latent_dim: int) -> keras.Model:
    z = keras.Input(shape=(latent_dim,))
    x = layers.Dense(7 * 7 * 64, activation="relu")(z)
    x = layers.Reshape((7, 7, 64))(x)
    x = layers.Conv2DTranspose(64, 3, activation="relu", strides=2, padding="same")(x)
    x = layers.Conv2DTranspose(32, 3, activation="relu", strides=2, padding="same")(x)
    return keras.Model(z, layers.Conv2DTranspose(1, 3, activation="sigmoid", padding="same")(x))


class Clock(keras.callbacks.Callback):
    """The seconds of each epoch, validation included."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def on_epoch_begin(self, *_: object) -> None:
        self._started = time.perf_counter()

    def on_epoch_end(self, *_: object) -> None:
        self.seconds.append(time.perf_counter() - self._started)


def fit(params: RunParams, images: np.ndarray, validation_images: np.ndarray) -> tuple[list[float], float]:
    """Trains a new model on params.device, on as many threads as TensorFlow likes.

    images, validation_images: float32 (N, 28, 28, 1) in [0, 1].
    Returns: the seconds of each epoch, validation included, and the last validation loss.
    Raises: UserError when the device is a GPU and TensorFlow sees none.
    """
    _use(params.device)
    keras.utils.set_random_seed(params.seed)
    vae, clock = VAE(params.latent_dim), Clock()
    vae.compile(optimizer=keras.optimizers.Adam(params.learning_rate))
    history = vae.fit(
        images,
        batch_size=params.batch_size,
        epochs=params.epochs,
        validation_data=(validation_images,),
        callbacks=[clock],
        verbose=0,
    )
    return clock.seconds, float(history.history["val_loss"][-1])


def _use(device: Device) -> None:
    """Lets Keras choose the device, which is a GPU if there is one; on `cpu`, hides GPUs from it."""
    gpus = tf.config.list_physical_devices("GPU")
    if device == "gpu" and not gpus:
        raise UserError("expected a GPU that TensorFlow can see; received none")
    if device == "cpu" and gpus:
        tf.config.set_visible_devices([], "GPU")
