"""`make smoke`: the whole graph on a small part of the data, in a temporary copy of this folder.

    python -m digit_vae.verification.smoke           # through the driver, as `make repro`
    python -m digit_vae.verification.smoke --serial  # through plain `dvc repro`

The copy has its own DVC cache and MLflow store; this folder stays as it was. The SHA-256 over all outputs that the
machine's speed has no part in is printed at the end: on one machine it is always the same, either way.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from digit_vae.base.errors import UserError, exit_status
from digit_vae.base.files import sha256, write_text
from digit_vae.config.params import load_params, runs

SMALL = {
    "preprocess": {"train_images": 2000, "test_images": 500, "folds": 2},
    "train": {"epochs": 1},
    "classifier": {"epochs": 1, "minimum_accuracy": 0.0},
    "evaluate": {"generated": 500, "map_cells": 8, "bound_images": 2, "plane_refinements": 2},
}
DRIVER = ("digit_vae.driver.scheduler",)
SERIAL = ("dvc", "repro", "--quiet")
MADE = ("data/", "models/", "extended/models/", "reports/", "dvc.lock", "extended/dvc.lock")  # is not copied,
READ = ("reports/benchmarks/", "reports/extended/README.md")  # unlike what the graph only reads
REPRODUCIBLE = ("data/processed/**/*", "models/*/[!t]*", "reports/metrics/**/*", "reports/figures/*")


def copy_project(target: Path, sections: Mapping[str, Mapping]) -> None:
    """Copies what git tracks or would track into `target`, with `sections` changed in its params.yaml."""
    listed = _git("ls-files", "-co", "--exclude-standard", "-z").split("\0")
    for name in listed:
        if Path(name).is_file() and (name.startswith(READ) or not name.startswith(MADE)):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(name, target / name)
    # Below .dvc, and over any other setting: what a shared cache has of these params would not be made anew.
    write_text(target / ".dvc/config.local", "[core]\n    no_scm = true\n[cache]\n    dir = cache\n")
    params = yaml.safe_load(Path("params.yaml").read_text())
    fetched = Path("data/raw").resolve()
    if fetched.is_dir():
        params["fetch"]["folder"] = str(fetched)
    for section, changes in sections.items():
        params[section] = params[section] | changes
    write_text(target / "params.yaml", yaml.safe_dump(params, sort_keys=False))


def start(folder: Path, module: Sequence[str], **options: object) -> subprocess.Popen:
    """Starts `python -m module...` in a copy of the project, which uses its own code, cache and store."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "DVC_", "GIT_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    environment = kept | {"PATH": path, "PYTHONPATH": str(folder / "src")}
    command = [sys.executable, "-m", *module]
    return subprocess.Popen(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, **options)


def reproduce(folder: Path, module: Sequence[str]) -> None:
    """Runs the graph in `folder` with `python -m module...`. Raises: UserError when that fails."""
    process = start(folder, module)
    try:
        status = process.wait()
    except KeyboardInterrupt:
        process.wait()  # it was interrupted, too, and still writes
        raise
    if status:
        raise UserError(f"the graph did not run through (see above): `{' '.join(module)}` ended with status {status}")


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of each reproducible output by its path in `folder`, sorted."""
    files = {path for pattern in REPRODUCIBLE for path in folder.glob(pattern) if path.is_file()}
    return {str(path.relative_to(folder)): sha256(path) for path in sorted(files)}


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"`git {' '.join(arguments)}` failed: {done.stderr.strip()}")
    return done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--serial", action="store_true", help="one stage after the other, by DVC itself")
    module = SERIAL if parser.parse_args().serial else DRIVER
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="digit-vae-smoke-") as name:
        folder = Path(name).resolve()
        copy_project(folder, SMALL)
        if module is SERIAL:
            reproduce(folder, ("pipeline.plan", "--quiet"))
        reproduce(folder, module)
        outputs = hashes(folder)
        count = len(runs(load_params(folder / "params.yaml"), extended=False))
    together = hashlib.sha256("".join(f"{value}  {path}\n" for path, value in outputs.items()).encode()).hexdigest()
    print(f"smoke passed: {count} runs in {time.monotonic() - started:.0f} s")
    print(f"SHA-256 over {len(outputs)} reproducible outputs: {together}")


if __name__ == "__main__":
    sys.exit(exit_status(main))
