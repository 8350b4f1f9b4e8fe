"""The copy that `make smoke` works in. That its graph gives the same bytes either way: see test_pipeline_repro.py."""

import hashlib
import subprocess

import pytest
import yaml
from dvc.repo import Repo

from digit_vae.base.errors import UserError
from pipeline import smoke


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A small repository as the working folder: files that git tracks, would track, and ignores."""
    folder = tmp_path / "checkout"
    contents = {
        "params.yaml": "fetch: {folder: null, mirrors: []}\ntrain: {epochs: 10, seed: 0}\n",
        "src/code.py": "tracked",
        "pipeline/new.py": "not yet tracked",
        "reports/README.md": "made by the graph",
        "reports/benchmarks/a.json": "measured, and read by the graph",
        "reports/extended/README.md": "says what the folder is for, which the graph reads",
        "reports/extended/runs/a.history.json": "made by the extended graph",
        "extended/dvc.lock": "made by the extended graph",
        "dvc.lock": "made by the graph",
        ".gitignore": "/ignored/\n",
        "ignored/file": "ignored",
    }
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    subprocess.run(["git", "add", "src", "params.yaml", "reports", "dvc.lock", "extended"], cwd=folder, check=True)
    monkeypatch.chdir(folder)
    return folder


def test_the_copy_has_the_sources_and_nothing_that_the_graph_makes(checkout, tmp_path):
    target = tmp_path / "copy"
    smoke.copy_project(target, {"train": {"epochs": 1}})
    copied = {str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()}
    assert copied == {
        "params.yaml",
        "src/code.py",
        "pipeline/new.py",
        "reports/benchmarks/a.json",
        "reports/extended/README.md",
        ".dvc/config.local",
        ".gitignore",
    }
    params = yaml.safe_load((target / "params.yaml").read_text())
    assert params == {"fetch": {"folder": None, "mirrors": []}, "train": {"epochs": 1, "seed": 0}}
    assert "epochs: 10" in (checkout / "params.yaml").read_text()


def test_the_copy_takes_raw_data_from_where_it_is(checkout, tmp_path):
    (checkout / "data/raw").mkdir(parents=True)
    smoke.copy_project(tmp_path / "copy", {})
    params = yaml.safe_load((tmp_path / "copy/params.yaml").read_text())
    assert params["fetch"]["folder"] == str(checkout / "data/raw")


def test_the_copy_has_a_cache_of_its_own_beside_one_that_the_user_shares(checkout, tmp_path, monkeypatch):
    settings = "[core]\n    analytics = false\n[cache]\n    dir = /shared\n"
    for path in (checkout / ".dvc/config", tmp_path / "user/config"):
        path.parent.mkdir()
        path.write_text(settings)
    monkeypatch.setenv("DVC_GLOBAL_CONFIG_DIR", str(tmp_path / "user"))
    smoke.copy_project(tmp_path / "copy", {})
    with Repo(str(tmp_path / "copy")) as repo:
        assert repo.cache.local.path == str(tmp_path / "copy/.dvc/cache/files/md5")


def test_outside_of_a_checkout_git_says_what_is_wrong(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(UserError, match="not a git repository"):
        smoke.copy_project(tmp_path / "copy", {})


def test_hashes_leave_out_what_the_machine_decides(tmp_path):
    for name in ("models/a-full/history.json", "models/a-full/timings.json", "reports/metrics/runs/a-full.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    assert smoke.hashes(tmp_path) == {
        name: hashlib.sha256(name.encode()).hexdigest()
        for name in ("models/a-full/history.json", "reports/metrics/runs/a-full.json")
    }


def test_the_users_settings_of_stores_do_not_reach_the_copy(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://localhost:1")
    monkeypatch.setenv("DVC_ROOT", "/nowhere")
    (tmp_path / "look.py").write_text("import os; print([name for name in os.environ if name[:4] in ('MLFL', 'DVC_')])")
    with smoke.start(tmp_path, ("look",), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.read() == "[]\n"


def test_a_graph_that_fails_is_an_error(tmp_path):
    (tmp_path / "fails.py").write_text("raise SystemExit(3)")
    with pytest.raises(UserError, match="`fails` ended with status 3"):
        smoke.reproduce(tmp_path, ("fails",))
