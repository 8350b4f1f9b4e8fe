"""How commands end, and whose code they run, seen from outside: each in a process of its own."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from digit_vae.base.command import check_code
from digit_vae.base.errors import UserError

ROOT = Path(__file__).parent.parent.parent
STAGE = """
import os, pathlib, sys, time
from digit_vae.base.command import run
from digit_vae.base.errors import UserError

def main():
    pathlib.Path("written").touch()
    {body}

run(main{options})
"""


@pytest.fixture
def workspace(tmp_path):
    """A folder with a package of its own, which is a copy of the project's."""
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def started(folder, body="pass", *, code="src", options="", **variables):
    environment = os.environ | {"PYTHONPATH": str(code)} | variables
    script = STAGE.format(body=body, options=options)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", script], cwd=folder, env=environment, **pipes)


def ended(*arguments, **options):
    """The exit status and what stood on standard error."""
    process = started(*arguments, **options)
    _, said = process.communicate()
    return process.returncode, said.decode("utf-8")


def test_the_code_beside_the_files_runs(workspace):
    assert ended(workspace) == (0, "")
    assert (workspace / "written").exists()


def test_another_folders_code_is_refused_before_anything_is_written(workspace):
    status, said = ended(workspace, code=ROOT / "src")
    assert status == 1
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert str(workspace / "src/digit_vae") in said
    assert str(ROOT / "src/digit_vae") in said
    assert "make setup" in said
    assert not (workspace / "written").exists()


def test_a_folder_without_code_is_refused(tmp_path):
    status, said = ended(tmp_path, code=ROOT / "src")
    assert status == 1
    assert str(tmp_path) in said
    assert not (tmp_path / "written").exists()


def test_what_only_uses_models_runs_anywhere(tmp_path):
    assert ended(tmp_path, code=ROOT / "src", options=", anywhere=True") == (0, "")
    assert (tmp_path / "written").exists()


def test_a_link_to_the_code_is_the_code(tmp_path):
    (tmp_path / "src").symlink_to(ROOT / "src")
    check_code(tmp_path)


def test_the_code_of_a_subfolder_is_not_that_of_the_folder(tmp_path):
    with pytest.raises(UserError, match="root folder"):
        check_code(tmp_path / "elsewhere")


def test_a_users_mistake_is_one_line_without_secrets(workspace):
    status, said = ended(workspace, "raise UserError('https://me:secret@host is away')")
    assert status == 1
    assert said == "error: https://me:***@host is away\n"


def test_a_fault_of_the_code_is_a_traceback(workspace):
    status, said = ended(workspace, "1 / 0")
    assert status == 1
    assert "ZeroDivisionError" in said


def test_a_reader_that_has_seen_enough_ends_it_quietly(workspace):
    with started(workspace, "for number in range(10**6): print(number)") as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(60) == 141
        assert process.stderr.read() == b""


def test_an_output_that_is_closed_hides_no_mistake(workspace):
    script = STAGE.format(body="print('x'); raise UserError('x: expected 1; received 2')", options="")
    command = f'exec {sys.executable} -c "$SCRIPT" >&-'
    environment = os.environ | {"PYTHONPATH": "src", "SCRIPT": script}
    done = subprocess.run(["sh", "-c", command], cwd=workspace, env=environment, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (1, b"error: x: expected 1; received 2\n")


def test_ctrl_c_is_no_traceback(workspace):
    heeded = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"  # whatever pytest was started with
    )
    process = started(workspace, f"{heeded}; print('ready', flush=True); time.sleep(60)")
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in said.decode()


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_what_a_terminal_cannot_show_is_escaped(workspace, stream):
    body = f"print('ü', os.fsdecode(b'\\xff'), file=sys.{stream})"
    process = started(workspace, body, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert {"stdout": out, "stderr": err}[stream] == b"\\xfc \\udcff\n"


LOADED = """
import digit_vae, sys
import tensorflow, keras
print(keras.backend.backend(), 'torch' in sys.modules, 'jax' in sys.modules)
"""


def loaded(**variables):
    """What a process says on both streams that loads TensorFlow and Keras after the package."""
    environment = os.environ | {"PYTHONPATH": "src"} | variables
    command = [sys.executable, "-c", LOADED]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True)
    return done.stdout.decode(), done.stderr.decode()


@pytest.mark.parametrize("other", ["jax", "torch"])
def test_no_setting_of_a_user_changes_the_backend_and_loading_is_quiet(tmp_path, other):
    (tmp_path / "keras.json").write_text(f'{{"backend": "{other}", "floatx": "float16"}}', encoding="utf-8")
    said = loaded(KERAS_BACKEND=other, KERAS_HOME=str(tmp_path))
    assert said == ("tensorflow False False\n", "")


def test_all_notes_are_shown_where_the_user_wants_them():
    assert "InitializeLog" in loaded(TF_CPP_MIN_LOG_LEVEL="0")[1]


def test_what_is_said_before_a_crash_while_loading_is_shown(tmp_path):
    """Of a package that stands in for TensorFlow and writes to the file descriptor, as its libraries do."""
    (tmp_path / "tensorflow").mkdir()
    content = "import os\nos.write(2, b'I0000 a note\\nF0000 no such instruction\\n')\nos.abort()\n"
    (tmp_path / "tensorflow/__init__.py").write_text(content, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": f"src{os.pathsep}{tmp_path}"}
    command = [sys.executable, "-c", "import digit_vae, tensorflow"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False)
    assert done.returncode == -signal.SIGABRT
    assert done.stderr == b"F0000 no such instruction\n"
