"""The temporary copy that smoke and verify work in."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from dvc.repo import Repo
from synthetic import write_params

from digit_vae.base.errors import UserError
from digit_vae.base.files import write_json
from digit_vae.base.paths import DATASET
from digit_vae.config.loading import load_params
from digit_vae.config.runs import runs
from digit_vae.data.datasets import Description
from digit_vae.data.mnist import NAMES, DataSet, RawFile
from digit_vae.verification.scratch import copy_project, reproduce, scratch_copy, small

ROOT = Path(__file__).parents[2]
MADE = ("data/processed/a.npy", "models/a/digits.npz", "reports/README.md", "dvc.lock", "beyond/dvc.lock", "mlflow.db")
NO_SOURCE = ("src/__pycache__/code.pyc", "src/digit_vae.egg-info/PKG-INFO", "src/.abc.tmp.code.py")
COPIED = ("src/digit_vae/code.py", "pipeline/train.py", "dvc.yaml", "reports/benchmarks/a.json", ".dvcignore")


def write_files(folder, names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name, encoding="utf-8")


def files_below(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def original(project):
    """A project that was downloaded as an archive: the working folder, without git."""
    write_files(project, [*MADE, *NO_SOURCE, *COPIED, "beyond/dvc.yaml"])
    return project


@pytest.fixture
def target(tmp_path_factory):
    return tmp_path_factory.mktemp("copy")


def test_the_copy_has_the_sources_and_nothing_that_the_graph_makes(original, target, small_params):
    before = files_below(original)
    copy_project(target, small_params)
    assert files_below(target) == {*COPIED, "beyond/dvc.yaml", "params.yaml", ".dvc/config.local"}
    assert load_params(target / "params.yaml") == small_params
    assert files_below(original) == before


@pytest.mark.usefixtures("original")
def test_the_graph_beyond_the_paper_is_copied_only_where_it_has_runs(target, small_params):
    copy_project(target, small(small_params))
    assert "beyond/dvc.yaml" not in files_below(target)


def test_raw_data_are_taken_from_where_they_are(original, target, small_params):
    (original / "data/raw").mkdir(parents=True)
    copy_project(target, small_params)
    assert load_params(target / "params.yaml").fetch.folder == str(original / "data/raw")


def test_a_folder_that_the_user_has_is_found_from_the_copy_too(original, target):
    copy_project(target, write_params(original, fetch={"folder": "../mnist"}))
    assert load_params(target / "params.yaml").fetch.folder == str(original.parent / "mnist")


@pytest.mark.usefixtures("original")
def test_the_copy_has_a_cache_of_its_own_beside_one_that_the_user_shares(target, tmp_path, small_params, monkeypatch):
    (tmp_path / "user").mkdir()
    (tmp_path / "user/config").write_text("[cache]\n    dir = /shared\n[core]\n    site_cache_dir = /site\n", "utf-8")
    monkeypatch.setenv("DVC_GLOBAL_CONFIG_DIR", str(tmp_path / "user"))
    copy_project(target, small_params)
    (target / "dvc.yaml").unlink()
    with Repo(str(target)) as repo:
        assert repo.cache.local.path == str(target / ".dvc/cache/files/md5")
        assert Path(repo.site_cache_dir).is_relative_to(target)


def test_smoke_has_the_papers_studies_on_full_and_two_folds(small_params):
    few = small(small_params)
    assert {run.name for run in runs(few)} == {
        *("baseline-full-0", "baseline-full-1"),
        *(f"{variant}-fold{fold}-0" for variant in ("baseline", "l1_l2", "dropout") for fold in (0, 1)),
    }
    assert runs(few, "beyond") == ()
    assert few.train.epochs == 1
    assert (few.preprocess.train_images, few.preprocess.test_images) == (2000, 500)


def test_smoke_is_never_larger_than_the_project(small_params):
    kept = replace(small_params.preprocess, train_images=300, test_images=100)
    assert small(replace(small_params, preprocess=kept)).preprocess == kept


def test_smoke_of_few_own_images_keeps_them_all_and_of_many_a_part(project, small_params):
    for train, test, expected in ((240, 60, (None, None)), (2000, 501, (None, 500)), (2001, 60, (2000, None))):
        sizes = (16 + 784 * train, 8 + train, 16 + 784 * test, 8 + test)
        files = DataSet(*(RawFile(name, size, "a" * 64) for name, size in zip(NAMES, sizes, strict=True)))
        write_json(project / DATASET, Description("folder", "image", "images", ("a", "b"), files).content())
        few = small(small_params).preprocess
        assert (few.train_images, few.test_images) == expected


def test_what_names_a_run_that_smoke_leaves_out_names_another(target, original):
    report = {"first_run": "dropout-fold2-0", "second_run": "dropout-fold1-0"}
    chose = {"improved": ["fold0-0"], "dropout": ["fold2-0"]}
    params = write_params(original, report=report, publish={"paper": ["l1_l2-fold2-0"]}, compare={"chose": chose})
    copy_project(target, small(params))
    found = load_params(target / "params.yaml")  # which refuses names that are no run's
    assert found.report.second_run == "dropout-fold1-0"
    assert found.report.first_run == found.publish.paper[0] != "dropout-fold2-0"


def test_the_users_settings_of_stores_do_not_reach_the_copy(tmp_path, monkeypatch, capfd):
    for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT", "GIT_DIR"):
        monkeypatch.setenv(name, "/nowhere")
    for name in [name for name in os.environ if name.startswith("PYTH")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    shown = "{name: os.environ[name] for name in sorted(os.environ) if name[:4] in ('MLFL', 'DVC_', 'GIT_', 'PYTH')}"
    (tmp_path / "look.py").write_text(f"import os; print({shown})", encoding="utf-8")
    reproduce(tmp_path, ("look",))
    own = {"DVC_GLOBAL_CONFIG_DIR": str(tmp_path / ".dvc/user"), "PYTHONPATH": str(tmp_path / "src"), "PYTHONUTF8": "1"}
    assert capfd.readouterr().out == f"{own}\n"


def test_matplotlib_says_nothing_where_the_home_folder_is_read_only(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("HOME", "/dev/null")
    monkeypatch.delenv("MPLCONFIGDIR", raising=False)
    (tmp_path / "draw.py").write_text("import matplotlib.font_manager", encoding="utf-8")
    reproduce(tmp_path, ("draw",))
    assert "".join(capfd.readouterr()) == ""


def test_a_graph_that_fails_is_an_error(tmp_path):
    (tmp_path / "fails.py").write_text("raise SystemExit(3)", encoding="utf-8")
    with pytest.raises(UserError, match=r"`fails` .* status 3"):
        reproduce(tmp_path, ("fails",))


@pytest.mark.usefixtures("original")
def test_a_copy_for_which_there_is_no_room_is_an_error_and_leaves_nothing(
    tmp_path_factory, small_params, monkeypatch, full_disk
):
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    with full_disk(4), pytest.raises(UserError, match="could not be"), scratch_copy("copy-", small_params):
        pytest.fail("it was made")
    assert list(folder.iterdir()) == []


WAITS = """
import os, pathlib, signal, subprocess, sys, time
signal.signal(signal.SIGINT, signal.SIG_DFL)
follower = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
pathlib.Path({started!r}).write_text(f"{{os.getpid()}} {{follower.pid}}")
time.sleep(60)
"""
SCRIPT = """
import signal
import sys
from digit_vae.base.errors import exit_status
from digit_vae.config.loading import load_params
from digit_vae.verification.scratch import reproduce, scratch_copy

signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever pytest was started with
signal.signal(signal.SIGHUP, signal.SIG_DFL)

def main():
    with scratch_copy("copy-", load_params()) as folder:
        (folder / "waits.py").write_text({waits!r}, encoding="utf-8")
        reproduce(folder, ("waits",))

sys.exit(exit_status(main))
"""


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 128 + 15), (signal.SIGHUP, 128 + 1)]
)
def test_a_signal_ends_the_graph_and_removes_the_copy_quietly(project, tmp_path_factory, number, status):
    temporary = tmp_path_factory.mktemp("temporary")
    started = tmp_path_factory.mktemp("started") / "pid"
    script = SCRIPT.format(waits=WAITS.format(started=str(started)))
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "TMPDIR": str(temporary)}
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=project,
        env=environment,
        text=True,
        process_group=0,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    wait_until(lambda: started.is_file() and started.read_text())
    os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
    out, _ = process.communicate(timeout=30)
    assert (process.returncode, out) == (status, "interrupted\n" if number == signal.SIGINT else "")
    assert list(temporary.iterdir()) == []
    for pid in map(int, started.read_text().split()):
        wait_until(lambda pid=pid: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def wait_until(holds):
    until = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.05)
