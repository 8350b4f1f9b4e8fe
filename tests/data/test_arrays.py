"""Arrays are read only as the manifest lists them."""

import hashlib

import numpy as np
import pytest

from digit_vae.base.errors import UserError
from digit_vae.base.files import npy_bytes, write_json, write_npy
from digit_vae.base.paths import MANIFEST, PROCESSED
from digit_vae.config.runs import find_run
from digit_vae.data.arrays import data_hashes, read_arrays, read_held_out, read_listed


@pytest.fixture
def run(small_params):
    """A run of the small params.yaml by its name."""
    return lambda name: find_run(small_params, name)


@pytest.mark.usefixtures("processed")
def test_arrays_are_mapped_and_named(digits):
    arrays = read_arrays()
    np.testing.assert_array_equal(arrays.train_images, digits[:300])
    np.testing.assert_array_equal(arrays.test_images, digits[300:])
    assert (arrays.train_labels.shape, arrays.test_labels.shape) == ((300,), (100,))
    for array in arrays:
        assert isinstance(array, np.memmap)
        assert not array.flags.writeable


def test_a_run_has_the_split_of_its_fold_and_seed(processed, run):
    indices, digest = read_held_out(run("dropout-fold2-0"))
    content = (processed / "data/processed/splits/fold2-0.npy").read_bytes()
    assert digest == hashlib.sha256(content).hexdigest()
    assert npy_bytes(np.array(indices)) == content
    assert not read_held_out(run("baseline-full-1"))[0].size


def test_the_hashes_of_a_runs_data_are_those_of_what_it_learns_from_and_is_validated_on(processed, run):
    hashes = {
        name: hashlib.sha256((processed / PROCESSED / name).read_bytes()).hexdigest()
        for name in ("train_images.npy", "test_images.npy", "splits/fold1-0.npy")
    }
    train = {"train_images": hashes["train_images.npy"]}
    assert data_hashes(run("baseline-full-1")) == train | {"validation": hashes["test_images.npy"]}
    assert data_hashes(run("baseline-fold1-0")) == train | {"validation": hashes["splits/fold1-0.npy"]}


@pytest.mark.parametrize("name", ["train_images.npy", "test_labels.npy"])
def test_a_good_file_that_is_not_the_listed_one_is_refused(processed, name):
    write_npy(processed / PROCESSED / name, np.arange(8))
    with pytest.raises(UserError, match=rf"{name} is damaged \(its SHA-256 .* `dvc repro preprocess`"):
        read_arrays()


def test_a_file_that_nobody_listed_is_refused(processed):
    write_npy(processed / PROCESSED / "more.npy", np.arange(8))
    with pytest.raises(UserError, match=r"more\.npy is damaged"):
        read_listed("more.npy")


@pytest.mark.usefixtures("project")
def test_missing_files_name_the_stage(run):
    with pytest.raises(UserError, match=r"train_images\.npy is missing: `dvc repro preprocess`"):
        read_arrays()
    with pytest.raises(UserError, match=r"fold0-0\.npy is missing: `dvc repro preprocess`"):
        read_held_out(run("baseline-fold0-0"))
    with pytest.raises(UserError, match=r"manifest\.json is missing: `dvc repro preprocess`"):
        data_hashes(run("baseline-fold0-0"))


@pytest.mark.parametrize("content", [{}, {"sha256": []}, {"sha256": {}}])
def test_a_manifest_that_lacks_the_hashes_is_damaged(processed, run, content):
    write_json(processed / MANIFEST, content)
    with pytest.raises(UserError, match=r"manifest\.json is damaged"):
        data_hashes(run("baseline-fold0-0"))
