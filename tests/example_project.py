"""A small project on disk as the stages before `compare` leave it, with made-up but plausible numbers."""

import functools
import pickle
import shutil
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from example_metrics import health, latent, likelihood, quality
from synthetic import plane_map, write_manifest, write_params

from digit_vae.analysis.fold_comparison import fold_study
from digit_vae.analysis.results import Results, read_results
from digit_vae.base.files import npz_bytes, read_json, write_bytes, write_json, write_npy
from digit_vae.base.paths import CLASSIFIER_METRICS, PARAMS, PROCESSED
from digit_vae.config.loading import load_params
from digit_vae.config.runs import Run, find_run, run_params, runs
from digit_vae.config.schema import Params, RunParams
from digit_vae.report.verdicts import Compared

TEST_IMAGES = 200
IMAGES = "a" * 64  # what all runs learn from
MACHINE = {"cpu": "Example CPU", "cores": 2, "gpu": None, "platform": "Linux x86_64", "threads": 1, "device": "cpu"}
FOLDS = ["fold0", "fold1", "fold2"]
MADE = {}  # comparisons by the bytes of their studies; tests get copies


def study(variants: list[str], splits: list[str], seeds: list[int], **further: object) -> dict:
    lists = {"variants": list(variants), "splits": list(splits), "seeds": list(seeds)}  # YAML would name a shared one
    return {"question": "Is it so?", **lists, **further}


STUDIES = {
    "paper": study(["baseline"], ["full"], [0, 1]),
    "ablation": study(["baseline", "dropout"], FOLDS, [0], against="baseline"),
    "seeds": study(["baseline"], ["full"], [2, 3, 4], beside=["paper"], beyond=True),
    "recipe": study(["improved"], ["full"], [0, 1, 2], beside=["paper", "seeds"], against="baseline", beyond=True),
    "recipe_folds": study(["improved"], FOLDS, [0], beside=["ablation"], against="baseline", beyond=True),
    "cures": study(["warmup"], ["full"], [0], beside=["paper", "seeds", "recipe"], against="baseline", beyond=True),
    "beta": study(["beta_0_5", "beta_2"], FOLDS, [0], beside=["ablation"], against="baseline", beyond=True),
}


def write_project(folder: Path, **sections: dict) -> Params:
    """Writes params.yaml with `sections` changed in it, and the JSON files of every declared run."""
    if sections:
        return _write(folder, **sections)
    shutil.copytree(_unchanged().name, folder, dirs_exist_ok=True)
    return load_params(folder / PARAMS)


@functools.cache
def _unchanged() -> TemporaryDirectory:
    """The project that most tests want, written once: a hundred files that are synced to the disk one by one."""
    folder = TemporaryDirectory()
    _write(Path(folder.name))
    return folder


def _write(folder: Path, **sections: dict) -> Params:
    params = write_params(folder, **({"studies": STUDIES} | sections))
    generator = np.random.default_rng(0)
    for run in runs(params):
        write_run(folder, params, run, generator)
    of_training_images = {"frechet_train": 0.8, "precision_train": 0.86, "recall_train": 0.87}
    judge = {"images": TEST_IMAGES, "accuracy": 0.992, "confidence": 0.99, "class_balance": 1.0}
    write_json(folder / CLASSIFIER_METRICS, judge | of_training_images)
    return params


def example_results(folder: Path, graph: str = "beyond", **sections: dict) -> Results:
    """What is read of such a project in the working folder; a test may change what it likes of it."""
    return read_results(write_project(folder, **sections), graph)


def compared(results: Results, name: str) -> Compared:
    """A study on folds with what stage `compare` says of it, which follows from the study alone and takes its time."""
    found = fold_study(results, name)
    key = pickle.dumps(found)
    if key not in MADE:
        MADE[key] = found.compare()
    return Compared(found, deepcopy(MADE[key]))


def change(name: str, file: str, **values: object) -> None:
    """Changes values of one of the JSON files of a run: history, timings, metrics or evaluation."""
    run = find_run(load_params(), name)
    path = getattr(run.files, file)
    write_json(path, read_json(path, made_by="test") | values)


def write_run(folder: Path, params: Params, run: Run, generator: np.random.Generator) -> None:
    settings, files = run_params(params, run), run.files
    kl = generator.normal(6.5, 0.1) / settings.beta**0.3
    reconstruction = generator.normal(149, 0.5) + 6 * np.log2(1 + settings.beta)
    epochs = range(1, settings.epochs + 1)
    history = {
        "run": run.name,
        "params": vars(settings),
        "data": {"train_images": IMAGES, "validation": "b" * 64},
        "epochs": [_epoch(epoch, reconstruction, kl, settings) for epoch in epochs],
    }
    seconds = [{"epoch": epoch, "train_seconds": 20.0 + epoch, "validation_seconds": 1.0} for epoch in epochs]
    metrics = {
        images: _metrics(reconstruction + shift, kl, settings.latent_dim)
        for images, shift in {"validation": 0.0, "test": 0.7}.items()
    }
    metrics["likelihood"] = likelihood(metrics["test"]["elbo"], generator, integral=settings.latent_dim == 2)
    metrics |= {"latent": latent(kl, generator), "quality": quality(generator)}
    write_json(folder / files.history, history)
    write_json(folder / files.timings, {"run": run.name, "machine": MACHINE, "setup_seconds": 3.0, "epochs": seconds})
    write_json(folder / files.metrics, metrics)
    write_json(folder / files.evaluation, {"run": run.name, "machine": MACHINE, "classifier_sha256": "c" * 64})


def write_arrays(folder: Path, params: Params) -> None:
    """What stage `draw` reads: the labels of the test images, samples and digits of every run."""
    generator = np.random.default_rng(0)
    write_npy(folder / PROCESSED / "test_labels.npy", np.arange(TEST_IMAGES, dtype=np.uint8) % 10)
    write_manifest(folder / PROCESSED)
    for run in runs(params):
        files = run.files
        write_bytes(folder / files.samples, npz_bytes(samples(params, generator)))
        shown = ("originals", "reconstructions", "decoded", "prior", "mixture")
        digits = {name: generator.integers(0, 256, (10, 28, 28), dtype=np.uint8) for name in shown}
        write_bytes(folder / files.digits, npz_bytes(digits))


def samples(params: Params, generator: np.random.Generator) -> dict[str, np.ndarray]:
    digits, grid, latent_dim = params.evaluate.digits, params.evaluate.grid, params.train.latent_dim
    found = {"z_mean": generator.normal(size=(TEST_IMAGES, latent_dim)).astype(np.float32)}
    for name in ("originals", "reconstructions", "generated"):
        found[name] = generator.integers(0, 256, (digits, 28, 28), dtype=np.uint8)
    if latent_dim == 2:
        found |= plane_map(generator)
        found["plane"] = generator.integers(0, 256, (grid, grid, 28, 28), dtype=np.uint8)
    return found


def _epoch(epoch: int, reconstruction: float, kl: float, settings: RunParams) -> dict:
    terms = {"reconstruction_loss": reconstruction + 60 / epoch**1.5, "kl_loss": kl * (1 - 0.7 / epoch), "penalty": 0.0}
    record = {"loss": terms["reconstruction_loss"] + settings.beta * terms["kl_loss"]} | terms
    record |= {f"val_{name}": 0.99 * value for name, value in record.items()}
    ill = health(_dead(reconstruction), terms["kl_loss"], settings.latent_dim, asleep=epoch == 1)
    return {"epoch": epoch, "health": ill} | record


def _dead(reconstruction: float) -> int:
    return 11 + round(reconstruction) % 3


def _metrics(reconstruction: float, kl: float, latent_dim: int) -> dict:
    return {
        "images": TEST_IMAGES,
        "reconstruction_loss": reconstruction,
        "kl_loss": kl,
        "elbo": -(reconstruction + kl),
        "kl_per_dimension": {f"z{dimension}": kl / latent_dim for dimension in range(latent_dim)},
        "active_units": latent_dim,
        "dead_units": _dead(reconstruction),
    }
