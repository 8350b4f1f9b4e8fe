"""The registered model in MLflow: its versions, each one run's, and its champion.

The registry is in the same store as the runs. A mirror of files it is not: whoever deletes the store registers anew.
"""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import mlflow.artifacts
import mlflow.pyfunc
from mlflow.entities import LoggedModelOutput, Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.models import Model

from digit_vae.base.errors import UserError
from digit_vae.registry.evidence import stored_sha256
from digit_vae.registry.package import parts
from digit_vae.serving.trained import TrainedRun
from digit_vae.tracking.store import NOTE, Store

NAME = "digit-vae"
CHAMPION = "champion"
DESCRIPTION = f"""\
Encoder and decoder of a variational autoencoder for images of 28x28 pixels. `{CHAMPION}` is what `make serve` uses:
`digit-vae promote` gives the alias to a version that passes the gate of params.yaml, section promote."""


def versions(store: Store) -> list[ModelVersion]:
    """All versions, the newest first."""
    with store.failures():
        found = store.client.search_model_versions(f"name = '{NAME}'")
        return sorted(found, key=lambda version: int(version.version), reverse=True)


def version_of(store: Store, run: str) -> ModelVersion:
    """The newest version of a run, with its tags. Raises: UserError when there is none."""
    found = versions(store)
    for version in found:
        if version.tags.get("run") == run:
            return version
    known = ", ".join(dict.fromkeys(version.tags.get("run", "?") for version in found)) or "no run"
    raise UserError(f"expected a registered run ({known}); received {run}: `digit-vae register {run}` registers it")


def tag(version: ModelVersion, key: str) -> str:
    """What `digit-vae register` wrote. Raises: UserError where it is missing."""
    if key in version.tags:
        return str(version.tags[key])
    again = "register its run again, or take the alias from it in `make ui`"
    raise UserError(f"expected version {version.version} of {NAME} to have the tag {key}; received none: {again}")


def champion(store: Store) -> ModelVersion | None:
    """The version with the alias; None where there is none."""
    with store.failures():
        registered = store.client.search_registered_models(f"name = '{NAME}'")
        number = registered[0].aliases.get(CHAMPION) if registered else None
        return store.client.get_model_version(NAME, str(number)) if number else None


def add_version(store: Store, run: Run, trained: TrainedRun, tags: Mapping[str, str], note: str) -> ModelVersion:
    """Logs the model as an output of its run in MLflow, and registers it with `tags`."""
    client, run_id = store.client, run.info.run_id
    with parts(trained) as given, tempfile.TemporaryDirectory() as folder, store.failures():
        logged = client.create_logged_model(store.experiment_id, trained.name, run_id, dict(tags), run.data.params)
        path = Path(folder) / "model"
        mlflow.pyfunc.save_model(path, mlflow_model=Model(run_id=run_id, model_id=logged.model_id), **given)
        client.log_model_artifacts(logged.model_id, str(path))
        client.finalize_logged_model(logged.model_id, "READY")
        client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
        if not client.search_registered_models(f"name = '{NAME}'"):
            client.create_registered_model(NAME, {NOTE: DESCRIPTION}, DESCRIPTION)
        source = f"models:/{logged.model_id}"
        return client.create_model_version(NAME, source, run_id, dict(tags), description=note, model_id=logged.model_id)


@contextmanager
def stored_model(store: Store, version: ModelVersion) -> Iterator[Path]:
    """A copy of a version's model, for the block.

    Raises: UserError when its ONNX files and code are not those that were registered.
    """
    registered = tag(version, "model_sha256")
    with tempfile.TemporaryDirectory() as copy:
        with store.failures():
            source = store.client.get_model_version_download_uri(NAME, str(version.version))
            download = mlflow.artifacts.download_artifacts
            folder = Path(download(artifact_uri=source, dst_path=copy, tracking_uri=store.uri))
            found = stored_sha256(folder)
        if found != registered:
            where = f"the model that MLflow stores for version {version.version} of {NAME}"
            remedy = "delete the version in `make ui` and register its run again"
            raise UserError(f"{where}: expected the SHA-256 {registered}; received {found}: {remedy}")
        yield folder


def set_tags(store: Store, version: ModelVersion, tags: Mapping[str, str]) -> None:
    with store.failures():
        for key, value in tags.items():
            if version.tags.get(key) != value:
                store.client.set_model_version_tag(NAME, version.version, key, value)


def crown(store: Store, version: ModelVersion) -> None:
    """Gives the version the alias, and takes it from the one that has it."""
    with store.failures():
        store.client.set_registered_model_alias(NAME, CHAMPION, version.version)
