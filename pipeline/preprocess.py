"""Stage `preprocess`: the raw files as checked arrays, and the splits that the runs of params.yaml need.

    python -m pipeline.preprocess

data/processed/{train,test}_images.npy      uint8 (N, 28, 28, 1), scaled to [0, 1] only on the way into the model
data/processed/{train,test}_labels.npy      uint8 (N,)
data/processed/splits/<split>-<seed>.npy    int64, sorted: the training images held out of learning, none for `full`
data/processed/manifest.json                counts, label histograms, SHA-256 of every array
"""

import argparse

from digit_vae.base.command import run as run_stage
from digit_vae.base.files import npy_bytes, sha256, write_folder, write_json, write_npy
from digit_vae.base.paths import MANIFEST, PROCESSED, RAW, split_file
from digit_vae.config.loading import load_params
from digit_vae.config.runs import splits
from digit_vae.data.mnist import MNIST
from digit_vae.data.prepare import label_counts, read_raw
from digit_vae.data.splits import draw_splits


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    params = load_params()
    arrays = read_raw(RAW, MNIST, params.preprocess)
    held_out = draw_splits(arrays.train_labels, splits(params), folds=params.preprocess.folds)
    files = {f"{name}.npy": array for name, array in arrays._asdict().items()}
    for name, array in files.items():
        write_npy(PROCESSED / name, array)
    write_folder(PROCESSED / "splits", {f"{name}.npy": npy_bytes(indices) for name, indices in held_out.items()})
    manifest = {
        "train": label_counts(arrays.train_labels),
        "test": label_counts(arrays.test_labels),
        "splits": {name: label_counts(arrays.train_labels[indices]) for name, indices in held_out.items()},
        "sha256": {name: sha256(PROCESSED / name) for name in (*files, *map(split_file, held_out))},
    }
    write_json(MANIFEST, manifest)


if __name__ == "__main__":
    run_stage(main)
