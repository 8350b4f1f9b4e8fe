"""A temporary copy of the project in which its graph runs without a trace in the original.

The copy runs its own code and has a DVC cache and an MLflow store of its own. It has the sources alone, with or without
git, so everything in it is made anew. It is removed at the end, also after Ctrl-C, SIGTERM or SIGHUP.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path

import psutil
import yaml

from digit_vae.base.errors import UserError
from digit_vae.base.files import write_text
from digit_vae.base.paths import BENCHMARKS, DATASET, GRAPH_FILES, PARAMS, RAW, SEARCH
from digit_vae.config.runs import runs
from digit_vae.config.schema import FULL, Params
from digit_vae.data.datasets import described

SOURCES = (Path("pipeline"), Path("src"), BENCHMARKS, DATASET, GRAPH_FILES["paper"], Path(".dvcignore"))
NO_SOURCES = shutil.ignore_patterns("__pycache__", "*.egg-info", ".*.tmp.*")
# Below .dvc, over any setting of the user: results in a shared cache would not be made anew.
DVC_SETTINGS = """\
[core]
    analytics = false
    no_scm = true
    site_cache_dir = {folder}/.dvc/site
[cache]
    dir = cache
"""
DRIVER = ("digit_vae", "repro")
SERIAL = ("dvc", "repro", "--quiet")
PATIENCE = 15.0  # seconds that a graph has to end by itself: the driver stops its workers first


@contextmanager
def scratch_copy(prefix: str, params: Params) -> Iterator[Path]:
    """A temporary copy of the project in the working folder, with `params` in its params.yaml.

    Raises: UserError when there is no room.
    """
    with _temporary_folder(prefix) as folder:
        try:
            copy_project(folder, params)
        except (OSError, shutil.Error) as error:
            raise UserError(f"{folder} could not be made as a copy of the project: {error}") from error
        yield folder


def copy_project(folder: Path, params: Params) -> None:
    """Copies the sources; raw data are taken from where they are."""
    sources = (*SOURCES, GRAPH_FILES["beyond"], SEARCH) if runs(params, "beyond") else SOURCES
    for path in sources:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.copytree(path, folder / path, ignore=NO_SOURCES)
        elif path.is_file():
            shutil.copy(path, folder / path)
    write_text(folder / ".dvc/config.local", DVC_SETTINGS.format(folder=folder))
    local = RAW if RAW.is_dir() else params.fetch.folder
    if local is not None:
        params = replace(params, fetch=replace(params.fetch, folder=str(Path(local).resolve())))
    write_text(folder / PARAMS, yaml.safe_dump(asdict(params), sort_keys=False))


def small(params: Params) -> Params:
    """Params of a graph that takes a minute: the paper's studies on `full` and their first two folds, few images.

    Keys that name a run get the name of a run that is left; no fold chose a variant.
    """
    studies = {
        name: replace(study, splits=_few(study.splits)) for name, study in params.studies.items() if not study.beyond
    }
    few = replace(params, studies=studies)
    names = [run.name for run in runs(few)]
    first, second = (
        name if name in names else names[0] for name in (params.report.first_run, params.report.second_run)
    )
    published = tuple(name for name in params.publish.paper if name in names) or (first,)
    kept, there = params.preprocess, described()
    train_images = _at_most(2000, kept.train_images, there.train_images)
    test_images = _at_most(500, kept.test_images, there.test_images)
    return replace(
        few,
        preprocess=replace(kept, train_images=train_images, test_images=test_images),
        train=replace(params.train, epochs=1),
        classifier=replace(params.classifier, epochs=1, minimum_accuracy=0.0),
        compare=replace(params.compare, chose={}),
        evaluate=replace(params.evaluate, generated=500, map_cells=8, bound_images=2, plane_refinements=2),
        report=replace(params.report, first_run=first, second_run=second),
        publish=replace(params.publish, paper=published, beyond=()),
    )


def _at_most(most: int, kept: int | None, there: int) -> int | None:
    """So many images are kept, or all of those that are kept or there, where these are fewer."""
    return kept if (kept or there) <= most else most


def _few(splits: Sequence[str]) -> tuple[str, ...]:
    return tuple(split for split in splits if split == FULL or split in [each for each in splits if each != FULL][:2])


def start(folder: Path, module: Sequence[str]) -> "subprocess.Popen[bytes]":
    """Starts `python -m module...` in a copy of the project: with its own code, and with none of the user's stores."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "DVC_", "GIT_"))}
    own = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', os.defpath)}",
        "PYTHONPATH": str(folder / "src"),
        "PYTHONUTF8": "1",
        # The user's folder may be read-only, or have other settings in it.
        "DVC_GLOBAL_CONFIG_DIR": str(folder / ".dvc/user"),
        "MPLCONFIGDIR": str(folder / ".matplotlib"),
    }
    command = [sys.executable, "-m", *module]
    return subprocess.Popen(command, cwd=folder, env=kept | own, stdin=subprocess.DEVNULL)


def reproduce(folder: Path, module: Sequence[str]) -> None:
    """Runs the graph in `folder` with `python -m module...`; that process never outlives this call.

    Raises: UserError when it fails.
    """
    process = start(folder, module)
    try:
        status = process.wait()
    except KeyboardInterrupt:
        with suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE)  # the terminal has interrupted it, too
        raise
    finally:
        _end(process)
    if status:
        raise UserError(f"the graph did not run through (see above): `{' '.join(module)}` ended with status {status}")


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def _temporary_folder(prefix: str) -> Iterator[Path]:
    """As tempfile.TemporaryDirectory, but signals that end this process let it be removed first."""
    ends = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.getsignal(number) for number in (*ends, signal.SIGINT)}
    for number in ends:
        signal.signal(number, _leave)
    try:
        folder = Path(tempfile.mkdtemp(prefix=prefix)).resolve()
        try:
            yield folder
        finally:
            for number in before:
                signal.signal(number, signal.SIG_IGN)
            _remove(folder)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave(number: int, _: object) -> None:
    sys.exit(128 + number)


def _remove(folder: Path) -> None:
    """First ends the processes that still work in the folder: followers and Ray's agents outlive their parents."""
    until = time.monotonic() + PATIENCE
    while folder.exists() and time.monotonic() < until:
        for process in psutil.process_iter(["cwd"]):
            if process.info["cwd"] and Path(process.info["cwd"]).is_relative_to(folder):
                with suppress(psutil.Error):
                    process.kill()
        shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        print(f"warning: the temporary copy {folder} could not be removed", file=sys.stderr)
