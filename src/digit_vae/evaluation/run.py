"""What makes the files of an evaluation: a trained run and the data in; metrics, and what figures show, out.

Always in float32 on the CPU, so that all runs compare.
"""

import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import numpy as np
from threadpoolctl import threadpool_limits

from digit_vae.base.errors import UserError
from digit_vae.base.files import damaged, existing, json_bytes, npz_bytes, read_json, sha256
from digit_vae.base.paths import CLASSIFIER_WEIGHTS, RunFiles
from digit_vae.base.provenance import EVALUATED_WITH
from digit_vae.config.loading import read_run_params
from digit_vae.config.runs import Run, run_params
from digit_vae.config.schema import EvaluateParams, Params
from digit_vae.data.arrays import Arrays
from digit_vae.evaluation import latent, likelihood
from digit_vae.evaluation.classifier import judge_plane, load_classifier
from digit_vae.evaluation.coding import decode, generate, latent_plane, posterior, reconstruct
from digit_vae.evaluation.elbo import Encoded, encode, load_vae, measure
from digit_vae.evaluation.mixture import IMAGES, Mixture, draw_posterior, fit_mixture
from digit_vae.evaluation.quality import generate_mixture, measure_quality
from digit_vae.model.device import select_device
from digit_vae.model.vae import VAE

POINTS = 10  # at which each run is decoded, to be shown beside the others
BESIDE = 10  # test images at most that are shown so


def evaluate_run(
    params: Params, run: Run, root: Path, arrays: Arrays, held_out: np.ndarray, commit: str | None = None
) -> dict[Path, bytes]:
    """The content of the evaluation's files by path.

    root: below it is what the run's training and stage `classifier` left. held_out: (M,) indices of the training images
    that the run is validated on, none of `full`. commit: that of the code.
    Raises: UserError when a file is missing or damaged, or the run was trained with other params.
    """
    started, machine = time.time(), select_device("cpu")
    files, asked = RunFiles(run.graph, run.name), params.evaluate
    judge_sha256 = sha256(existing(root / CLASSIFIER_WEIGHTS, made_by="classifier"))
    vae = _load_trained(params, run, root)
    classifier = load_classifier(root / CLASSIFIER_WEIGHTS, arrays.train_labels)
    with threadpool_limits(limits=1):  # of NumPy and scikit-learn, whose sums depend on the number of threads
        encoded = encode(vae, arrays.test_images, asked)
        test = latent.Posterior(encoded.z_mean, encoded.z_log_var)
        train = latent.Posterior(*posterior(vae, arrays.train_images))
        mixture = _mixture(train, held_out, asked)
        metrics = _measured(vae, arrays, held_out, encoded, train, asked)
        if classifier is not None:
            judged = (arrays.test_images, arrays.test_labels, mixture, asked)
            metrics["quality"] = measure_quality(vae, classifier, *judged)
        samples = _shown(vae, arrays.test_images, test, mixture, asked)
        plane = _plane(vae, classifier, test, asked) if test.mean.shape[1] == 2 else {}
        digits = _beside_others(vae, arrays.test_images, arrays.test_labels, mixture, asked) | _small_map(plane)
    finished = time.time()
    evaluation = {
        "run": run.name,
        "started_at": started,
        "finished_at": finished,
        "seconds": finished - started,
        "git_commit": commit,
        "classifier_sha256": judge_sha256,
        "machine": machine | {package: version(package) for package in EVALUATED_WITH},
    }
    return {
        files.metrics: json_bytes(metrics),
        files.evaluation: json_bytes(evaluation),
        files.samples: npz_bytes(samples | plane),
        files.digits: npz_bytes(digits),
    }


def _load_trained(params: Params, run: Run, root: Path) -> VAE:
    """The run's model, whose files have to be those that its history was written with."""
    files, stage = RunFiles(run.graph, run.name), run.stages[0]
    history = read_json(root / files.history, made_by=stage, keys=("params", "weights_sha256"))
    settings = run_params(params, run)
    if read_run_params(history["params"], f"{files.history}: params") != settings:
        raise UserError(f"{files.history} is of other params than params.yaml has: run `dvc repro {stage}`")
    for part, path in {"encoder": root / files.encoder, "decoder": root / files.decoder}.items():
        if sha256(existing(path, made_by=stage)) != history["weights_sha256"][part]:
            raise damaged(path, stage, "its SHA-256 is not the one in history.json")
    return load_vae(settings, root / files.encoder, root / files.decoder, made_by=stage)


def _mixture(train: latent.Posterior, held_out: np.ndarray, params: EvaluateParams) -> Mixture:
    """Of the latents of the images that the run learnt from. train: of all training images."""
    learnt = latent.Posterior(*(np.delete(part, held_out, axis=0) for part in train))
    z = draw_posterior(learnt, IMAGES, params.seed)
    return fit_mixture(z, params.mixture_components, params.seed)


def _measured(
    vae: VAE,
    arrays: Arrays,
    held_out: np.ndarray,
    test: Encoded,
    train: latent.Posterior,
    params: EvaluateParams,
) -> dict[str, dict[str, Any]]:
    """All metrics of a run but those of its images. test, train: the test and the training images, encoded."""
    validated = encode(vae, arrays.train_images[held_out], params) if held_out.size else test
    encoded = {"validation": validated, "test": test}
    posteriors = latent.Posterior(test.z_mean, test.z_log_var)
    drawn = {"draws": params.samples, "seed": params.seed}
    return {
        **{name: measure(each, params.active_unit_variance) for name, each in encoded.items()},
        "likelihood": likelihood.measure(vae, arrays.test_images, test, params),
        "latent": latent.measure(train.mean, arrays.train_labels, posteriors, arrays.test_labels, **drawn),
    }


def _shown(
    vae: VAE, images: np.ndarray, test: latent.Posterior, mixture: Mixture, params: EvaluateParams
) -> dict[str, np.ndarray]:
    """z_mean of all test images, the first of `images` with their reconstructions, and draws of prior and mixture."""
    originals = images[: params.digits]
    return {
        "z_mean": test.mean,
        "originals": originals[..., 0],
        "reconstructions": reconstruct(vae, originals),
        "generated": generate(vae, params.digits, params.seed),
        "mixture": generate_mixture(vae, mixture, params.digits, params.seed),
    }


def _plane(
    vae: VAE, classifier: keras.Model | None, test: latent.Posterior, params: EvaluateParams
) -> dict[str, np.ndarray]:
    """The decoded plane, and for each cell of a map of it the probability of the cell under the aggregate posterior of
    the test images and, if there is a classifier, what it sees there and how sure it is.
    """
    edges = latent.plane_edges(params.map_cells)
    samples = {"plane": latent_plane(vae, params.grid), "map_edges": edges}
    if classifier is not None:
        judged, cells = judge_plane(vae, classifier, edges), (params.map_cells, params.map_cells)
        samples["map_classes"] = judged.classes.astype(np.uint8).reshape(cells)
        samples["map_confidence"] = judged.probabilities.max(axis=1).reshape(cells)
    return samples | {"map_mass": latent.aggregate_mass(test, edges)}


def _small_map(plane: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What the site shows of the plane's map, small enough for git: the classifier's confidence in whole per cent."""
    if "map_confidence" not in plane:  # no plane, or no classifier
        return {}
    percent = np.rint(100 * plane["map_confidence"]).astype(np.uint8)
    return {"map_classes": plane["map_classes"], "map_percent": percent, "map_edges": plane["map_edges"]}


def _beside_others(
    vae: VAE, images: np.ndarray, labels: np.ndarray, mixture: Mixture, params: EvaluateParams
) -> dict[str, np.ndarray]:
    """What a run makes of the first of `images` of each class, or of the first ones if there are no labels, and of ten
    points of the latent space that are the same for all runs: in the plane of its first two dimensions, on the circle
    that holds half of the prior there. Also as many draws of the prior, and of the run's mixture.
    """
    firsts = np.unique(labels, return_index=True)[1] if labels.size else np.arange(len(images))
    originals = images[firsts[:BESIDE]]
    z = np.zeros((POINTS, vae.decoder.inputs[0].shape[-1]), np.float32)
    angles = 2 * np.pi * np.arange(POINTS) / POINTS
    circle = np.sqrt(2 * np.log(2)) * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    z[:, :2] = circle[:, : z.shape[1]]
    return {
        "originals": originals[..., 0],
        "reconstructions": reconstruct(vae, originals),
        "decoded": decode(vae, z),
        "prior": generate(vae, POINTS, params.seed),
        "mixture": generate_mixture(vae, mixture, POINTS, params.seed),
    }
