"""The commit of the checkout, against git itself."""

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from digit_vae.base import provenance
from digit_vae.base.provenance import code_hashes, git_commit


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """An empty folder that no git settings or repository around it reach, and `git` in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    identity = ("-c", "user.name=Someone", "-c", "user.email=someone@example.org")

    def git(*arguments):
        done = subprocess.run(["git", *identity, *arguments], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    return git


def test_git_commit_says_which_and_whether_it_was_changed(checkout):
    assert git_commit() is None
    checkout("init")
    assert git_commit() is None
    Path("file").write_text("one", encoding="utf-8")
    checkout("add", "file")
    checkout("commit", "-m", "one")
    commit = checkout("rev-parse", "HEAD")
    checkout("tag", "v1")
    Path("untracked").write_text("", encoding="utf-8")
    assert git_commit() == commit
    Path("file").write_text("two", encoding="utf-8")
    assert git_commit() == f"{commit}-dirty"


def test_where_git_cannot_tell_the_commit_counts_as_changed(checkout):
    checkout("init")
    Path("file").write_text("one", encoding="utf-8")
    checkout("add", "file")
    checkout("commit", "-m", "one")
    commit = checkout("rev-parse", "HEAD")
    assert git_commit() == commit
    Path(".git/index").write_bytes(b"damaged")
    assert git_commit() == f"{commit}-dirty"


def test_new_code_is_a_change_and_new_results_or_another_certificate_are_none(checkout):
    checkout("init")
    for name in ("reports/certificate.md", ".gitignore"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("*.pyc", encoding="utf-8")
        checkout("add", name)
    checkout("commit", "-m", "one")
    commit = checkout("rev-parse", "HEAD")
    Path("reports/certificate.md").write_text("another", encoding="utf-8")
    Path("reports/new.json").write_text("", encoding="utf-8")
    Path("src").mkdir()
    Path("src/new.pyc").write_text("", encoding="utf-8")
    assert git_commit() == commit
    Path("reports/certificate.md").unlink()
    assert git_commit() == commit
    Path("src/new.py").write_text("", encoding="utf-8")
    assert git_commit() == f"{commit}-dirty"


def test_a_folder_within_somebodys_repository_has_no_commit(checkout, monkeypatch):
    checkout("init")
    Path("file").write_text("one", encoding="utf-8")
    checkout("add", "file")
    checkout("commit", "-m", "one")
    Path("ein Ärger").mkdir()
    monkeypatch.chdir("ein Ärger")
    assert git_commit() is None
    checkout("init")
    checkout("commit", "--allow-empty", "-m", "two")
    assert git_commit() == checkout("rev-parse", "HEAD")


def test_the_hashes_of_code_have_every_module_in_or_below_the_folders(tmp_path, monkeypatch):
    for name in ("base/provenance.py", "model/vae.py", "model/parts/deep.py", "model/notes.txt", "report/page.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "base/provenance.py"))
    expected = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("model/parts/deep.py", "model/vae.py")}
    assert code_hashes("model") == expected
