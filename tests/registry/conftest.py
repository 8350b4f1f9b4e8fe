"""A model with weights that no training made, packaged; and a project in which runs can be registered."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import NamedTuple

import keras
import mlflow.pyfunc
import pytest
import yaml
from example_project import change, write_project
from synthetic import timings

from digit_vae.base.files import sha256, write_bytes, write_text
from digit_vae.base.paths import REPORTS
from digit_vae.config.runs import find_run, run_params
from digit_vae.config.schema import RunParams
from digit_vae.model.device import select_device
from digit_vae.model.vae import VAE, build_vae
from digit_vae.model.weights import weights_bytes
from digit_vae.registry.package import save
from digit_vae.registry.register import register
from digit_vae.serving.trained import TrainedRun
from digit_vae.tracking.reading import read_run
from digit_vae.tracking.record import with_comparisons
from digit_vae.tracking.store import Store
from digit_vae.tracking.sync import sync
from digit_vae.verification.evidence import LOCKS, md5


class Packaged(NamedTuple):
    run: TrainedRun
    folder: Path
    vae: VAE
    model: mlflow.pyfunc.PyFuncModel


@pytest.fixture(scope="session")
def packaged(tmp_path_factory, small_params):
    """A run with three latent dimensions, its Keras model, and the model that MLflow loads."""
    folder = tmp_path_factory.mktemp("packaged")
    params = RunParams(**(asdict(small_params.train) | {"seed": 0, "latent_dim": 3, "batch_norm": True}))
    trained, vae = write_weights(folder, params, "baseline-full-0")
    save(trained, folder / "model")
    return Packaged(trained, folder / "model", vae, mlflow.pyfunc.load_model(folder / "model"))


def write_weights(folder, params, name):
    select_device("cpu")
    keras.utils.set_random_seed(params.seed)
    vae = build_vae(params)
    trained = TrainedRun(name, params, folder / "encoder.weights.h5", folder / "decoder.weights.h5", f"train@{name}")
    write_bytes(trained.encoder, weights_bytes(vae.encoder))
    write_bytes(trained.decoder, weights_bytes(vae.decoder))
    return trained, vae


class Project:
    """A project whose runs can be trained, in no time, and registered."""

    def __init__(self, root):
        self.params = write_project(root)
        self.store = Store(root)
        self.locked = {graph: {} for graph in LOCKS}

    def train(self, name, seed=0):
        """Weights of a seed, and what the stage and dvc.lock say of them."""
        run = find_run(self.params, name)
        files = run.files
        write_weights(files.models, replace(run_params(self.params, run), seed=seed), name)
        digests = {part: sha256(getattr(files, part)) for part in ("encoder", "decoder")}
        change(name, "history", weights_sha256=digests, variant=run.variant, split=run.split, seed=run.seed)
        change(name, "timings", **timings(name, self.params.train.epochs))
        self.lock(run)
        return run

    def lock(self, run):
        """Lets the locks say what the files of a run are, and all that stage `compare` reads."""
        files = run.files
        stage = run.stages[0].rpartition(":")[2]
        self.locked[run.graph][stage] = {"outs": hashed(files.encoder, files.decoder, files.history)}
        self.locked["beyond"]["compare"] = {"deps": hashed(*(REPORTS / graph / "runs" for graph in LOCKS))}
        for graph, stages in self.locked.items():
            write_text(LOCKS[graph], yaml.safe_dump({"stages": stages}))

    def register(self, name):
        run = find_run(self.params, name)
        record = read_run(run)
        sync(self.store, [record], with_comparisons([record], {}))
        return register(self.store, self.params, run)


def hashed(*paths):
    return [{"path": str(path), "md5": md5(path)} for path in paths]


@pytest.fixture
def registry(mlflow_project):
    return Project(mlflow_project)
