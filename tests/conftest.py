"""Fixtures that several test files share."""

import ctypes
import resource
import shutil
import signal
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from synthetic import SMALL_PARAMS, write_small_project

from digit_vae.base.errors import exit_status
from digit_vae.base.orphans import PR_SET_PDEATHSIG
from digit_vae.config.loading import load_params
from digit_vae.config.schema import Params, RunParams


@pytest.fixture(autouse=True)
def process_as_it_was() -> Iterator[None]:
    """A command that a test calls in this process sets how the process ends: with its parent, with its reader."""
    before = {number: signal.getsignal(number) for number in (signal.SIGPIPE, signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, 0)


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A folder with the small params.yaml and nothing else; the working folder of the test."""
    for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT", "DVC_EXP_NAME"):  # MLflow sets the first itself, and leaves it
        monkeypatch.delenv(name, raising=False)
    shutil.copy(SMALL_PARAMS, tmp_path / "params.yaml")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run_stage(monkeypatch) -> Callable[..., int]:
    """Runs a stage's `main` with command-line arguments, as its script does, and returns the exit status."""

    def run(main: Callable[[], None], *arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["stage", *arguments])
        return exit_status(main)

    return run


@pytest.fixture
def no_arguments(monkeypatch) -> None:
    """The `main` of a stage that takes no arguments sees none, instead of pytest's."""
    monkeypatch.setattr(sys, "argv", ["stage"])


@pytest.fixture
def full_disk() -> Callable[[int], AbstractContextManager]:
    """Within the block no file grows beyond so many bytes. Python ignores the signal, so that a write is an OSError."""

    @contextmanager
    def limited(size: int) -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited


@pytest.fixture
def idx_bytes() -> Callable[[np.ndarray], bytes]:
    """An IDX file of unsigned bytes, as the format's description says."""

    def encode(values: np.ndarray) -> bytes:
        return struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape) + values.astype(np.uint8).tobytes()

    return encode


@pytest.fixture(scope="session")
def mlflow_tables(tmp_path_factory) -> Path:
    """A database with MLflow's tables and nothing in them; making one takes seconds, copying it nothing."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def mlflow_project(project, mlflow_tables) -> Path:
    """`project` with an empty MLflow store of its own."""
    shutil.copy(mlflow_tables, project)
    return project


@pytest.fixture(scope="session")
def digits() -> np.ndarray:
    """400 small digits that scikit-learn brings along, as MNIST has them: (400, 28, 28, 1) uint8."""
    from sklearn.datasets import load_digits

    images = load_digits().images[:400].repeat(3, axis=1).repeat(3, axis=2) * 255 / 16
    return np.pad(images, ((0, 0), (2, 2), (2, 2)))[..., np.newaxis].astype(np.uint8)


@pytest.fixture(scope="session")
def cpu() -> dict:
    """TensorFlow as the stages set it up, before any test uses it; the machine's fingerprint."""
    from digit_vae.model.device import select_device

    return select_device("cpu")


@pytest.fixture(scope="session")
def small_params() -> Params:
    """What tests/small_params.yaml says."""
    return load_params(SMALL_PARAMS)


@pytest.fixture
def make_params(small_params) -> Callable:
    """The RunParams of the base model with seed 0, with what a test changes."""
    return lambda **changes: RunParams(**(asdict(small_params.train) | {"seed": 0} | changes))


@pytest.fixture
def processed(project, digits) -> Path:
    """`project` with what stage `preprocess` leaves of few images."""
    write_small_project(project, digits)
    return project
