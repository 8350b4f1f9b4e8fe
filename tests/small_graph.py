"""A copy of the project in which a graph of a few runs takes seconds, and the driver as a process in it."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import pytest
import yaml
from synthetic import write_params as write_small_params
from synthetic import write_processed

from digit_vae.base.files import sha256
from digit_vae.base.paths import GRAPH_FILES, PROCESSED, RunFiles
from digit_vae.config.loading import load_params
from digit_vae.config.runs import find_run
from digit_vae.config.schema import Params

ROOT = Path(__file__).parents[1]
EPOCHS = 3
REPRO = ("digit_vae", "repro", "--jobs", "2")
STUDIES = {
    "paper": {"question": "?", "variants": ["baseline"], "splits": ["full"], "seeds": [0, 1]},
    "ablation": {"question": "?", "variants": ["baseline", "dropout"], "splits": ["fold0"], "seeds": [0]},
    "beta": {"question": "?", "variants": ["beta_2"], "splits": ["full"], "seeds": [0], "beyond": True},
}
RUNS = ("baseline-full-0", "baseline-full-1", "baseline-fold0-0", "dropout-fold0-0")
BEYOND = "beta_2-full-0"
NAMING = {"report": {"second_run": "baseline-full-1"}, "publish": {"beyond": [BEYOND]}}
# In place of the stages that fetch and prepare the images, and of those that make the report.
PREPROCESS = {
    "cmd": f"mkdir -p {PROCESSED} && cp -r given/. {PROCESSED}",
    "deps": ["given"],
    "params": ["preprocess", "studies"],
    "outs": [f"{PROCESSED}/{name}_{kind}.npy" for name in ("train", "test") for kind in ("images", "labels")]
    + [f"{PROCESSED}/splits", f"{PROCESSED}/manifest.json"],
}
REPORT = {
    "cmd": "cat reports/paper/runs/*/metrics.json > reports/paper/report.md",
    "deps": ["reports/paper/runs"],
    "outs": [{"reports/paper/report.md": {"cache": False}}],
}
REPEATED = ("models/*/*", "reports/*/runs/*/history.json", "reports/*/runs/*/metrics.json", "reports/classifier.json")


def write_project(folder: Path, digits, **sections) -> Params:
    """The project's code, the part of its graphs that trains and evaluates the runs of STUDIES, and few images."""
    for name in ("src", "pipeline"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    more = STUDIES | {"paper": STUDIES["paper"] | {"seeds": [0, 1, 2]}}
    write_processed(folder, digits, write_params(folder, studies=more))
    params = write_params(folder, **sections)
    (folder / PROCESSED).rename(folder / "given")
    (folder / "data").rmdir()
    for graph, path in GRAPH_FILES.items():
        content = yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))
        stages = {name: stage for name, stage in content["stages"].items() if is_kept(name)}
        content["stages"] = {"preprocess": PREPROCESS, **stages, "report": REPORT} if graph == "paper" else stages
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    (folder / ".dvcignore").write_text("__pycache__/\n", encoding="utf-8")
    (folder / ".dvc").mkdir()
    settings = f"[core]\n    no_scm = true\n    site_cache_dir = {folder}/.dvc/site\n"
    (folder / ".dvc/config").write_text(settings, encoding="utf-8")
    return params


def is_kept(stage: str) -> bool:
    return stage in ("classifier", "publish") or stage.partition("_")[2] in STUDIES


def write_params(folder: Path, **sections) -> Params:
    small = {"train": {"epochs": EPOCHS}, "classifier": {"epochs": 1, "minimum_accuracy": 0.0}, "studies": STUDIES}
    return write_small_params(folder, **(NAMING | small | sections))


def start(folder: Path, module: Sequence[str], **options) -> subprocess.Popen:
    """Starts `python -m module...` in the copy, whose code it runs, with nobody's settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "DVC_", "GIT_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    environment = kept | {"PATH": path, "PYTHONPATH": str(folder / "src"), "PYTHONUTF8": "1"}
    pipes = {"stdout": subprocess.PIPE, "text": True, "encoding": "utf-8"}
    command = [sys.executable, "-m", *module]
    return subprocess.Popen(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, **(pipes | options))


def drive(folder: Path, *module: str) -> tuple[int, str, str]:
    """Runs `python -m module...` to its end. Returns: status, output, errors."""
    with start(folder, module, stderr=subprocess.PIPE) as process:
        out, err = process.communicate()
    return process.returncode, out, err


def lines_until(process: subprocess.Popen, found: Callable[[str], object]) -> Iterator[str]:
    for line in process.stdout:
        yield line
        if found(line):
            return
    pytest.fail("the driver ended without the awaited line")


def trainers(pid: int) -> list[psutil.Process]:
    """The workers below a process that train a run at the moment."""
    children = psutil.Process(pid).children(recursive=True)
    return [child for child in children if "ray::train_" in " ".join(child.cmdline())]


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of what the runs leave, but for what the machine decides of it."""
    files = sorted(path for pattern in REPEATED for path in folder.glob(pattern))
    return {str(path.relative_to(folder)): sha256(path) for path in files}


def trained_at(folder: Path, run: str) -> float:
    """When the training of a run began that its files are of."""
    graph = find_run(load_params(folder / "params.yaml"), run).graph
    return json.loads((folder / RunFiles(graph, run).timings).read_text(encoding="utf-8"))["started_at"]
