"""`digit-vae ui`: MLflow's pages on 127.0.0.1 over the project's store, with all that the files say.

The server runs in this process, without others: when the process ends or is killed, nothing is left.
"""

import os
import socket
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from digit_vae.base.arguments import parser_of
from digit_vae.base.errors import masked
from digit_vae.base.orphans import die_with_parent
from digit_vae.base.ports import listening, port_number

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

# MLflow's pages open on prompts and traces, whatever the experiment is, unless the address says otherwise.
RUNS = "#/experiments/{}/runs?workflowType=machine_learning"
# A server never sees what follows a #, such as a comparison, and a redirect to another # loses it: the browser decides.
FIRST_PAGE = """\
<!doctype html><html lang="en"><title>MLflow</title>
<script>location.replace("/?runs" + (location.hash || "{}"))</script></html>
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Serves MLflow's pages on 127.0.0.1 until it is interrupted."""
    parser = parser_of("ui", main.__doc__)
    parser.add_argument("--port", type=port_number, default=5000, help="where the pages are (default: 5000)")
    port = parser.parse_args(argv).port
    die_with_parent()
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if uri.startswith("http"):
        print(f"the pages are those of the tracking server: {masked(uri)}")
        return
    with listening(port, example="make ui PORT=5001") as connection:
        serve(connection)


def serve(connection: socket.socket) -> None:
    """Brings in what the store lacks, and runs MLflow's server over it until SIGINT or SIGTERM."""
    # Imported late: that takes seconds, and a port that is taken is said at once.
    import uvicorn
    from mlflow.server.constants import ARTIFACT_ROOT_ENV_VAR, BACKEND_STORE_URI_ENV_VAR

    from digit_vae.tracking.store import ARTIFACTS, Store, project_root
    from digit_vae.tracking.track import track

    track()
    # MLflow's server reads these when it is imported, and warns of what it imports itself.
    store = Store(project_root())
    os.environ[BACKEND_STORE_URI_ENV_VAR] = store.uri
    os.environ[ARTIFACT_ROOT_ENV_VAR] = str(project_root().resolve() / ARTIFACTS)
    warnings.filterwarnings("ignore", module="mlflow")
    host, port = connection.getsockname()
    print(f"MLflow's pages are at http://{host}:{port} (Ctrl-C ends them)", flush=True)
    from mlflow.server.fastapi_app import app  # what `mlflow server` runs

    uvicorn.Server(uvicorn.Config(opening_on_runs(app, store.experiment_id), log_level="warning")).run([connection])


def opening_on_runs(app: "ASGIApp", experiment_id: str) -> "ASGIApp":
    """The app, whose first page leads to the runs of the experiment, or to what the address names after a #.

    A query tells its own page from MLflow's.
    """

    async def opening(scope: "Scope", receive: "Receive", send: "Send") -> None:
        if scope["type"] != "http" or scope["path"] != "/" or scope["method"] != "GET" or scope["query_string"]:
            await app(scope, receive, send)
            return
        headers = [(b"content-type", b"text/html; charset=utf-8"), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": FIRST_PAGE.format(RUNS.format(experiment_id)).encode()})

    return opening
