import hashlib
import os
from pathlib import Path

import pytest

from digit_vae.base.errors import UserError
from digit_vae.config.loading import load_params
from digit_vae.data.mnist import RawFile
from digit_vae.site import vendored

CONTENT = b"a script"
FILE = RawFile("script.js", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


@pytest.fixture
def fetch_params(monkeypatch, project):  # noqa: ARG001 - the working folder
    """Without npm on the PATH, and with one file to bring."""
    monkeypatch.setenv("PATH", os.devnull)
    monkeypatch.setattr(vendored, "FILES", {"@scope/package": (FILE,)})
    return load_params().fetch


def test_files_that_are_intact_need_no_npm(fetch_params, tmp_path):
    (tmp_path / FILE.name).write_bytes(CONTENT)
    assert vendored.tensorflow_js(tmp_path, fetch_params, report=print) == {FILE.name: CONTENT}


def test_a_damaged_file_is_brought_again_and_without_npm_the_error_says_so(fetch_params, tmp_path):
    (tmp_path / FILE.name).write_bytes(b"another script"[: len(CONTENT)])
    with pytest.raises(UserError, match=r"script\.js .*@scope/package@.*npm .*not installed"):
        vendored.tensorflow_js(tmp_path, fetch_params, report=lambda _: None)


def test_every_file_is_pinned_once():
    files = [file for each in vendored.FILES.values() for file in each]
    assert len({file.name for file in files}) == len(files)
    assert all(len(bytes.fromhex(file.sha256)) == 32 for file in files)
    assert sum(file.size for file in files) < 2 * 10**6


def test_the_files_are_looked_for_in_the_folder_that_is_given(fetch_params, tmp_path):
    with pytest.raises(UserError):
        vendored.tensorflow_js(Path(tmp_path / "nowhere"), fetch_params, report=lambda _: None)
