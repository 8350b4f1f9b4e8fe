"""The code that runs is the code that DVC hashed: in a worktree, a clone and an experiment that share an environment.

The environment finds the package in the folder that it was made for, as every environment does; DVC and git are real.
"""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import sysconfig
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import yaml
from sklearn.datasets import load_digits
from synthetic import SMALL_PARAMS, write_small_project

from digit_vae.base.files import write_bytes

pytestmark = [pytest.mark.integration, pytest.mark.slow]
ROOT = Path(__file__).parent.parent
RUN = "baseline-full-0"
HISTORY = f"reports/paper/runs/{RUN}/history.json"
DOUBLED = """

_original = reconstruction_loss


def reconstruction_loss(*arguments, **options):
    return 2 * _original(*arguments, **options)
"""
PATIENCE_SECONDS = 300
MORE_FOLDS = (
    "preprocess.folds=3",
    "studies.ablation.splits=[fold0,fold1,fold2]",
    "studies.ablation.variants=[baseline,dropout]",
)


@pytest.fixture(scope="module")
def command(tmp_path_factory, original_folder):
    """Runs a command with the environment made for the original folder; returns exit status and all it said."""
    environment = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    [packages] = environment.glob("lib/python3*/site-packages")
    lines = [sysconfig.get_path("purelib"), str(original_folder / "src")]
    (packages / "found.pth").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    script = environment / "bin/dvc"  # which the worker of DVC's queue starts
    script.write_text('#!/bin/sh\nexec python -m dvc "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    foreign = ("PYTHON", "DVC_", "GIT_", "MLFLOW_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    someone = {f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    path = {"PATH": f"{environment / 'bin'}{os.pathsep}{kept['PATH']}", "GIT_CONFIG_GLOBAL": os.devnull}

    def run(folder, *arguments):
        done = subprocess.run(
            arguments,
            cwd=folder,
            env=kept | someone | path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            check=False,
        )
        return done.returncode, done.stdout

    return run


@pytest.fixture(scope="module")
def original_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("original")


@pytest.fixture(scope="module")
def succeeds(command):
    """As `command`, but for a command that has to succeed; returns what it said."""

    def run(folder, *arguments):
        status, said = command(folder, *arguments)
        assert status == 0, said
        return said

    return run


@pytest.fixture(scope="module")
def original(original_folder, succeeds, digits, mlflow_tables):
    """A committed project of one run, whose data git has; the run is trained."""
    folder = original_folder
    for name in ("src", "pipeline"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in (".dvcignore", ".dvc/config", ".dvc/.gitignore"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    shutil.copy(mlflow_tables, folder)
    write_small_project(folder, digits)
    params = yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))
    params["train"]["epochs"] = 1
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    graph = {"stages": {"train_paper": stages["train_paper"]}}
    (folder / "dvc.yaml").write_text(yaml.safe_dump(graph, sort_keys=False), encoding="utf-8")
    (folder / ".gitignore").write_text("__pycache__/\nmodels/\ncheckpoints/\nmlflow.db*\n", encoding="utf-8")
    succeeds(folder, "git", "init", "-q")
    succeeds(folder, "python", "-m", "dvc", "repro", "-q", f"train_paper@{RUN}")
    succeeds(folder, "git", "add", ".")
    succeeds(folder, "git", "commit", "-qm", "one")
    return folder


def loss(history):
    return json.loads(history)["epochs"][-1]["loss"]


def read_loss(folder):
    return loss((folder / HISTORY).read_text(encoding="utf-8"))


def double_the_loss(folder):
    with (folder / "src/digit_vae/model/losses.py").open("a", encoding="utf-8") as module:
        module.write(DOUBLED)


@pytest.fixture
def edited(original, succeeds):
    """The original with an edit of its loss that is not committed."""
    double_the_loss(original)
    yield original
    succeeds(original, "git", "checkout", "-q", ".")


def test_a_worktree_trains_with_its_own_code(original, succeeds, tmp_path):
    worktree = tmp_path / "worktree"
    succeeds(original, "git", "worktree", "add", "-q", worktree)
    double_the_loss(worktree)
    succeeds(worktree, "python", "-m", "dvc", "repro", "-q", f"train_paper@{RUN}")
    assert read_loss(worktree) > 1.5 * read_loss(original)


def test_a_tool_refuses_to_work_in_a_clone_with_anothers_code(original, command, succeeds, tmp_path):
    clone = tmp_path / "clone"
    succeeds(original, "git", "clone", "-q", original, clone)
    status, said = command(clone, "python", "-m", "digit_vae", "schema")
    assert status == 1
    assert said.startswith("error: ")
    assert str(clone / "src") in said
    assert str(original / "src") in said
    assert succeeds(clone, "git", "status", "--porcelain") == ""


def experiments(folder, succeeds, name):
    """The references of the commits that DVC's experiments of that name left; none before one has ended."""
    refs = succeeds(folder, "git", "for-each-ref", "--format=%(refname)", "refs/exps").split()
    return [ref for ref in refs if ref.rpartition("/")[2] == name]


def loss_of_experiment(original, succeeds, name):
    """The loss that an experiment of DVC left in the commit that bears its name; None before there is one."""
    found = experiments(original, succeeds, name)
    return loss(succeeds(original, "git", "show", f"{found[0]}:{HISTORY}")) if found else None


def logged(folder, experiment):
    """How the runs ended that the project's MLflow store has of an experiment of DVC, their groups apart."""
    query = (
        "select status from runs join tags named using (run_uuid) join tags own using (run_uuid) "
        "where named.key = 'experiment' and named.value = ? and own.key = 'run'"
    )
    with closing(sqlite3.connect(folder / "mlflow.db")) as store:
        return [status for (status,) in store.execute(query, [experiment])]


def test_an_experiment_in_a_temporary_folder_trains_with_the_code_that_was_sent(edited, succeeds):
    succeeds(edited, "python", "-m", "dvc", "exp", "run", "-q", "--temp", "--name", "in-temp", f"train_paper@{RUN}")
    assert loss_of_experiment(edited, succeeds, "in-temp") > 1.5 * read_loss(edited)
    assert logged(edited, "in-temp") == ["FINISHED"]


def test_a_queued_experiment_trains_with_the_code_that_was_queued(edited, succeeds):
    succeeds(edited, "python", "-m", "dvc", "exp", "run", "-q", "--queue", "--name", "queued", f"train_paper@{RUN}")
    succeeds(edited, "git", "checkout", "-q", ".")  # the workspace has the old code again when the worker starts
    succeeds(edited, "python", "-m", "dvc", "queue", "start", "-q")
    end = time.monotonic() + PATIENCE_SECONDS
    while (found := loss_of_experiment(edited, succeeds, "queued")) is None and time.monotonic() < end:
        time.sleep(1)
    assert found, succeeds(edited, "python", "-m", "dvc", "queue", "status")
    succeeds(edited, "python", "-m", "dvc", "queue", "stop")
    assert found > 1.5 * read_loss(edited)
    assert logged(edited, "queued") == ["FINISHED"]


def write_raw(folder, digits, idx_bytes):
    """Few images as four IDX files."""
    labels = load_digits().target[: len(digits)].astype(np.uint8)
    for name, part in {"train": slice(300), "t10k": slice(300, None)}.items():
        for kind, values in (("images-idx3", digits[part, ..., 0]), ("labels-idx1", labels[part])):
            write_bytes(folder / f"{name}-{kind}-ubyte", idx_bytes(values))


@pytest.fixture
def whole_graph(tmp_path, succeeds, digits, idx_bytes, mlflow_tables):
    """A committed project with all of the paper's graph, of which nothing was run."""
    for name in ("src", "pipeline", "reports/benchmarks"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in (".dvcignore", ".dvc/config", ".dvc/.gitignore", "dvc.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copy(mlflow_tables, tmp_path)
    write_raw(tmp_path / "given", digits, idx_bytes)
    params = yaml.safe_load(SMALL_PARAMS.read_text(encoding="utf-8"))
    params["fetch"] |= {"dataset": "folder", "folder": str(tmp_path / "given")}
    params["preprocess"]["folds"] = 2
    params["train"]["epochs"] = 1
    params["studies"] = {name: params["studies"][name] for name in ("paper", "ablation")}
    params["studies"]["ablation"]["splits"] = ["fold0", "fold1"]
    params["publish"]["beyond"] = []
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    (tmp_path / ".gitignore").write_text("__pycache__/\n/data/\n/models/\ncheckpoints/\nmlflow.db*\n", encoding="utf-8")
    succeeds(tmp_path, "git", "init", "-q")
    succeeds(tmp_path, "git", "add", ".")
    succeeds(tmp_path, "git", "commit", "-qm", "one")
    return tmp_path


@pytest.mark.parametrize("how", ["--temp", "--queue"])
def test_an_experiment_with_more_folds_and_other_variants_works_to_the_end(whole_graph, succeeds, how):
    changes = [part for change in MORE_FOLDS for part in ("-S", change)]
    succeeds(whole_graph, "python", "-m", "dvc", "exp", "run", "-q", how, "--name", "more-folds", *changes)
    if how == "--queue":
        succeeds(whole_graph, "python", "-m", "dvc", "queue", "start", "-q")
    end = time.monotonic() + PATIENCE_SECONDS
    while not (refs := experiments(whole_graph, succeeds, "more-folds")) and time.monotonic() < end:
        time.sleep(1)
    if how == "--queue":
        said = succeeds(whole_graph, "python", "-m", "dvc", "queue", "status")
        assert refs, said
        succeeds(whole_graph, "python", "-m", "dvc", "queue", "stop")
    [ref] = refs
    comparisons = json.loads(succeeds(whole_graph, "git", "show", f"{ref}:reports/paper/comparisons/ablation.json"))
    assert {name: each["folds"] for name, each in comparisons.items()} == {"baseline": 3, "dropout": 3}
    page = succeeds(whole_graph, "git", "show", f"{ref}:reports/paper/ablation.md")
    assert "dropout" in page
    assert "l1_l2" not in page
    assert succeeds(whole_graph, "git", "status", "--porcelain") == ""
