"""The model that MLflow loads, "from code": this file and two ONNX files are copied into the model's folder.

It needs MLflow, NumPy and ONNX Runtime, neither this project nor TensorFlow, and nothing is unpickled. `predict` takes
a float32 array with three axes, and the parameters

    task      encode       images (N, 28, 28)   ->  z_mean, z_log_var (N, d)
              reconstruct  images (N, 28, 28)   ->  these, reconstruction (N, 28, 28) and elbo (N,); the default
              decode       z (N, 1, d)          ->  reconstruction (N, 28, 28)
              generate     anything             ->  z (count, d) from the prior N(0, I), reconstruction (count, 28, 28)
    scale     "0-1" or "0-255": the pixels of images, those that go in and those that come out
    samples   how many draws of z the ELBO is a mean over; times the images, at most 40,000
    seed      of the draws
    count     of digits to generate

A reconstruction has the pixels' probabilities, decoded from z_mean. The ELBO is in nats per image, at beta 1:
E_q[log p(x|z)] - KL(q(z|x) || N(0, I)) (Kingma & Welling 2014, eq. 3). All images share the draws of epsilon, so
that the ELBO of an image does not depend on which others stand beside it.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc.model import PythonModel, PythonModelContext

TASKS = ("encode", "reconstruct", "decode", "generate")
SCALES = {"0-1": 1, "0-255": 255}
DEFAULTS: dict[str, str | int] = {"task": "reconstruct", "scale": "0-1", "samples": 4, "seed": 0, "count": 10}
LARGEST = {"samples": 1000, "seed": 2**31 - 1, "count": 1000}
SIDE = 28
BATCH = 500  # images at once
FARTHEST = 1000  # a coordinate of z, whose prior is N(0, 1): float32 overflows on the way from much farther ones
MOST_DRAWS = 40_000  # of a call: 10,000 images with 4 draws each, half a minute on a slow core

Floats = npt.NDArray[np.float32]


class DigitModel(PythonModel):
    """Encoder and decoder in ONNX Runtime, one thread a call: a server has a call for each client."""

    def load_context(self, context: PythonModelContext) -> None:
        self._encoder, self._decoder = (_session(context.artifacts[part]) for part in ("encoder", "decoder"))
        self._latent_dim = int(self._decoder.get_inputs()[0].shape[1])

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002 - MLflow's interface
        model_input: np.ndarray,
        params: Mapping[str, Any] | None = None,
    ) -> dict[str, Floats]:
        """See the module. Raises: MlflowException (of a bad request) for input of the wrong shape, dtype or range, or
        that asks for too much work.
        """
        asked = DEFAULTS | dict(params or {})
        task, white = _one_of(TASKS, "task", asked["task"]), SCALES[_one_of(SCALES, "scale", asked["scale"])]
        for name, largest in LARGEST.items():
            _expect(0 if name == "seed" else 1, largest, name, asked[name])
        if task == "generate":
            z = self._draws(asked["seed"], asked["count"])
            return {"z": z, "reconstruction": self._decoded(z) * np.float32(white)}
        if task == "decode":
            _expect_numbers(model_input, (1, self._latent_dim))
            if (farthest := float(np.abs(model_input).max())) > FARTHEST:
                raise _bad(f"expected coordinates of z from -{FARTHEST} to {FARTHEST}; received {farthest:g} off 0")
            return {"reconstruction": self._decoded(model_input[:, 0]) * np.float32(white)}
        _expect_numbers(model_input, (SIDE, SIDE))
        _expect_range(model_input, asked["scale"])
        if task == "reconstruct" and (draws := len(model_input) * asked["samples"]) > MOST_DRAWS:
            raise _bad(f"expected images times samples to be at most {MOST_DRAWS}; received {draws}")
        return self._of_images(np.asarray(model_input / white, np.float32), asked)

    def _of_images(self, images: Floats, asked: Mapping[str, Any]) -> dict[str, Floats]:
        """images: (N, 28, 28) in [0, 1]."""
        z_mean, z_log_var = self._encoded(images)
        found = {"z_mean": z_mean, "z_log_var": z_log_var}
        if asked["task"] == "reconstruct":
            found["reconstruction"] = self._decoded(z_mean) * np.float32(SCALES[asked["scale"]])
            found["elbo"] = self._elbo(images, z_mean, z_log_var, self._draws(asked["seed"], asked["samples"]))
        return found

    def _encoded(self, images: Floats) -> tuple[Floats, Floats]:
        """q(z|x) of images (N, 28, 28) in [0, 1]: z_mean and z_log_var, each (N, d)."""
        parts = [self._encoder.run(None, {"images": batch[..., np.newaxis]}) for batch in _batches(images)]
        z_mean, z_log_var = (np.concatenate(part) for part in zip(*parts, strict=True))
        return z_mean, z_log_var

    def _decoded(self, z: Floats) -> Floats:
        """The pixels' probabilities, (N, 28, 28)."""
        parts = [self._decoder.run(["probabilities"], {"z": batch})[0] for batch in _batches(z)]
        return np.asarray(np.concatenate(parts)[..., 0], np.float32)

    def _elbo(self, images: Floats, z_mean: Floats, z_log_var: Floats, epsilon: Floats) -> Floats:
        """Nats per image, (N,). epsilon: (S, d)."""
        reconstruction_loss = np.zeros(len(images))
        for noise in epsilon:
            z = z_mean + np.exp(z_log_var / 2) * noise
            losses = [self._losses(*pair) for pair in zip(_batches(images), _batches(z), strict=True)]
            reconstruction_loss += np.concatenate(losses) / len(epsilon)
        kl = (np.square(z_mean) + np.exp(z_log_var) - 1 - z_log_var).sum(axis=1, dtype=np.float64) / 2
        return np.asarray(-reconstruction_loss - kl, np.float32)

    def _losses(self, images: Floats, z: Floats) -> npt.NDArray[np.float64]:
        """-log p(x|z) in nats, (N,): log(1 + exp(l)) - x l, summed over the pixels, with their log-odds l."""
        logits = self._decoder.run(["logits"], {"z": z})[0][..., 0]
        terms = np.maximum(logits, 0) + np.log1p(np.exp(-np.abs(logits))) - images * logits
        return np.asarray(terms.sum(axis=(1, 2), dtype=np.float64))

    def _draws(self, seed: int, count: int) -> Floats:
        """(count, d) draws from N(0, I)."""
        return np.random.default_rng(seed).standard_normal((count, self._latent_dim), dtype=np.float32)


def _session(path: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _batches(values: Floats) -> Iterator[Floats]:
    return (values[start : start + BATCH] for start in range(0, len(values), BATCH))


def _bad(message: str) -> MlflowException:
    return MlflowException(message, INVALID_PARAMETER_VALUE)


def _one_of(known: Any, name: str, value: object) -> str:  # noqa: ANN401 - any collection of texts
    if value not in known:
        raise _bad(f"expected {name} to be one of {', '.join(known)}; received {value!r}")
    return str(value)


def _expect(least: int, most: int, name: str, value: int) -> None:
    if not least <= value <= most:
        raise _bad(f"expected {name} to be a whole number from {least} to {most}; received {value}")


def _expect_numbers(values: object, shape: tuple[int, int]) -> None:
    """An array of float32 with this shape behind the first axis, and finite numbers in it."""
    expected = f"an array of float32 of shape (N, {shape[0]}, {shape[1]}) with N of at least 1"
    if not isinstance(values, np.ndarray):
        raise _bad(f"expected {expected}; received {type(values).__name__}")
    if values.dtype != np.float32 or values.shape[1:] != shape or not len(values):
        raise _bad(f"expected {expected}; received {values.dtype} of shape {values.shape}")
    if not np.isfinite(values).all():
        raise _bad("expected finite numbers; received NaN or an infinity")


def _expect_range(images: Floats, scale: str) -> None:
    """Pixels within the scale, and not all within the other one."""
    low, high, white = float(images.min()), float(images.max()), SCALES[scale]
    if low < 0 or high > white:
        raise _bad(f"expected pixels from 0 to {white} (scale {scale}); received values from {low:g} to {high:g}")
    if scale == "0-255" and 0 < high <= 1:
        raise _bad(f"expected pixels from 0 to 255 (scale 0-255); received none above {high:g}, as of scale 0-1")


set_model(DigitModel())
