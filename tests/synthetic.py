"""Files of runs that nobody trained, for tests of what reads such files."""

import hashlib
from dataclasses import asdict
from pathlib import Path

import numpy as np

from digit_vae.base.files import sha256_of, write_bytes, write_json, write_npy
from digit_vae.config.params import RunParams

ROOT = Path(__file__).parent.parent
STARTED = 1_700_000_000.25
EPOCH_SECONDS = 30.5
LOSSES = ("loss", "reconstruction_loss", "kl_loss", "penalty")


def write_small_project(root: Path, digits: np.ndarray) -> None:
    """The project's params.yaml, in which all that takes long of an evaluation is made short, and `write_processed`."""
    text = (ROOT / "params.yaml").read_text()
    for long, short in {
        "bound_images: 24": "bound_images: 2",
        "generated: 10000": "generated: 100",
        "map_cells: 64": "map_cells: 8",
        "plane_refinements: 6": "plane_refinements: 2",
    }.items():
        assert long in text
        text = text.replace(long, short)
    (root / "params.yaml").write_text(text)
    write_processed(root, digits)


def write_processed(root: Path, digits: np.ndarray) -> None:
    """What stage preprocess leaves below `root`: 300 training images, a fold of 60 of them, the rest as test images.

    digits: the first of scikit-learn's, whose labels it also has.
    """
    from sklearn.datasets import load_digits

    folder = root / "data/processed"
    for name, part in (("train", slice(300)), ("test", slice(300, None))):
        write_npy(folder / f"{name}_images.npy", digits[part])
        write_npy(folder / f"{name}_labels.npy", load_digits().target[: len(digits)][part].astype(np.uint8))
    write_npy(folder / "folds/0.npy", np.arange(0, 300, 5))
    write_manifest(folder)


def write_manifest(processed: Path) -> None:
    """What stage preprocess says of the arrays that are there."""
    arrays = processed.rglob("*.npy")
    hashes = {str(path.relative_to(processed)): hashlib.sha256(path.read_bytes()).hexdigest() for path in arrays}
    write_json(processed / "manifest.json", {"sha256": hashes})


def write_history(folder: Path, params: RunParams) -> None:
    """What stage train says of the weights that are there."""
    weights = hashlib.sha256((folder / "model.weights.h5").read_bytes()).hexdigest()
    write_json(folder / "history.json", {"params": asdict(params), "weights_sha256": weights})


def history(run: str, epochs: int = 3, **params: object) -> dict:
    """history.json of a run called <variant>-<split>; losses fall by epoch and differ from run to run."""
    variant, split = run.split("-")
    base = 150 + int(sha256_of({"run": run})[:4], 16) / 1000
    keys = [*LOSSES, *(f"val_{name}" for name in LOSSES)]
    return {
        "run": run,
        "variant": variant,
        "split": split,
        "params": {"epochs": epochs, "batch_size": 128, "learning_rate": 0.001, "seed": 0, "beta": 1.0} | params,
        "data": {"train_images": "a" * 64, "validation": sha256_of({"split": split})},
        "epochs": [
            {"epoch": epoch} | {key: base + 50 / epoch + place for place, key in enumerate(keys)}
            for epoch in range(1, epochs + 1)
        ],
    }


def timings(run: str, epochs: int = 3, started_at: float = STARTED) -> dict:
    """timings.json of the same run."""
    return {
        "run": run,
        "started_at": started_at,
        "finished_at": started_at + (epochs + 1) * EPOCH_SECONDS,
        "git_commit": "0" * 40,
        "inputs_sha256": sha256_of({"inputs": run}),
        "machine": {"cpu": "A CPU", "cores": 2, "gpu": None, "device": "cpu", "precision": "float32"},
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


def write_run(root: Path, run: str, epochs: int = 3, started_at: float = STARTED) -> None:
    """What stage train@<run> leaves below `root`."""
    folder = root / "models" / run
    write_json(folder / "history.json", history(run, epochs))
    write_json(folder / "timings.json", timings(run, epochs, started_at))
    write_bytes(folder / "model.weights.h5", b"weights of " + run.encode())


def write_evaluation(root: Path, run: str, elbo: float = -155.0, grid: int = 4) -> None:
    """What stage evaluate@<run> leaves below `root`; there are 12 test images and 5 digits."""
    measured = {"images": 12, "elbo": elbo, "kl_per_dimension": {"z0": 3.5, "z1": 2.5}, "dead_units": 11}
    write_json(root / f"reports/metrics/runs/{run}.json", {"validation": measured, "test": measured})
    random = np.random.default_rng(0)
    digits = {name: random.integers(0, 256, (5, 28, 28), np.uint8) for name in ("originals", "reconstructions")}
    path = root / "models" / run / "samples.npz"
    np.savez(
        path,
        z_mean=random.normal(size=(12, 2)).astype(np.float32),
        generated=digits["originals"],
        plane=random.integers(0, 256, (grid, grid, 28, 28), np.uint8),
        **plane_map(random),
        **digits,
    )


def plane_map(generator: np.random.Generator, cells: int = 8) -> dict[str, np.ndarray]:
    """What samples.npz has of the classifier's view of the latent plane."""
    return {
        "map_classes": generator.integers(0, 10, (cells, cells), dtype=np.uint8),
        "map_confidence": generator.uniform(0.2, 1, (cells, cells)),
        "map_mass": generator.uniform(0, 1 / cells**2, (cells, cells)),
        "map_edges": np.linspace(-4, 4, cells + 1),
    }
