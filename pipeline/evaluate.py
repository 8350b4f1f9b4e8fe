"""Stage `evaluate@<run>`: measures a trained run on its validation images and on the test images.

    python -m pipeline.evaluate baseline-full

Also what its latent space tells of the digits, and what the classifier says of its images. Writes the run's metrics,
and in its folder what the figures show of it: alone in samples.npz, beside other runs in digits.npz.
"""

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
from threadpoolctl import threadpool_limits

from digit_vae.evaluation.elbo import latent
from digit_vae.evaluation.elbo import likelihood
from digit_vae.evaluation.elbo import quality
from digit_vae.training.checkpoint import CHECKPOINTS
from digit_vae.base.errors import exit_status
from digit_vae.evaluation.elbo import (
    Encoded,
    decode,
    encode,
    generate,
    latent_plane,
    load_vae,
    measure,
    posterior,
    reconstruct,
)
from digit_vae.base.files import json_bytes, npz_bytes, read_listed_npy, remove, write_bytes
from digit_vae.model.device import select_device
from digit_vae.model.vae import VAE
from digit_vae.config.params import EvaluateParams, Params, Run, find_run, load_params, run_params
from digit_vae.data.splits import learnt_and_validated
from digit_vae.serving.trained import read_trained

PROCESSED = Path("data/processed")
CLASSIFIER = Path("models/classifier/model.weights.h5")
POINTS = 10  # at which each run is decoded, to be shown beside the others


class Data(NamedTuple):
    """What a run is evaluated on: images (N, 28, 28, 1) and labels (N,) uint8; validation: images, or int64 indices."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    validation: np.ndarray


def evaluate(params: Params, run: Run, root: Path, data: Data) -> dict[Path, bytes]:
    """The content of the files that are written. Always in float32 on the CPU, so that all runs compare.

    root: below it is what the run's training and stage `classifier` left.
    """
    select_device("cpu")
    settings, asked = run_params(params, run), params.evaluate
    vae = load_vae(settings, read_trained(root / run.folder, settings).weights, made_by=f"train@{run.name}")
    classifier = quality.load_classifier(root / CLASSIFIER)
    with threadpool_limits(limits=1):  # of NumPy and scikit-learn, whose sums depend on the number of threads
        encoded = encode(vae, data.test_images, asked)
        test = latent.Posterior(encoded.z_mean, encoded.z_log_var)
        metrics = measured(vae, classifier, data, encoded, asked)
        samples = shown(vae, data.test_images, test, asked)
        if settings.latent_dim == 2:
            samples |= plane(vae, classifier, test, asked)
    return {
        run.metrics: json_bytes(metrics),
        run.folder / "samples.npz": npz_bytes(samples),
        run.folder / "digits.npz": npz_bytes(beside_others(vae, data.test_images, data.test_labels)),
    }


def measured(vae: VAE, classifier: keras.Model, data: Data, test: Encoded, params: EvaluateParams) -> dict[str, dict]:
    """All metrics of a run. test: the test images, encoded."""
    _, validation_images = learnt_and_validated(data.train_images, data.validation)
    encoded = {"validation": encode(vae, validation_images, params), "test": test}
    train_mean, _ = posterior(vae, data.train_images)
    posteriors = latent.Posterior(test.z_mean, test.z_log_var)
    drawn = {"draws": params.samples, "seed": params.seed}
    judged = {"generated": params.generated, "seed": params.seed}
    return {
        **{name: measure(each, params.active_unit_variance) for name, each in encoded.items()},
        "likelihood": likelihood.measure(vae, data.test_images, test, params),
        "latent": latent.measure(train_mean, data.train_labels, posteriors, data.test_labels, **drawn),
        "quality": quality.measure(vae, classifier, data.test_images, data.test_labels, **judged),
    }


def shown(vae: VAE, images: np.ndarray, test: latent.Posterior, params: EvaluateParams) -> dict[str, np.ndarray]:
    """z_mean of all test images, the first of `images` with their reconstructions, and draws of the prior."""
    originals = images[: params.digits]
    return {
        "z_mean": test.mean,
        "originals": originals[..., 0],
        "reconstructions": reconstruct(vae, originals),
        "generated": generate(vae, params.digits, params.seed),
    }


def plane(vae: VAE, classifier: keras.Model, test: latent.Posterior, params: EvaluateParams) -> dict[str, np.ndarray]:
    """The decoded plane, and for each cell of a map of it: what the classifier sees there, how sure it is, and the
    probability of the cell under the aggregate posterior of the test images.
    """
    edges = latent.plane_edges(params.map_cells)
    judged = quality.judge_plane(vae, classifier, edges)
    cells = (params.map_cells, params.map_cells)
    return {
        "plane": latent_plane(vae, params.grid),
        "map_edges": edges,
        "map_classes": judged.classes.astype(np.uint8).reshape(cells),
        "map_confidence": judged.probabilities.max(axis=1).reshape(cells),
        "map_mass": latent.aggregate_mass(test, edges),
    }


def beside_others(vae: VAE, images: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """What a run makes of the first of `images` of each digit, and of ten points of the latent space that are the same
    for all runs: in the plane of its first two dimensions, on the circle that holds half of the prior there.
    """
    originals = images[[int((labels == digit).argmax()) for digit in range(10)]]
    z = np.zeros((POINTS, vae.decoder.inputs[0].shape[-1]), np.float32)
    angles = 2 * np.pi * np.arange(POINTS) / POINTS
    circle = np.sqrt(2 * np.log(2)) * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    z[:, :2] = circle[:, : z.shape[1]]
    return {"originals": originals[..., 0], "reconstructions": reconstruct(vae, originals), "decoded": decode(vae, z)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="a name of runs.yaml, such as baseline-full")
    name = parser.parse_args().run
    params = load_params()
    run = find_run(params, name)
    files = {name: f"{name}.npy" for name in Data._fields} | {"validation": run.validation_file}
    data = Data(**{name: read_listed_npy(PROCESSED, file, made_by="preprocess")[0] for name, file in files.items()})
    for path, content in evaluate(params, run, Path(), data).items():
        write_bytes(path, content)
    remove(CHECKPOINTS / run.name)  # DVC has recorded the training by now; killed before, it went on from here


if __name__ == "__main__":
    sys.exit(exit_status(main))
