"""A small project on disk as the stages before `compare` and `plot` leave it, with made-up but plausible numbers.

Of extended runs there is only what git keeps.
"""

import copy
from pathlib import Path

import numpy as np
import yaml
from example_metrics import health, latent, likelihood, quality
from synthetic import plane_map, write_manifest

from digit_vae.base.files import npz_bytes, write_bytes, write_json, write_npy
from digit_vae.config.params import Params, Run, RunParams, load_params, run_params, runs
from digit_vae.analysis.results import Results
from pipeline import compare, plot
from digit_vae.analysis.publish import CLASSIFIER, DIGITS, EVALUATION, METRICS, evaluation, reported_file, shown_beside

ROOT = Path(__file__).resolve().parent.parent
TEST_IMAGES = 200


def write_project(folder: Path, **sections: dict) -> Params:
    """Writes params.yaml with `sections` changed in it (`variants` replaced), and every declared run's files."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    for name, section in sections.items():
        content[name] = section if name == "variants" else content[name] | section
    (folder / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    params = load_params(folder / "params.yaml")
    generator = np.random.default_rng(0)
    for run in runs(params):
        write_run(folder, params, run, generator)
    write_judged(folder, params, generator)
    write_json(folder / EVALUATION, evaluation(params, folder / CLASSIFIER))
    write_npy(folder / "data/processed/test_labels.npy", np.arange(TEST_IMAGES, dtype=np.uint8) % 10)
    write_manifest(folder / "data/processed")
    return params


def results_of(folder: Path, monkeypatch, **sections: dict) -> Results:
    """What the report reads of such a project, its variants compared; a test may do what it likes with it."""
    monkeypatch.chdir(folder)
    write_project(folder, **({"plot": {"second_run": "baseline-full"}} | sections))
    compare.main()
    return copy.deepcopy(plot.load_results(load_params()))


def write_run(folder: Path, params: Params, run: Run, generator: np.random.Generator) -> None:
    settings = run_params(params, run)
    kl = generator.normal(6.5, 0.1) / settings.beta**0.3
    reconstruction = generator.normal(149, 0.5) + 6 * np.log2(1 + settings.beta)
    epochs = range(1, params.train.epochs + 1)
    write_json(
        folder / reported_file(run, "history.json"),
        {
            "run": run.name,
            "params": vars(settings),
            "data": {"train_images": None, "validation": None},  # as in the manifest, which lists neither
            "epochs": [_history(epoch, reconstruction, kl, settings) for epoch in epochs],
        },
    )
    machine = {"cpu": "Example CPU", "gpu": None, "threads": 1, "device": settings.device}
    seconds = [
        {"epoch": epoch, "train_seconds": generator.normal(20, 1), "validation_seconds": 1.0} for epoch in epochs
    ]
    content = {"run": run.name, "machine": machine, "setup_seconds": 3.0, "epochs": seconds}
    write_json(folder / reported_file(run, "timings.json"), content)
    metrics = {
        split: _metrics(reconstruction + shift, kl, params.train.latent_dim)
        for split, shift in {"validation": 0.0, "test": 0.7}.items()
    }
    metrics["likelihood"] = likelihood(metrics["test"]["elbo"], generator, integral=settings.latent_dim == 2)
    metrics |= {"latent": latent(kl, generator), "quality": quality(generator)}
    write_json(folder / METRICS / f"{run.name}.json", metrics)
    if not run.extended:
        write_samples(folder / run.folder / "samples.npz", params, generator)


def write_samples(path: Path, params: Params, generator: np.random.Generator) -> None:
    digits, grid, latent_dim = params.evaluate.digits, params.evaluate.grid, params.train.latent_dim
    samples = {"z_mean": generator.normal(size=(TEST_IMAGES, latent_dim)).astype(np.float32)}
    for name in ("originals", "reconstructions", "generated"):
        samples[name] = generator.integers(0, 256, (digits, 28, 28), dtype=np.uint8)
    if latent_dim == 2:
        samples |= plane_map(generator)
        samples["plane"] = generator.integers(0, 256, (grid, grid, 28, 28), dtype=np.uint8)
    write_bytes(path, npz_bytes(samples))


def write_judged(folder: Path, params: Params, generator: np.random.Generator) -> None:
    """What the classifier is worth, and the digits of the runs that are shown beside each other."""
    judge = {"images": TEST_IMAGES, "accuracy": 0.992, "confidence": 0.99, "class_balance": 1.0, "frechet_train": 0.8}
    write_json(folder / CLASSIFIER, judge)
    for run in shown_beside(params):
        digits = {
            name: generator.integers(0, 256, (10, 28, 28), dtype=np.uint8)
            for name in ("originals", "reconstructions", "decoded")
        }
        write_bytes(folder / reported_file(run, DIGITS), npz_bytes(digits))


def _history(epoch: int, reconstruction: float, kl: float, settings: RunParams) -> dict:
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
