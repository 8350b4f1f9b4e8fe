"""The health of a model in training: units that no image makes positive, latent dimensions that carry nothing.

A dead unit has no gradient and hardly ever comes back. A collapsed dimension (Burda et al. 2016, section 5) costs no KL
and tells nothing of the image. Both explain why one run ends worse than another.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from digit_vae.base.errors import UserError
from digit_vae.config.schema import HealthParams

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from digit_vae.model.vae import VAE

COLLAPSED_NATS = 0.1  # a latent dimension with a mean KL below this has collapsed
# Of each layer with a ReLU; of a convolution, its channels.
UNITS = {"conv_1": 32, "conv_2": 64, "hidden": 16, "dense": 7 * 7 * 64, "conv_transpose_1": 64, "conv_transpose_2": 32}
IMAGES = 2000  # looked at after each epoch: 1 % of its time
BATCH = 500


def examination(vae: "VAE", images: np.ndarray) -> Callable[[], dict[str, Any]]:
    """A function that says how the model does on the first 2,000 of `images` as it is then, in nats per image.

    images: (N, 28, 28, 1) uint8. Returns: the function, whose result is
        dead_units: for each layer with a ReLU, the number of its units that are positive nowhere in any image; the
            decoder's when it decodes z_mean;
        kl_per_dimension: the mean KL(q(z_i|x) || p(z_i)) of each latent dimension;
        collapsed_dimensions: the number of those below COLLAPSED_NATS.
    """
    # Here, since the report needs the limits below, and not TensorFlow.
    import keras
    import tensorflow as tf

    from digit_vae.model import losses

    units = [_rectified(part) for part in (vae.encoder, vae.decoder)]
    encoder = keras.Model(vae.encoder.inputs, [*units[0].values(), *vae.encoder.outputs])
    decoder = keras.Model(vae.decoder.inputs, [*units[1].values(), *vae.decoder.outputs])
    images = images[:IMAGES]

    @tf.function(input_signature=[tf.TensorSpec((None, 28, 28, 1), tf.uint8)])
    def look(batch: "tf.Tensor") -> tuple[list["tf.Tensor"], "tf.Tensor"]:
        *encoder_units, z_mean, z_log_var = encoder(tf.cast(batch, tf.float32) / 255.0, training=False)
        *decoder_units, _ = decoder(z_mean, training=False)
        maxima = [tf.reduce_max(each, axis=range(len(each.shape) - 1)) for each in encoder_units + decoder_units]
        return maxima, losses.kl_per_dimension(z_mean, z_log_var)

    def examine() -> dict[str, Any]:
        batches = [look(images[start : start + BATCH]) for start in range(0, len(images), BATCH)]
        maxima, kl = zip(*batches, strict=True)
        dead = [int((np.max(maximum, axis=0) <= 0).sum()) for maximum in zip(*maxima, strict=True)]
        kl = np.concatenate(kl).mean(axis=0, dtype=np.float64)
        return {
            "dead_units": dict(zip([*units[0], *units[1]], dead, strict=True)),
            "collapsed_dimensions": int((kl < COLLAPSED_NATS).sum()),
            "kl_per_dimension": {f"z{number}": float(f"{value:.6g}") for number, value in enumerate(kl)},
        }

    return examine


def _rectified(part: "keras.Model") -> dict[str, "keras.KerasTensor"]:
    """What each layer with a ReLU of an encoder or decoder gives, by the layer's name."""
    return {layer.name: layer.output for layer in part.layers if layer.name in UNITS}


def complaints(epoch: Mapping[str, Any], limits: HealthParams) -> list[str]:
    """What is beyond the limits that warn after an epoch of history.json, a few words each.

    Raises: UserError when something is beyond the limits that fail.
    """
    if epoch["epoch"] < limits.epochs:
        return []
    return [*_dead(epoch["health"]["dead_units"], limits), *_collapsed(epoch["health"], limits)]


def _dead(dead_units: Mapping[str, int], limits: HealthParams) -> Iterator[str]:
    for layer, dead in dead_units.items():
        what = f"{dead} of {UNITS[layer]} units of layer {layer} are dead"
        if _beyond(dead / UNITS[layer], what, "dead_share", limits.warn_dead_share, limits.fail_dead_share):
            yield what


def _collapsed(health: Mapping[str, Any], limits: HealthParams) -> Iterator[str]:
    collapsed = health["collapsed_dimensions"]
    what = f"{collapsed} of {len(health['kl_per_dimension'])} latent dimensions have collapsed"
    if _beyond(collapsed, what, "collapsed", limits.warn_collapsed, limits.fail_collapsed):
        yield what


def _beyond(value: float, what: str, key: str, warn: float | None, fail: float | None) -> bool:
    if fail is not None and value >= fail:
        raise UserError(f"{what}: expected less than health.fail_{key}, which is {fail:g}; received {value:g}")
    return warn is not None and value >= warn
