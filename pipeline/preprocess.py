"""Stage `preprocess`: the raw files as checked arrays, and the splits that the runs of params.yaml need.

    python -m pipeline.preprocess

data/processed/{train,test}_images.npy      uint8 (N, 28, 28, 1), scaled to [0, 1] only on the way into the model
data/processed/{train,test}_labels.npy      uint8 (N,); (0,) where there are no labels
data/processed/splits/<split>-<seed>.npy    int64, sorted: the training images held out of learning, none for `full`
data/processed/manifest.json                counts, label histograms, SHA-256 of every array
"""

import argparse

from digit_vae.base.command import run as run_stage
from digit_vae.base.files import npy_bytes, sha256, write_folder, write_json, write_npy
from digit_vae.base.paths import MANIFEST, PROCESSED, RAW, split_file
from digit_vae.config.loading import load_params
from digit_vae.config.runs import splits
from digit_vae.data.datasets import read_description
from digit_vae.data.prepare import in_both, label_counts, read_raw, strata
from digit_vae.data.splits import draw_splits


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    params = load_params()
    described = read_description()
    arrays, classes = read_raw(RAW, described, params.preprocess), len(described.classes)
    if shared := in_both(arrays.train_images, arrays.test_images):
        print(f"warning: {len(shared)} test images are training images as well, the first at {shared[0]}")
    held_out = draw_splits(strata(arrays), splits(params), folds=params.preprocess.folds)
    files = {f"{name}.npy": array for name, array in arrays._asdict().items()}
    for name, array in files.items():
        write_npy(PROCESSED / name, array)
    write_folder(PROCESSED / "splits", {f"{name}.npy": npy_bytes(indices) for name, indices in held_out.items()})
    train, test = arrays.train_labels, arrays.test_labels
    parts = {name: train[indices] if described.labelled else train for name, indices in held_out.items()}
    manifest = {
        "train": label_counts(train, len(arrays.train_images), classes),
        "test": label_counts(test, len(arrays.test_images), classes),
        "splits": {name: label_counts(parts[name], len(indices), classes) for name, indices in held_out.items()},
        "sha256": {name: sha256(PROCESSED / name) for name in (*files, *map(split_file, held_out))},
    }
    write_json(MANIFEST, manifest)


if __name__ == "__main__":
    run_stage(main)
