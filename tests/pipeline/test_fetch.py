"""The stage with a local folder as its source; the pinned files are replaced by small ones."""

import hashlib

import pytest
from synthetic import write_params

from digit_vae.data.mnist import RawFile
from pipeline import fetch

CONTENTS = {"train-images-idx3-ubyte": b"some images", "train-labels-idx1-ubyte": b"some labels"}


@pytest.fixture
def small_files(monkeypatch):
    files = [RawFile(name, len(content), hashlib.sha256(content).hexdigest()) for name, content in CONTENTS.items()]
    monkeypatch.setattr(fetch, "MNIST", files)


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

    assert run_stage(fetch.main) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("small_files", "only_folder")
def test_the_stage_fails_in_one_line_without_a_traceback(run_stage, capsys):
    assert run_stage(fetch.main) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: train-images-idx3-ubyte, train-labels-idx1-ubyte could not be fetched (folder ")


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


def test_help_shows_the_command(run_stage, capsys):
    with pytest.raises(SystemExit) as leaving:
        run_stage(fetch.main, "--help")
    assert leaving.value.code == 0
    assert "python -m pipeline.fetch" in capsys.readouterr().out
