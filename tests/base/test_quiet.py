"""Notes of libraries that help nobody stay off the screen."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import digit_vae
from digit_vae.base.quiet import writable_folder

SRC = Path(digit_vae.__file__).parents[1]


def test_matplotlib_keeps_its_files_elsewhere_only_where_home_cannot_be_written(tmp_path):
    assert writable_folder({"HOME": str(tmp_path)}) == {}
    assert writable_folder({"HOME": str(tmp_path / "none"), "MPLCONFIGDIR": "/own"}) == {}
    assert set(writable_folder({"HOME": str(tmp_path / "none")})) == {"MPLCONFIGDIR"}


@pytest.mark.parametrize(("path", "notes"), [(os.environ["PATH"], ""), ("/nowhere", "W0000 a note\n")])
def test_notes_are_left_out_and_where_there_is_no_grep_all_is_shown(tmp_path, path, notes):
    """A module of that name stands for TensorFlow."""
    (tmp_path / "tensorflow.py").write_text("import os\nos.write(2, b'W0000 a note\\nmore\\n')", encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(SRC)]), "PATH": path}
    done = subprocess.run(
        [sys.executable, "-c", "import digit_vae, tensorflow"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == f"{notes}more\n"
