"""The published encoder and decoder in NumPy, from their weights files: the site is built without TensorFlow.

Convolutions are 3x3 with "same" padding as Keras has it: where a stride of 2 leaves one row and column to pad, they are
the last ones.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from digit_vae.base.errors import UserError
from digit_vae.base.files import damaged, existing

STAGE = "publish"  # commits the weights
BATCH = 250  # images at a time: what a layer makes of them stays small
# By the names that Keras gives the layers in a file, in their order: those that model/vae.py has.
ENCODER = {"conv2d": "conv_1", "conv2d_1": "conv_2", "dense": "hidden", "dense_1": "z_mean", "dense_2": "z_log_var"}
DECODER = {
    "dense": "dense",
    "conv2d_transpose": "conv_transpose_1",
    "conv2d_transpose_1": "conv_transpose_2",
    "conv2d_transpose_2": "logits",
}
UNREADABLE = (OSError, KeyError, RuntimeError, ValueError, TypeError)  # what h5py raises for damaged bytes

Layer = tuple[np.ndarray, np.ndarray]


class Network(NamedTuple):
    """Kernel and bias of each layer by its name, float32: shapes are those of Keras."""

    encoder: dict[str, Layer]
    decoder: dict[str, Layer]

    @property
    def latent_dim(self) -> int:
        return len(self.encoder["z_mean"][1])


class Posteriors(NamedTuple):
    """Of N images, float32: q(z|x) as (N, latent_dim), and the losses of each in nats as (N,).

    reconstruction_loss: of the image decoded from z_mean, without a draw: below the mean over draws that metrics have.
    """

    z_mean: np.ndarray
    z_log_var: np.ndarray
    reconstruction_loss: np.ndarray
    kl: np.ndarray


def read_network(folder: Path) -> Network:
    """The weights in `folder`. Raises: UserError when they are missing, damaged, or those of other layers."""
    return Network(_read(folder / "encoder.weights.h5", ENCODER), _read(folder / "decoder.weights.h5", DECODER))


def encode(network: Network, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """images: (N, 28, 28) uint8. Returns: z_mean and z_log_var, each (N, latent_dim) float32."""
    hidden = images[..., np.newaxis].astype(np.float32) / np.float32(255)
    for name in ("conv_1", "conv_2"):
        hidden = _relu(_convolution(hidden, *network.encoder[name]))
    hidden = _relu(_dense(hidden.reshape(len(images), -1), *network.encoder["hidden"]))
    return _dense(hidden, *network.encoder["z_mean"]), _dense(hidden, *network.encoder["z_log_var"])


def decode(network: Network, z: np.ndarray) -> np.ndarray:
    """z: (N, latent_dim) float32. Returns: the log-odds of the pixels, (N, 28, 28) float32."""
    hidden = _relu(_dense(z, *network.decoder["dense"])).reshape(len(z), 7, 7, 64)
    for name in ("conv_transpose_1", "conv_transpose_2"):
        hidden = _relu(_transposed(hidden, *network.decoder[name], stride=2))
    return _transposed(hidden, *network.decoder["logits"], stride=1)[..., 0]


def measure(network: Network, images: np.ndarray) -> Posteriors:
    """images: (N, 28, 28) uint8."""
    parts = [_measured(network, batch) for batch in _batches(images)]
    return Posteriors(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _measured(network: Network, images: np.ndarray) -> Posteriors:
    """The cross-entropy from log-odds l is log(1 + e^l) - x l for a pixel; the KL is Kingma & Welling 2014, appendix B."""
    mean, log_var = encode(network, images)
    logits = decode(network, mean)
    losses = np.logaddexp(0, logits) - images.astype(np.float32) / 255 * logits
    kl = 0.5 * (mean**2 + np.exp(log_var) - 1 - log_var).sum(axis=1)
    return Posteriors(mean, log_var, losses.sum(axis=(1, 2)), kl)


def _read(path: Path, layers: dict[str, str]) -> dict[str, Layer]:
    try:
        with h5py.File(existing(path, made_by=STAGE)) as file:
            found = {name for name, group in file["layers"].items() if len(group["vars"])}
            if found != set(layers):
                expected, received = ", ".join(sorted(layers)), ", ".join(sorted(found))
                raise UserError(f"{path}: expected the layers {expected}; received {received}")
            return {ours: _variables(file[f"layers/{name}/vars"]) for name, ours in layers.items()}
    except UNREADABLE as error:
        raise damaged(path, STAGE, " ".join(str(error).split())) from error


def _variables(group: h5py.Group) -> Layer:
    return np.asarray(group["0"], np.float32), np.asarray(group["1"], np.float32)


def _batches(images: np.ndarray) -> Iterator[np.ndarray]:
    return (images[start : start + BATCH] for start in range(0, len(images), BATCH))


def _relu(values: np.ndarray) -> np.ndarray:
    return np.maximum(values, 0)


def _dense(values: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    return values @ kernel + bias


def _convolution(images: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """With a stride of 2. images: (N, H, W, in), H and W even; kernel: (3, 3, in, out)."""
    padded = np.pad(images, ((0, 0), (0, 1), (0, 1), (0, 0)))
    windows = sliding_window_view(padded, (3, 3), axis=(1, 2))[:, ::2, ::2]
    return np.tensordot(windows, kernel, axes=((3, 4, 5), (2, 0, 1))) + bias


def _transposed(images: np.ndarray, kernel: np.ndarray, bias: np.ndarray, *, stride: int) -> np.ndarray:
    """Each pixel is spread over 3x3 ones. images: (N, H, W, in); kernel: (3, 3, out, in)."""
    count, height, width, _ = images.shape
    spread = np.tensordot(images, kernel, axes=((3,), (3,)))
    sums = np.zeros((count, stride * height + 2, stride * width + 2, kernel.shape[2]), np.float32)
    for row in range(3):
        for column in range(3):
            ends = row + stride * height, column + stride * width
            sums[:, row : ends[0] : stride, column : ends[1] : stride] += spread[:, :, :, row, column]
    first = (3 - stride) // 2
    return sums[:, first : first + stride * height, first : first + stride * width] + bias
