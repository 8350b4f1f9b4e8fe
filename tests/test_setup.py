"""`make setup` with an empty lock file: the environment finds the code of its folder, wherever that is."""

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import cloudpickle
import joblib
import pytest

from digit_vae.base.cores import usable_cores

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.integration


def shell(folder, command, **variables):
    """What a command says that runs in `folder` in the C locale, and its exit status."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "PYTHON", "MAKE", "PIP_"))}
    environment = kept | {"LC_ALL": "C", "PYTHON": sys.executable} | variables
    done = subprocess.run(["sh", "-c", command], cwd=folder, env=environment, capture_output=True, check=False)
    return done.returncode, (done.stdout + done.stderr).decode("utf-8", "replace")


def make_project(folder):
    """The project without anything to install."""
    for name in ("Makefile", "pyproject.toml", ".dvc/config", "dvc.yaml", "params.yaml"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "requirements.lock").write_text("", encoding="utf-8")
    (folder / ".git").mkdir()


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project whose path has blanks, a dash and an umlaut, set up in the C locale."""
    folder = tmp_path_factory.mktemp("set up") / "\u00dcbung \u2013 zwei"
    make_project(folder)
    status, said = shell(folder, "make setup")
    assert status == 0, said
    return folder


def code_in_use(folder, python):
    status, said = shell(folder, f"{python} -c 'import os, digit_vae; print(os.fsencode(digit_vae.__file__).hex())'")
    assert status == 0, said
    return Path(os.fsdecode(bytes.fromhex(said.strip())))


def test_the_environment_uses_the_code_of_its_folder(project):
    assert code_in_use(project, ".venv/bin/python").is_relative_to(project.resolve())
    [named] = project.glob(".venv/lib/python3*/site-packages/digit_vae.pth")
    assert not named.read_text(encoding="ascii").startswith("/")


def test_the_command_works_from_anywhere_and_through_a_link(project, tmp_path):
    (tmp_path / "linked").symlink_to(project / ".venv/bin/digit-vae")
    for command in (f"'{project}/.venv/bin/digit-vae'", "./linked"):
        status, said = shell(tmp_path, f"{command} --version")
        assert status == 0, said
        assert said.startswith("digit-vae ")


def test_a_second_call_has_nothing_to_do(project):
    status, said = shell(project, "make setup")
    assert status == 0
    assert "Nothing to be done" in said


def test_a_copied_folder_gets_an_environment_of_its_own_in_which_dvc_works_without_git(project, tmp_path):
    """As in an archive that was downloaded: DVC itself would stop for want of a git repository."""
    copied = tmp_path / "copied"
    subprocess.run(["cp", "-a", project, copied], check=True)
    (copied / ".git").rmdir()
    status, said = shell(copied, "make setup")
    assert status != 0  # the empty lock file does not bring DVC
    [reason] = [line for line in said.splitlines() if "made anew" in line]
    assert str(copied) in reason
    assert code_in_use(copied, ".venv/bin/python").is_relative_to(copied)
    assert str(project).encode() not in (copied / ".venv/bin/pip").read_bytes()
    [site] = copied.glob(".venv/lib/python3*/site-packages")
    (site / "those_of_the_tests.pth").write_text(f"{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    status, said = shell(copied, "make setup")
    assert status == 0, said
    assert "made anew" not in said
    status, said = shell(copied, ".venv/bin/python -m dvc stage list --name-only")
    assert status == 0, said
    assert "preprocess" in said


def test_an_environment_of_an_unfinished_installation_is_finished(project):
    [mark] = project.glob(".venv/installed-*")
    mark.unlink()
    status, said = shell(project, "make setup")
    assert status == 0
    assert "made anew" not in said
    assert mark.exists()


def test_make_test_starts_as_many_workers_as_the_process_has_cores(project, monkeypatch):
    monkeypatch.delenv("PYTEST_XDIST_AUTO_NUM_WORKERS", raising=False)  # of the `make test` that this one is part of
    said_by = "import os; print('workers', os.environ['PYTEST_XDIST_AUTO_NUM_WORKERS'])\n"
    (project / "pytest.py").write_text(said_by, encoding="utf-8")
    for package in (joblib, cloudpickle):  # nothing is installed, and these count the cores
        (project / package.__name__).symlink_to(Path(package.__file__).parent)
    assert f"workers {usable_cores()}\n" in shell(project, "make test")[1]
    assert "workers 3\n" in shell(project, "make test", PYTEST_XDIST_AUTO_NUM_WORKERS="3")[1]
    if shutil.which("taskset"):
        core = min(os.sched_getaffinity(0))
        assert "workers 1\n" in shell(project, f"taskset -c {core} make test")[1]


def test_modules_of_the_folder_are_found_whatever_the_variables_of_python_say(project):
    (project / "pytest.py").write_text("print('found')\n", encoding="utf-8")
    status, said = shell(project, "make test", PYTHONSAFEPATH="1", PYTHONPATH="nowhere")
    assert status == 0, said
    assert "found" in said


def test_continuous_integration_verifies_after_failed_tests_and_still_fails(tmp_path):
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci/run", tmp_path / ".ci/run")
    (tmp_path / "chromium").write_text("", encoding="utf-8")
    (tmp_path / "chromium").chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    for tests, verdict, expected in ((0, 0, 0), (3, 0, 3), (0, 4, 4), (3, 4, 3)):
        (tmp_path / "make").write_text(
            f'#!/bin/sh\necho "make $1"\ncase $1 in test) exit {tests};; verify) exit {verdict};; esac\n',
            encoding="utf-8",
        )
        (tmp_path / "make").chmod(0o755)
        status, said = shell(tmp_path, ".ci/run", PATH=path)
        assert (status, said) == (expected, "make check\nmake test\nmake verify\n")


def test_a_wrong_python_is_one_sentence(tmp_path):
    make_project(tmp_path)
    status, said = shell(tmp_path, "make setup", PYTHON="/bin/false")
    assert status != 0
    assert "expected Python 3.11" in said
    assert not (tmp_path / ".venv").exists()


def write_wheel(folder, name, file, content):
    """A package of one file, made by hand; returns its line of a lock file."""
    path, meta = folder / f"{name}-1.0-py3-none-any.whl", f"{name}-1.0.dist-info"
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w") as wheel:
        kept = zipfile.ZipInfo(file)
        kept.external_attr = 0o100755 << 16  # a regular file that may be run
        wheel.writestr(kept, content)
        wheel.writestr(f"{meta}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(f"{meta}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{meta}/RECORD", f"{file},,\n{meta}/METADATA,,\n{meta}/WHEEL,,\n{meta}/RECORD,,\n")
    return f"{name}==1.0 --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


NO_NETWORK = {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_RETRIES": "0", "UV_HTTP_RETRIES": "0"}
UV = """#!python
import os, sys
print(os.environ["UV_DEFAULT_INDEX"], *sys.argv[1:], file=open("asked", "w"))
sys.exit(os.path.exists("unreachable"))
"""


def test_packages_come_from_a_folder_by_uv_or_by_pip_where_uv_cannot(tmp_path):
    """In one environment, each time with the mark and the package of the installation before taken away."""
    make_project(tmp_path)
    wheels = tmp_path / "some wheels"
    (tmp_path / "requirements-gpu.lock").write_text(
        write_wheel(wheels, "brought_along", "brought_along.py", "HERE = True\n"), encoding="utf-8"
    )

    def is_brought(**chosen):
        """Whether `make setup` succeeds, what it says, and whether the package is there then."""
        for path in [*tmp_path.glob(".venv/installed-*"), *tmp_path.glob(".venv/lib/*/site-packages/brought_along.py")]:
            path.unlink()
        for folder in tmp_path.glob(".venv/lib/*/site-packages/brought_along-*"):
            shutil.rmtree(folder)
        status, said = shell(tmp_path, f"make setup GPU=1 WHEELS='{chosen.get('folder', 'some wheels')}'", **NO_NETWORK)
        return status == 0, said, shell(tmp_path, ".venv/bin/python -c 'import brought_along'")[0] == 0

    done, said, brought = is_brought(folder="nowhere")
    assert (done, brought) == (False, False)
    assert "WHEELS: expected a folder with wheels, received nowhere" in said
    done, said, brought = is_brought()  # there is no uv, as its lock file is missing
    assert (done, brought) == (True, True), said

    line = write_wheel(wheels, "uv", "uv-1.0.data/scripts/uv", UV)
    (tmp_path / "requirements-uv.lock").write_text(line, encoding="utf-8")
    for reachable in (False, True):
        (tmp_path / "unreachable").unlink() if reachable else (tmp_path / "unreachable").touch()
        done, said, brought = is_brought()
        assert done, said
        asked = (tmp_path / "asked").read_text(encoding="utf-8").split()
        (tmp_path / "asked").unlink()
        assert asked[0] == NO_NETWORK["PIP_INDEX_URL"]
        assert {"--require-hashes", "--no-index", "requirements-gpu.lock"} <= set(asked)
        assert brought != reachable  # this uv installs nothing
