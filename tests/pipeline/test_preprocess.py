"""The stage on raw files that the test writes."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
import yaml
from synthetic import write_params

from digit_vae.base.files import write_json
from digit_vae.base.paths import DATASET
from digit_vae.data import datasets
from digit_vae.data.datasets import Description
from digit_vae.data.mnist import MNIST, DataSet, RawFile
from pipeline import preprocess

TRAIN, TEST = 300, 120
TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = NAMES = [file.name for file in MNIST]
SPLITS = [*(f"full-{seed}" for seed in range(4)), *(f"fold{fold}-0" for fold in range(3))]


@pytest.fixture
def put(project, idx_bytes, monkeypatch):
    """Writes values as a raw file, and pins that as what everybody has."""
    (project / "data/raw").mkdir(parents=True)

    def put(name, values):
        content = idx_bytes(values)
        (project / "data/raw" / name).write_bytes(content)
        pinned = RawFile(name, len(content), hashlib.sha256(content).hexdigest())
        known = datasets.KNOWN["mnist"]
        changed = {field: pinned for field, file in known.files._asdict().items() if file.name == name}
        known = replace(known, files=known.files._replace(**changed))
        monkeypatch.setitem(datasets.KNOWN, "mnist", known)
        write_json(project / DATASET, known.content())

    return put


@pytest.fixture
def raw(put):
    """Random images with every digit, as the four raw files; returns what they hold by their names."""
    random = np.random.default_rng(0)
    values = {
        TRAIN_IMAGES: random.integers(0, 256, (TRAIN, 28, 28)),
        TRAIN_LABELS: random.permutation(np.arange(TRAIN) % 10),
        TEST_IMAGES: random.integers(0, 256, (TEST, 28, 28)),
        TEST_LABELS: random.permutation(np.arange(TEST) % 10),
    }
    for name, array in values.items():
        put(name, array)
    return values


def outputs(project):
    folder = project / "data/processed"
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_arrays_are_the_raw_values_and_can_be_mapped(project, raw, run_stage):
    assert run_stage(preprocess.main) == 0
    for kind, images, labels in (
        ("train", TRAIN_IMAGES, TRAIN_LABELS),
        ("test", TEST_IMAGES, TEST_LABELS),
    ):
        mapped = np.load(project / f"data/processed/{kind}_images.npy", mmap_mode="r")
        assert isinstance(mapped, np.memmap)
        assert mapped.dtype == np.uint8
        np.testing.assert_array_equal(mapped, raw[images][..., None])
        np.testing.assert_array_equal(np.load(project / f"data/processed/{kind}_labels.npy"), raw[labels])


@pytest.mark.usefixtures("raw")
def test_a_full_disk_is_one_line_and_leaves_the_last_good_files(project, run_stage, full_disk, capsys):
    assert run_stage(preprocess.main) == 0
    before = outputs(project)
    write_params(project, preprocess={"train_images": 200})
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
    assert list(manifest["splits"]) == sorted(SPLITS)
    for name, counts in manifest["splits"].items():
        each = 0 if name.startswith("full") else 10
        assert counts == {"images": 10 * each, "labels": {str(digit): each for digit in range(10)}}


@pytest.mark.usefixtures("raw")
def test_each_split_that_the_runs_need_has_a_file(project, run_stage):
    assert run_stage(preprocess.main) == 0
    splits = {path.stem: np.load(path) for path in (project / "data/processed/splits").iterdir()}
    assert sorted(splits) == sorted(SPLITS)
    assert all(indices.dtype == np.int64 for indices in splits.values())
    assert not any(splits[f"full-{seed}"].size for seed in range(4))
    folds = np.concatenate([splits[f"fold{fold}-0"] for fold in range(3)])
    assert sorted(folds.tolist()) == list(range(TRAIN))


@pytest.mark.usefixtures("raw")
def test_one_more_seed_is_one_more_file_and_changes_no_other(project, run_stage):
    assert run_stage(preprocess.main) == 0
    first = outputs(project)
    study = {"question": "?", "variants": ["baseline"], "splits": ["full", "fold1"], "seeds": [9]}
    studies = yaml.safe_load((project / "params.yaml").read_text(encoding="utf-8"))["studies"]
    write_params(project, studies=studies | {"new": study})
    assert run_stage(preprocess.main) == 0
    second = outputs(project)
    assert {*second} - {*first} == {"splits/full-9.npy", "splits/fold1-9.npy"}
    assert {name for name in first if first[name] != second[name]} == {"manifest.json"}


@pytest.mark.usefixtures("raw")
def test_the_same_input_gives_the_same_bytes_and_no_split_of_old_remains(project, run_stage):
    write_params(project)
    assert run_stage(preprocess.main) == 0
    first = outputs(project)
    write_params(project, preprocess={"folds": 7})
    assert run_stage(preprocess.main) == 0
    assert outputs(project)["splits/fold0-0.npy"] != first["splits/fold0-0.npy"]
    (project / "data/processed/splits/fold9-0.npy").write_bytes(b"of old")
    write_params(project)
    assert run_stage(preprocess.main) == 0
    assert outputs(project) == first


def test_the_first_images_are_kept_when_the_params_say_so(project, raw, run_stage):
    write_params(project, preprocess={"train_images": 100, "test_images": 110})
    assert run_stage(preprocess.main) == 0
    kept = np.load(project / "data/processed/train_images.npy")
    np.testing.assert_array_equal(kept[..., 0], raw[TRAIN_IMAGES][:100])
    assert len(np.load(project / "data/processed/test_labels.npy")) == 110
    folds = [np.load(project / f"data/processed/splits/fold{fold}-0.npy") for fold in range(3)]
    assert sorted(np.concatenate(folds).tolist()) == list(range(100))


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        (TRAIN_LABELS, lambda labels: labels[:-1], "train set: expected one label for each image"),
        (TEST_LABELS, lambda labels: labels + 1, "test set: expected every label from 0 to 9"),
        (TEST_IMAGES, lambda images: images // 2, "test set: expected pixels from 0 to 255"),
        (TRAIN_IMAGES, lambda images: images[:, :14], "train-images-idx3-ubyte is damaged"),
    ],
)
def test_unsound_files_are_refused_and_nothing_is_written(project, raw, put, run_stage, capsys, name, change, reason):
    put(name, change(raw[name]))
    assert run_stage(preprocess.main) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert reason in line
    assert not (project / "data/processed").exists()


@pytest.mark.usefixtures("raw")
@pytest.mark.parametrize("name", [TRAIN_IMAGES, TEST_LABELS])
def test_one_changed_bit_is_seen(project, run_stage, capsys, name):
    path = project / "data/raw" / name
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert run_stage(preprocess.main) == 1
    assert f"data/raw/{name} is damaged (its SHA-256 is not " in capsys.readouterr().err
    assert not (project / "data/processed").exists()


def test_the_test_set_in_place_of_the_training_set_is_refused(raw, put, run_stage, capsys):
    put(TEST_IMAGES, raw[TRAIN_IMAGES][:TEST])
    assert run_stage(preprocess.main) == 1
    assert "received 120 that are training images" in capsys.readouterr().err


@pytest.fixture
def own(project, idx_bytes):
    """Writes own images as stage fetch leaves them. labels: of the training images, some of them of the test images."""

    def write(labels, train=30, test=6):
        random = np.random.default_rng(1)
        images = [random.integers(0, 256, (count, 28, 28)) for count in (train, test)]
        contents = [idx_bytes(values) for values in (images[0], labels, images[1], labels[:test])]
        (project / "data/raw").mkdir(parents=True)
        for file, content in zip(MNIST, contents, strict=True):
            (project / "data/raw" / file.name).write_bytes(content)
        files = (
            RawFile(file.name, len(content), hashlib.sha256(content).hexdigest())
            for file, content in zip(MNIST, contents, strict=True)
        )
        names = tuple(f"class {label}" for label in range(max(labels, default=-1) + 1))
        write_json(project / DATASET, Description("folder", "image", "images", names, DataSet(*files)).content())

    return write


def test_own_images_of_few_classes_are_spread_evenly_over_the_folds(project, own, run_stage):
    own(np.arange(30) % 3 * 2)
    assert run_stage(preprocess.main) == 0
    labels = np.load(project / "data/processed/train_labels.npy")
    for fold in range(3):
        held_out = np.load(project / f"data/processed/splits/fold{fold}-0.npy")
        assert np.bincount(labels[held_out]).tolist() in ([3, 0, 3, 0, 4], [3, 0, 4, 0, 3], [4, 0, 3, 0, 3])
    manifest = json.loads((project / "data/processed/manifest.json").read_bytes())
    assert manifest["test"] == {"images": 6, "labels": {"0": 2, "1": 0, "2": 2, "3": 0, "4": 2}}


def test_without_labels_there_are_plain_folds(project, own, run_stage):
    own(np.zeros(0, int))
    assert run_stage(preprocess.main) == 0
    folds = [np.load(project / f"data/processed/splits/fold{fold}-0.npy") for fold in range(3)]
    assert sorted(np.concatenate(folds).tolist()) == list(range(30))
    assert [len(fold) for fold in folds] == [10, 10, 10]
    assert np.load(project / "data/processed/train_labels.npy").shape == (0,)
    manifest = json.loads((project / "data/processed/manifest.json").read_bytes())
    assert manifest["train"] == {"images": 30, "labels": {}}
    assert manifest["splits"]["fold0-0"] == {"images": 10, "labels": {}}


def test_more_folds_than_images_is_one_line(own, run_stage, capsys):
    own(np.zeros(0, int), train=2, test=2)
    assert run_stage(preprocess.main) == 1
    assert "in each fold and 3 outside of it; received 3 folds of 2 images" in capsys.readouterr().err


def test_own_test_images_may_be_training_images_and_that_is_said(project, own, run_stage, capsys):
    own(np.zeros(0, int))
    raw = project / "data/raw"
    content = (raw / TRAIN_IMAGES).read_bytes()
    test = content[:7] + bytes([2]) + content[8 : 16 + 2 * 784]
    (raw / TEST_IMAGES).write_bytes(test)
    description = json.loads((project / DATASET).read_bytes())
    description["files"][TEST_IMAGES] = {"size": len(test), "sha256": hashlib.sha256(test).hexdigest()}
    write_json(project / DATASET, description)
    assert run_stage(preprocess.main) == 0
    assert capsys.readouterr().out == "warning: 2 test images are training images as well, the first at 0\n"


@pytest.mark.usefixtures("raw")
def test_more_images_than_there_are_and_missing_files_are_refused(project, run_stage, capsys):
    write_params(project, preprocess={"train_images": 301})
    assert run_stage(preprocess.main) == 1
    assert "preprocess.train_images: expected at most the 300 there are; received 301" in capsys.readouterr().err
    (project / "data/raw" / TRAIN_LABELS).unlink()
    assert run_stage(preprocess.main) == 1
    assert "train-labels-idx1-ubyte is missing: `dvc repro fetch` makes it" in capsys.readouterr().err
