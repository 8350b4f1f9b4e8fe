"""Whatever becomes of variants and folds: DVC shows what params.yaml declares, and no lock is made from leftovers.

Two clones of a project, a git remote and a DVC remote, all real; so is the graph but for its stages that train and
evaluate, which copy files that are made up.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import yaml
from example_metrics import health, latent, likelihood, quality
from synthetic import evaluation, timings, write_params, write_processed

from digit_vae.base.files import write_bytes, write_json
from digit_vae.base.paths import PROCESSED
from digit_vae.config.runs import Run, run_params, runs
from digit_vae.config.schema import Params

pytestmark = [pytest.mark.integration, pytest.mark.slow]
ROOT = Path(__file__).parent.parent
STUDY = {"question": "?", "variants": ["baseline", "dropout", "l1_l2"], "splits": ["fold0", "fold1", "fold2"]}
STUDIES = {
    "paper": {"question": "?", "variants": ["baseline"], "splits": ["full"], "seeds": [0]},
    "ablation": STUDY | {"seeds": [0], "against": "baseline"},
}
VARIANTS = {"baseline": {}, "dropout": {"dropout": 0.2}, "l1_l2": {"kernel_l1": 1e-5, "kernel_l2": 1e-4}}
NAMING = {"report": {"second_run": "baseline-full-0"}, "publish": {"beyond": []}}
STAGES = ("train_paper", "train_ablation", "classifier", "evaluate_paper", "evaluate_ablation", "compare")
TRAIN = "mkdir -p {models} {reports} && cp made/{run}/*.h5 {models} && cp made/{run}/[ht]i*.json {reports}"
EVALUATE = "cp made/{run}/samples.npz {models} && cp made/{run}/[em]*.json made/{run}/digits.npz {reports}"
PLACES = {"run": "${key}", "models": "models/${key}", "reports": "reports/paper/runs/${key}"}
CLASSIFIER = (
    "mkdir -p models/classifier && cp made/model.weights.h5 models/classifier && cp made/classifier.json reports"
)
PREPROCESS = {
    "cmd": "mkdir -p data && rm -rf data/processed && cp -r given data/processed",
    "deps": ["given"],
    "params": ["preprocess", "studies"],
    "outs": [f"{PROCESSED}/{part}_{kind}.npy" for part in ("train", "test") for kind in ("images", "labels")]
    + [f"{PROCESSED}/splits", f"{PROCESSED}/manifest.json"],
}


def renamed(sections):
    """dropout is called thinned."""
    sections["variants"] = {**sections["variants"], "thinned": sections["variants"]["dropout"]}
    del sections["variants"]["dropout"]
    sections["studies"]["ablation"]["variants"] = ["baseline", "thinned", "l1_l2"]


def removed(sections):
    """l1_l2 is gone."""
    del sections["variants"]["l1_l2"]
    sections["studies"]["ablation"]["variants"] = ["baseline", "thinned"]


def fewer_folds(sections):
    """Two folds in place of three."""
    sections["preprocess"] = {"folds": 2}
    sections["studies"]["ablation"]["splits"] = ["fold0", "fold1"]


HISTORY = (
    (renamed, ["dropout-fold0-0", "dropout-fold1-0", "dropout-fold2-0"]),
    (removed, ["l1_l2-fold0-0", "l1_l2-fold1-0", "l1_l2-fold2-0"]),
    (fewer_folds, ["baseline-fold2-0", "thinned-fold2-0"]),
)


class Clone:
    """A clone of the project, in which commands are run with its own code and nobody's settings."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "DVC_", "GIT_"))}
        someone = {f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        path = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}", "GIT_CONFIG_GLOBAL": os.devnull}
        own = {"PYTHONPATH": str(folder / "src"), "DVC_SITE_CACHE_DIR": str(folder.parent / f"{folder.name}-site")}
        self.environment = kept | someone | path | own

    def run(self, *command: str) -> tuple[int, str]:
        """Returns: exit status, and all it said."""
        command = (sys.executable, "-m", *command) if command[0] in ("dvc", "digit_vae") else command
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "encoding": "utf-8"}
        done = subprocess.run(command, cwd=self.folder, env=self.environment, check=False, **pipes)
        return done.returncode, done.stdout

    def succeeds(self, *command: str) -> str:
        status, said = self.run(*command)
        assert status == 0, said
        return said

    def compared(self) -> object:
        """What dvc.lock has of the stage that reads all runs."""
        return yaml.safe_load((self.folder / "dvc.lock").read_text(encoding="utf-8"))["stages"]["compare"]

    def shown(self) -> set[str]:
        """The runs whose metrics DVC shows."""
        lines = self.succeeds("dvc", "metrics", "show").splitlines()
        return {Path(line.split()[0]).parts[3] for line in lines if line.startswith("reports/paper/runs/")}


@pytest.fixture
def clones(tmp_path, digits):
    """The first clone, in which the graph has run and which has pushed; the second one, without anything of DVC's."""
    first, second = Clone(tmp_path / "first"), Clone(tmp_path / "second")
    write_project(first.folder)
    (first.folder / "dvc.yaml").write_text(graph(), encoding="utf-8")
    declare(first.folder, digits, start())
    for name in ("git.remote", "dvc.remote"):
        (tmp_path / name).mkdir()
    first.succeeds("git", "init", "-q", "--bare", str(tmp_path / "git.remote"))
    first.succeeds("git", "init", "-q", "-b", "main")
    first.succeeds("git", "remote", "add", "origin", str(tmp_path / "git.remote"))
    first.succeeds("dvc", "remote", "add", "-q", "-d", "shared", str(tmp_path / "dvc.remote"))
    first.succeeds("dvc", "repro", "-q")
    publish(first, "first")
    first.succeeds("git", "clone", "-q", "-b", "main", str(tmp_path / "git.remote"), str(second.folder))
    return first, second


def start():
    return {"variants": dict(VARIANTS), "studies": {name: dict(study) for name, study in STUDIES.items()}} | NAMING


def write_project(folder: Path) -> None:
    """The project's code and settings."""
    for name in ("src", "pipeline"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in (".dvcignore", ".gitignore", ".dvc/config", ".dvc/.gitignore"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)


def graph() -> str:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    kept = {name: dict(stages[name]) for name in STAGES}
    for name, stage in kept.items():
        if command := {"train": TRAIN, "evaluate": EVALUATE}.get(name.partition("_")[0]):
            stage["cmd"] = command.format(**PLACES)
    kept["classifier"]["cmd"] = CLASSIFIER
    return yaml.safe_dump({"stages": {"preprocess": PREPROCESS} | kept}, sort_keys=False)


def declare(folder: Path, digits: np.ndarray, sections: dict) -> Params:
    """Writes params.yaml, and what the stages in place of preprocess, train and evaluate copy."""
    params = write_params(folder, **sections)
    shutil.rmtree(folder / "given", ignore_errors=True)
    write_processed(folder / "staging", digits, params)
    (folder / "staging" / PROCESSED).rename(folder / "given")
    shutil.rmtree(folder / "staging")
    for run in runs(params):
        write_made(folder / "made" / run.name, params, run)
    write_bytes(folder / "made/model.weights.h5", b"classifier")
    write_json(folder / "made/classifier.json", {"images": 100, "accuracy": 0.99, "frechet_train": 0.8})
    return params


def write_made(folder: Path, params: Params, run: Run) -> None:
    generator = np.random.default_rng(list(run.name.encode()))
    loss = generator.normal(155, 1)
    measured = {"images": 100, "elbo": -loss, "reconstruction_loss": loss - 6, "kl_loss": 6.0, "active_units": 2}
    measured |= {"kl_per_dimension": {"z0": 3.0, "z1": 3.0}, "dead_units": 11}
    terms = {"loss": loss, "reconstruction_loss": loss - 6, "kl_loss": 6.0}
    terms |= {f"val_{name}": value for name, value in terms.items()}
    epoch = {"epoch": 1, "health": health(11, 6.0, 2)} | terms
    settings, data = asdict(run_params(params, run)), {"train_images": "a", "validation": "b"}
    write_json(folder / "history.json", {"run": run.name, "params": settings, "data": data, "epochs": [epoch]})
    write_json(folder / "timings.json", timings(run.name, epochs=1))
    write_json(folder / "evaluation.json", evaluation(run.name))
    sections = {"latent": latent(6.0, generator), "quality": quality(generator)}
    sections["likelihood"] = likelihood(-loss, generator)
    write_json(folder / "metrics.json", {"validation": measured, "test": measured} | sections)
    for name in ("encoder.weights.h5", "decoder.weights.h5", "samples.npz", "digits.npz"):
        write_bytes(folder / name, f"{name} of {run.name}".encode())


def publish(clone: Clone, message: str) -> None:
    clone.succeeds("git", "add", "-A")
    clone.succeeds("git", "commit", "-q", "-m", message)
    clone.succeeds("dvc", "push", "-q")
    clone.succeeds("git", "push", "-q", "origin", "main")


def pulls_what_is_up_to_date(clone: Clone, declared: set[str]) -> None:
    clone.succeeds("git", "pull", "-q")
    clone.succeeds("dvc", "pull", "-q")
    assert "up to date" in clone.succeeds("dvc", "status")
    assert clone.succeeds("git", "status", "--porcelain") == ""
    assert clone.shown() == declared


def test_a_pull_is_up_to_date_after_any_history_of_variants_and_folds(clones, digits):
    first, second = clones
    sections = start()
    params = declare(first.folder, digits, sections)
    pulls_what_is_up_to_date(second, {run.name for run in runs(params)})
    for edit, gone in HISTORY:
        edit(sections)
        params = declare(first.folder, digits, sections)
        before = first.compared()
        status, said = first.run("dvc", "repro")
        assert status != 0
        assert all(name in said for name in (*gone, "digit-vae tidy")), said
        assert first.compared() == before
        moved = first.succeeds("digit_vae", "tidy")
        assert all(f"leftovers/reports/paper/runs/{name}" in moved for name in gone)
        first.succeeds("dvc", "repro", "-q")
        assert "leftovers" not in first.succeeds("git", "status", "--porcelain")
        publish(first, edit.__name__)
        pulls_what_is_up_to_date(second, {run.name for run in runs(params)})


def test_a_folder_that_comes_back_changes_no_lock(clones):
    first, _ = clones
    lock = (first.folder / "dvc.lock").read_bytes()
    stale = first.folder / "reports/paper/runs/dropout-fold7-0"
    shutil.copytree(first.folder / "reports/paper/runs/dropout-fold0-0", stale)
    status, said = first.run("dvc", "repro")
    assert status != 0
    assert "digit-vae tidy" in said
    assert (first.folder / "dvc.lock").read_bytes() == lock
    weights = first.folder / "reports/paper/weights/dropout-fold7-0"
    weights.mkdir(parents=True)
    (weights / "encoder.weights.h5").write_bytes(b"stale")
    assert "leftovers/reports/paper/weights/dropout-fold7-0" in first.succeeds("digit_vae", "tidy")
    first.succeeds("dvc", "repro", "-q")  # DVC has removed what the refused stage had made
    assert first.succeeds("git", "status", "--porcelain") == ""
