"""What is moved away, what stays, and that nothing is lost."""

import pytest
from synthetic import write_run

from digit_vae.base.files import write_bytes
from digit_vae.base.paths import RunFiles
from digit_vae.cli import tidy

KEPT, GONE = "baseline-full-0", "renamed-full-0"


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_undeclared_runs_are_moved_and_all_else_stays(project, capsys):
    for run in (KEPT, GONE):
        write_run(project, run)
    before = files(project)
    tidy.main([])
    after = files(project)
    assert sorted(after.values()) == sorted(before.values())
    moved = {path for path in after if path.startswith("leftovers/")}
    assert moved == {f"leftovers/{path}" for path in before if GONE in path}
    assert len(moved) == 4
    assert GONE in capsys.readouterr().out


def test_committed_weights_that_publish_does_not_list_are_moved(project):
    listed, unlisted = RunFiles("paper", KEPT), RunFiles("paper", "baseline-full-1")
    elsewhere = RunFiles("beyond", KEPT)  # another graph than the one whose list has it
    for each in (listed, unlisted, elsewhere, RunFiles("beyond", GONE)):
        write_bytes(each.published / "encoder.weights.h5", str(each.published).encode())
    tidy.main([])
    assert {path.rpartition("/")[0] for path in files(project) if path.startswith("reports/")} == {
        str(listed.published)
    }
    moved = {path for path in files(project) if path.startswith("leftovers/")}
    assert moved == {
        f"leftovers/{each.published}/encoder.weights.h5" for each in (unlisted, elsewhere, RunFiles("beyond", GONE))
    }


def test_a_second_call_moves_nothing(project, capsys):
    write_run(project, GONE)
    tidy.main([])
    before = files(project)
    capsys.readouterr()
    tidy.main([])
    assert files(project) == before
    assert "moved" not in capsys.readouterr().out


def test_leftovers_of_an_earlier_call_are_not_overwritten(project):
    models = RunFiles("paper", GONE).models
    for content in (b"first", b"second", b"third"):
        models.mkdir(parents=True)
        (models / "encoder.weights.h5").write_bytes(content)
        tidy.moved_away(models)
    kept = (project / "leftovers").rglob("encoder.weights.h5")
    assert sorted(path.read_bytes() for path in kept) == [b"first", b"second", b"third"]


def test_a_place_that_cannot_be_written_is_named(project, run_stage, capsys):
    write_run(project, GONE)
    (project / "leftovers").write_text("a file", encoding="utf-8")
    assert run_stage(lambda: tidy.main([])) == 1
    assert "leftovers" in capsys.readouterr().err


@pytest.mark.usefixtures("project")
def test_it_takes_no_arguments():
    with pytest.raises(SystemExit):
        tidy.main(["everything"])
