"""What tests of the site compare with: the published models in TensorFlow, and digits in place of the test images."""

import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from digit_vae.config.loading import load_params
from digit_vae.config.runs import find_run, run_params
from digit_vae.evaluation.elbo import load_vae
from digit_vae.model.device import select_device
from digit_vae.model.vae import VAE

ROOT = Path(__file__).parents[1]
DIGITS = 400


def scanned_digits() -> tuple[np.ndarray, np.ndarray]:
    """Scanned digits of 8x8 pixels, three times as large and centred: (N, 28, 28, 1) and (N,), both uint8."""
    digits = load_digits()
    large = np.kron(digits.images[:DIGITS], np.ones((1, 3, 3)))
    images = np.pad(np.rint(large * 255 / 16).astype(np.uint8), ((0, 0), (2, 2), (2, 2)))[..., np.newaxis]
    return images, digits.target[:DIGITS].astype(np.uint8)


@contextlib.contextmanager
def committed(folder: Path = ROOT) -> Iterator[None]:
    """In the folder that has the committed results, or another one."""
    with contextlib.chdir(folder):
        yield


@functools.cache
def truth(name: str) -> VAE:
    """A published model with its committed weights."""
    select_device("cpu")  # before TensorFlow is used: it takes its threads but once, and later tests ask for one
    with committed():
        params = load_params()
        run = find_run(params, name)
        files = run.files.published
        parts = (files / f"{part}.weights.h5" for part in ("encoder", "decoder"))
        return load_vae(run_params(params, run), *parts, made_by="publish")
