"""`digit-vae serve`: the champion of the registry behind MLflow's scoring app, on 127.0.0.1.

GET /ping answers 200 when the model is loaded; POST /invocations takes JSON:

    curl http://127.0.0.1:5002/invocations -H 'Content-Type: application/json' \\
        -d '{"inputs": [[[0.5, -1.0]]], "params": {"task": "decode"}}'

docs/use_a_model.md says more. Nothing asks who calls: it is for programs on this machine.
"""

import socket
from collections.abc import Sequence

import uvicorn
from mlflow import pyfunc, set_registry_uri, set_tracking_uri
from mlflow.pyfunc import PyFuncModel, scoring_server
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp

from digit_vae.base.arguments import parser_of
from digit_vae.base.errors import UserError
from digit_vae.base.orphans import die_with_parent
from digit_vae.base.ports import HOST, listening, port_number
from digit_vae.registry.guard import Guard
from digit_vae.registry.versions import CHAMPION, champion, stored_model, tag
from digit_vae.tracking.store import NoStoreError, Store, project_root

PORT = 5002
HOSTS = (HOST, "localhost")  # a page elsewhere whose name leads to this machine asks for another one
MOST_CONNECTIONS = 32  # at once: each may hold some 100 MB


def main(arguments: Sequence[str] | None = None) -> None:
    parser = parser_of("serve", __doc__)
    parser.add_argument("--port", type=port_number, default=PORT, help=f"default: {PORT}")
    port = parser.parse_args(arguments).port
    die_with_parent()
    with listening(port, example="make serve PORT=5003") as connection:
        name, model = load_champion()
        serve(connection, application(model), name)


def load_champion() -> tuple[str, PyFuncModel]:
    """What the champion is called, and its model. Raises: UserError when there is none."""
    try:
        store = Store(project_root(), making=False)
    except NoStoreError as error:
        raise _no_champion() from error
    version = champion(store)
    if version is None:
        raise _no_champion()
    name = f"{tag(version, 'run')} (version {version.version}, {CHAMPION})"
    with stored_model(store, version) as folder, store.failures():
        set_tracking_uri(store.uri)
        set_registry_uri(store.uri)
        return name, pyfunc.load_model(str(folder))


def _no_champion() -> UserError:
    how = "`digit-vae register RUN`, then `digit-vae promote RUN`"
    return UserError(f"expected a champion in the registry; received none: {how}")


def application(model: PyFuncModel) -> ASGIApp:
    """MLflow's own scoring app over the model, with the guard before it."""
    signature = model.metadata.signature
    guarded = Guard(scoring_server.init(model), [param.name for param in signature.params])
    return TrustedHostMiddleware(guarded, allowed_hosts=HOSTS)


def configuration(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(app, log_level="warning", limit_concurrency=MOST_CONNECTIONS)


def serve(connection: socket.socket, app: ASGIApp, name: str) -> None:
    """Runs the app until SIGINT or SIGTERM."""
    host, port = connection.getsockname()
    print(f"{name} is at http://{host}:{port}/invocations (Ctrl-C ends it)", flush=True)
    uvicorn.Server(configuration(app)).run(sockets=[connection])
