"""What git says of a commit, asked of a real repository."""

import subprocess
from pathlib import Path

import pytest

from digit_vae.base.errors import UserError
from digit_vae.verification.before import branched_off, changes_since, content, head


def git(*arguments):
    return subprocess.check_output(["git", "-c", "user.name=a", "-c", "user.email=a@example.org", *arguments])


def anything(_):
    return True


def commit():
    git("add", "-A")
    git("commit", "-qm", "a")


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository with a project in a subfolder, which is the working folder."""
    monkeypatch.chdir(tmp_path)
    git("init", "-qb", "main")
    project = tmp_path / "project"
    project.mkdir()
    (project / "number.json").write_text("1", encoding="utf-8")
    (tmp_path / "number.json").write_text("of the larger repository", encoding="utf-8")
    commit()
    monkeypatch.chdir(project)
    return project


def test_changes_in_a_subfolder_are_told_from_there(repository):
    (repository / "number.json").write_text("2", encoding="utf-8")
    (repository / "new.json").write_text("3", encoding="utf-8")
    (repository.parent / "beside.txt").write_text("no file of the project", encoding="utf-8")
    (repository.parent / "number.json").write_text("another", encoding="utf-8")
    assert list(changes_since(head(), anything)) == [("new.json", None, b"3"), ("number.json", b"1", b"2")]


def test_a_new_file_that_is_not_asked_for_is_not_read(repository):
    with (repository / "film.mkv").open("wb") as film:
        film.truncate(1 << 42)  # more than fits into memory, on a disk that has it in no place
    (repository / "number.json").write_text("2", encoding="utf-8")
    taken = changes_since(head(), lambda path: path.suffix == ".png")
    assert [each.path for each in taken] == ["number.json"]


@pytest.mark.usefixtures("repository")
def test_a_file_that_a_commit_lacks_is_none_and_a_pattern_is_no_path():
    assert content(head(), "absent.json") is None
    assert content(head(), "*.json") is None
    assert content(head(), "number.json") == b"1"


def test_a_file_that_git_cannot_read_is_no_missing_file(repository):
    name = git("rev-parse", "HEAD:./number.json").decode().strip()
    Path(repository.parent, ".git/objects", name[:2], name[2:]).unlink()
    (repository / "number.json").write_text("2", encoding="utf-8")
    with pytest.raises(UserError, match=name):
        list(changes_since(head(), anything))


@pytest.mark.usefixtures("repository")
def test_a_comparison_that_fails_is_not_one_without_changes():
    with pytest.raises(UserError, match="git diff"):
        list(changes_since("0" * 40, anything))


@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize("reference", ["none", "--all", ""])
def test_a_reference_that_git_does_not_know_is_named(reference):
    with pytest.raises(UserError, match=f"--base: .* received {reference!r}"):
        branched_off(reference)


@pytest.mark.usefixtures("repository")
def test_without_git_the_reference_is_not_to_blame(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match="git was not found"):
        branched_off("main")
