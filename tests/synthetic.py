"""A small project of the tests' own: its params, its arrays, and files of runs that nobody trained."""

import hashlib
from dataclasses import asdict
from pathlib import Path

import numpy as np
import yaml

from digit_vae.base.files import sha256_of, write_bytes, write_json, write_npy, write_text
from digit_vae.base.paths import PARAMS, PROCESSED, RunFiles, split_file
from digit_vae.config.loading import load_params
from digit_vae.config.runs import splits
from digit_vae.config.schema import Params, RunParams
from digit_vae.data.splits import draw_splits

SMALL_PARAMS = Path(__file__).parent / "small_params.yaml"
STARTED = 1_700_000_000.25
EPOCH_SECONDS = 30.5
LOSSES = ("loss", "reconstruction_loss", "kl_loss", "penalty")
NAMED_SECTIONS = ("variants", "studies")


def write_params(root: Path, **sections: dict) -> Params:
    """Writes the small params.yaml with `sections` changed in it; `variants` and `studies` replace what it has."""
    content = yaml.safe_load(SMALL_PARAMS.read_text(encoding="utf-8"))
    for name, section in sections.items():
        content[name] = section if name in NAMED_SECTIONS else content[name] | section
    write_text(root / PARAMS, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
    return load_params(root / PARAMS)


def write_small_project(root: Path, digits: np.ndarray, **sections: dict) -> Params:
    """The small params.yaml with `sections` changed in it, and what stage preprocess leaves."""
    params = write_params(root, **sections)
    write_processed(root, digits, params)
    return params


def write_processed(root: Path, digits: np.ndarray, params: Params) -> None:
    """What stage preprocess leaves below `root`: 300 training images, the rest as test images, and the splits.

    digits: the first of scikit-learn's, whose labels it also has.
    """
    from sklearn.datasets import load_digits

    folder = root / PROCESSED
    labels = load_digits().target[: len(digits)].astype(np.uint8)
    for name, part in (("train", slice(300)), ("test", slice(300, None))):
        write_npy(folder / f"{name}_images.npy", digits[part])
        write_npy(folder / f"{name}_labels.npy", labels[part])
    for name, indices in draw_splits(labels[:300], splits(params), folds=params.preprocess.folds).items():
        write_npy(folder / split_file(name), indices)
    write_manifest(folder)


def write_manifest(processed: Path) -> None:
    """What stage preprocess says of the arrays that are there."""
    hashes = {str(path.relative_to(processed)): sha256_of_file(path) for path in processed.rglob("*.npy")}
    write_json(processed / "manifest.json", {"sha256": hashes})


def sha256_of_file(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_history(root: Path, run: str, params: RunParams, graph: str = "paper") -> None:
    """What stage train says of the weights of `run` that are there."""
    files = RunFiles(graph, run)
    weights = {name: sha256_of_file(root / getattr(files, name)) for name in ("encoder", "decoder")}
    write_json(root / files.history, {"run": run, "params": asdict(params), "weights_sha256": weights})


def history(run: str, epochs: int = 3, **params: object) -> dict:
    """history.json of a run called <variant>-<split>-<seed>; losses fall by epoch and differ from run to run.

    params: what its RunParams have in place of the small params' train section.
    """
    variant, split, seed = run.split("-")
    base = 150 + int(sha256_of({"run": run})[:4], 16) / 1000
    keys = [*LOSSES, *(f"val_{name}" for name in LOSSES)]
    return {
        "run": run,
        "variant": variant,
        "split": split,
        "seed": int(seed),
        "params": {"epochs": epochs, "batch_size": 128, "learning_rate": 0.001, "seed": int(seed), "beta": 1.0}
        | params,
        "data": {"train_images": "a" * 64, "validation": sha256_of({"split": split})},
        "epochs": [
            {"epoch": epoch} | {key: base + 50 / epoch + place for place, key in enumerate(keys)}
            for epoch in range(1, epochs + 1)
        ],
        "weights_sha256": {name: hashlib.sha256(weights(run, name)).hexdigest() for name in ("encoder", "decoder")},
    }


def weights(run: str, name: str) -> bytes:
    """What `write_run` writes as the run's weights, "encoder" or "decoder"."""
    return f"{name} of {run}".encode()


def timings(run: str, epochs: int = 3, started_at: float = STARTED) -> dict:
    """timings.json of the same run."""
    return {
        "run": run,
        "started_at": started_at,
        "finished_at": started_at + (epochs + 1) * EPOCH_SECONDS,
        "git_commit": "0" * 40,
        "inputs_sha256": sha256_of({"inputs": run}),
        "machine": {
            "cpu": "A CPU",
            "cores": 2,
            "gpu": None,
            "device": "cpu",
            "precision": "float32",
            "platform": "A B",
        },
        "setup_seconds": 1.5,
        "epochs": [
            {
                "epoch": epoch,
                "train_seconds": EPOCH_SECONDS - 2,
                "validation_seconds": 2.0,
                "finished_at": started_at + epoch * EPOCH_SECONDS,
            }
            for epoch in range(1, epochs + 1)
        ],
    }


def write_run(root: Path, run: str, epochs: int = 3, started_at: float = STARTED, graph: str = "paper") -> None:
    """What the stage that trains `run` leaves below `root`."""
    files = RunFiles(graph, run)
    write_json(root / files.history, history(run, epochs))
    write_json(root / files.timings, timings(run, epochs, started_at))
    write_bytes(root / files.encoder, weights(run, "encoder"))
    write_bytes(root / files.decoder, weights(run, "decoder"))


def write_evaluation(root: Path, run: str, elbo: float = -155.0, grid: int = 4, graph: str = "paper") -> None:
    """What the stage that evaluates `run` leaves below `root`; there are 12 test images and 5 digits."""
    files = RunFiles(graph, run)
    measured = {"images": 12, "elbo": elbo, "kl_per_dimension": {"z0": 3.5, "z1": 2.5}, "dead_units": 11}
    write_json(root / files.metrics, {"validation": measured, "test": measured})
    write_json(root / files.evaluation, evaluation(run))
    random = np.random.default_rng(0)
    digits = {name: random.integers(0, 256, (5, 28, 28), np.uint8) for name in ("originals", "reconstructions")}
    path = root / files.samples
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        path,
        z_mean=random.normal(size=(12, 2)).astype(np.float32),
        generated=digits["originals"],
        plane=random.integers(0, 256, (grid, grid, 28, 28), np.uint8),
        **plane_map(random),
        **digits,
    )


def evaluation(run: str, started_at: float = STARTED) -> dict:
    """evaluation.json of a run."""
    return {
        "run": run,
        "machine": {"cpu": "A CPU", "cores": 2, "gpu": None, "device": "cpu", "precision": "float32"},
        "git_commit": "0" * 40,
        "classifier_sha256": "c" * 64,
        "seconds": 12.5,
        "started_at": started_at,
        "finished_at": started_at + 12.5,
    }


def plane_map(generator: np.random.Generator, cells: int = 8) -> dict[str, np.ndarray]:
    """What samples.npz has of the classifier's view of the latent plane."""
    return {
        "map_classes": generator.integers(0, 10, (cells, cells), dtype=np.uint8),
        "map_confidence": generator.uniform(0.2, 1, (cells, cells)),
        "map_mass": generator.uniform(0, 1 / cells**2, (cells, cells)),
        "map_edges": np.linspace(-4, 4, cells + 1),
    }
