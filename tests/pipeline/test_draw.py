import pytest
from example_project import write_arrays, write_project

from digit_vae.base.paths import pictures
from pipeline import draw


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_arrays(tmp_path, write_project(tmp_path))
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_the_pictures_are_written_and_stale_ones_removed(run_stage):
    pictures("paper").mkdir(parents=True)
    (pictures("paper") / "stale.png").touch()
    assert run_stage(draw.main) == 0
    first = {path.name: path.read_bytes() for path in pictures("paper").iterdir()}
    assert len(first) == 6
    assert "stale.png" not in first
    assert run_stage(draw.main) == 0
    assert {path.name: path.read_bytes() for path in pictures("paper").iterdir()} == first


def test_a_run_without_arrays_is_one_line(folder, run_stage, capsys):
    (folder / "models/baseline-full-0/samples.npz").unlink()
    assert run_stage(draw.main) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert "evaluate_paper@baseline-full-0" in line
