"""Stage `evaluate@<run>`: measures a trained run on its validation images and on the test images.

    python -m pipeline.evaluate baseline-full

Writes the run's metrics, and samples.npz in its folder with what the figures show of it.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from digit_vae import likelihood
from digit_vae.errors import exit_status
from digit_vae.evaluation import encode, generate, latent_plane, load_vae, measure, reconstruct
from digit_vae.files import json_bytes, npz_bytes, read_listed_npy, write_bytes
from digit_vae.machine import select_device
from digit_vae.params import Params, Run, find_run, load_params, run_params
from digit_vae.splits import learnt_and_validated
from digit_vae.trained import read_trained

PROCESSED = Path("data/processed")


def evaluate(
    params: Params, run: Run, folder: Path, validation_images: np.ndarray, test_images: np.ndarray
) -> dict[Path, bytes]:
    """The content of the run's metrics and samples files. Always in float32 on the CPU, so that all runs compare.

    folder: with what the training left there.
    """
    select_device("cpu")
    settings = run_params(params, run)
    vae = load_vae(settings, read_trained(folder, settings).weights, made_by=f"train@{run.name}")
    images = {"validation": validation_images, "test": test_images}
    encoded = {name: encode(vae, each, params.evaluate) for name, each in images.items()}
    metrics = {name: measure(each, params.evaluate.active_unit_variance) for name, each in encoded.items()}
    metrics["likelihood"] = likelihood.measure(vae, test_images, params.evaluate)
    shown = test_images[: params.evaluate.digits]
    samples = {
        "z_mean": encoded["test"].z_mean,
        "originals": shown[..., 0],
        "reconstructions": reconstruct(vae, shown),
        "generated": generate(vae, params.evaluate.digits, params.evaluate.seed),
    }
    if settings.latent_dim == 2:
        samples["plane"] = latent_plane(vae, params.evaluate.grid)
    return {run.metrics: json_bytes(metrics), run.folder / "samples.npz": npz_bytes(samples)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="a name of runs.yaml, such as baseline-full")
    name = parser.parse_args().run
    params = load_params()
    run = find_run(params, name)
    images, test_images, validation = (
        read_listed_npy(PROCESSED, name, made_by="preprocess")[0]
        for name in ("train_images.npy", "test_images.npy", run.validation_file)
    )
    _, validation_images = learnt_and_validated(images, validation)
    for path, content in evaluate(params, run, run.folder, validation_images, test_images).items():
        write_bytes(path, content)


if __name__ == "__main__":
    sys.exit(exit_status(main))
