"""The stage on raw files that the test writes."""

import hashlib
import json

import numpy as np
import pytest

from digit_vae.data import sources as mnist
from pipeline import preprocess

TRAIN, TEST = 300, 120


@pytest.fixture
def put(project, idx_bytes, monkeypatch):
    """Writes values as a raw file, and pins that as what everybody has."""
    (project / "data/raw").mkdir(parents=True)
    constants = {
        getattr(mnist, name).name: name for name in ("TRAIN_IMAGES", "TRAIN_LABELS", "TEST_IMAGES", "TEST_LABELS")
    }

    def put(name, values):
        content = idx_bytes(values)
        (project / "data/raw" / name).write_bytes(content)
        pinned = mnist.IdxFile(name, len(content), hashlib.sha256(content).hexdigest())
        monkeypatch.setattr(mnist, constants[name], pinned)

    return put


@pytest.fixture
def raw(put):
    """Random images with every digit, as the four raw files; returns what they hold by their names."""
    random = np.random.default_rng(0)
    values = {
        mnist.TRAIN_IMAGES.name: random.integers(0, 256, (TRAIN, 28, 28)),
        mnist.TRAIN_LABELS.name: random.permutation(np.arange(TRAIN) % 10),
        mnist.TEST_IMAGES.name: random.integers(0, 256, (TEST, 28, 28)),
        mnist.TEST_LABELS.name: random.permutation(np.arange(TEST) % 10),
    }
    for name, array in values.items():
        put(name, array)
    return values


def set_knob(project, key, value):
    lines = (project / "params.yaml").read_text().splitlines()
    changed = [f"  {key}: {value}" if line.startswith(f"  {key}: ") else line for line in lines]
    assert changed != lines
    (project / "params.yaml").write_text("\n".join(changed))


def outputs(project):
    folder = project / "data/processed"
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_arrays_are_the_raw_values_and_can_be_mapped(project, raw, run_stage):
    assert run_stage(preprocess.main) == 0
    for kind, images, labels in (
        ("train", mnist.TRAIN_IMAGES, mnist.TRAIN_LABELS),
        ("test", mnist.TEST_IMAGES, mnist.TEST_LABELS),
    ):
        mapped = np.load(project / f"data/processed/{kind}_images.npy", mmap_mode="r")
        assert isinstance(mapped, np.memmap)
        assert mapped.dtype == np.uint8
        np.testing.assert_array_equal(mapped, raw[images.name][..., None])
        np.testing.assert_array_equal(np.load(project / f"data/processed/{kind}_labels.npy"), raw[labels.name])


@pytest.mark.usefixtures("raw")
def test_a_full_disk_is_one_line_and_leaves_the_last_good_files(project, run_stage, full_disk, capsys):
    assert run_stage(preprocess.main) == 0
    before = outputs(project)
    set_knob(project, "train_images", 200)
    with full_disk(100_000):
        assert run_stage(preprocess.main) == 1
    expected = "error: data/processed/train_images.npy could not be written: File too large\n"
    assert capsys.readouterr().err == expected
    assert outputs(project) == before
    assert run_stage(preprocess.main) == 0
    assert len(np.load(project / "data/processed/train_images.npy")) == 200


@pytest.mark.usefixtures("raw")
def test_the_manifest_tells_what_the_files_hold(project, run_stage):
    assert run_stage(preprocess.main) == 0
    files = outputs(project)
    manifest = json.loads(files.pop("manifest.json"))
    assert manifest["sha256"] == {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    assert manifest["train"] == {"images": 300, "labels": {str(digit): 30 for digit in range(10)}}
    assert manifest["test"] == {"images": 120, "labels": {str(digit): 12 for digit in range(10)}}
    assert manifest["folds"] == {
        str(fold): {"images": 60, "labels": {str(digit): 6 for digit in range(10)}} for fold in range(5)
    }


@pytest.mark.usefixtures("raw")
def test_the_same_input_gives_the_same_bytes_and_no_fold_of_old_remains(project, run_stage):
    assert run_stage(preprocess.main) == 0
    first = outputs(project)
    set_knob(project, "folds", 7)
    assert run_stage(preprocess.main) == 0
    assert [name for name in sorted(outputs(project)) if "/" in name] == [f"folds/{fold}.npy" for fold in range(7)]
    set_knob(project, "folds", 5)
    assert run_stage(preprocess.main) == 0
    assert outputs(project) == first


def test_the_first_images_are_kept_when_the_params_say_so(project, raw, run_stage):
    set_knob(project, "train_images", 100)
    set_knob(project, "test_images", 110)
    assert run_stage(preprocess.main) == 0
    kept = np.load(project / "data/processed/train_images.npy")
    np.testing.assert_array_equal(kept[..., 0], raw[mnist.TRAIN_IMAGES.name][:100])
    assert len(np.load(project / "data/processed/test_labels.npy")) == 110
    folds = [np.load(project / f"data/processed/folds/{fold}.npy") for fold in range(5)]
    assert sorted(np.concatenate(folds).tolist()) == list(range(100))


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        (mnist.TRAIN_LABELS.name, lambda labels: labels[:-1], "train set: expected one label for each image"),
        (mnist.TEST_LABELS.name, lambda labels: labels + 1, "test set: expected every label from 0 to 9"),
        (mnist.TEST_IMAGES.name, lambda images: images // 2, "test set: expected pixels from 0 to 255"),
        (mnist.TRAIN_IMAGES.name, lambda images: images[:, :14], "train-images-idx3-ubyte is damaged"),
    ],
)
def test_unsound_files_are_refused_and_nothing_is_written(project, raw, put, run_stage, capsys, name, change, reason):
    put(name, change(raw[name]))
    assert run_stage(preprocess.main) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert reason in line
    assert not (project / "data/processed").exists()


@pytest.mark.usefixtures("raw")
@pytest.mark.parametrize("name", [mnist.TRAIN_IMAGES.name, mnist.TEST_LABELS.name])
def test_one_changed_bit_is_seen(project, run_stage, capsys, name):
    path = project / "data/raw" / name
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert run_stage(preprocess.main) == 1
    assert f"data/raw/{name} is damaged (its SHA-256 is not " in capsys.readouterr().err
    assert not (project / "data/processed").exists()


def test_the_test_set_in_place_of_the_training_set_is_refused(raw, put, run_stage, capsys):
    put(mnist.TEST_IMAGES.name, raw[mnist.TRAIN_IMAGES.name][:TEST])
    assert run_stage(preprocess.main) == 1
    assert "received 120 that are training images" in capsys.readouterr().err


@pytest.mark.usefixtures("raw")
def test_more_images_than_there_are_and_missing_files_are_refused(project, run_stage, capsys):
    set_knob(project, "train_images", 301)
    assert run_stage(preprocess.main) == 1
    assert "preprocess.train_images: expected at most the 300 there are; received 301" in capsys.readouterr().err
    (project / "data/raw" / mnist.TRAIN_LABELS.name).unlink()
    assert run_stage(preprocess.main) == 1
    assert "train-labels-idx1-ubyte is missing: `dvc repro fetch` makes it" in capsys.readouterr().err
