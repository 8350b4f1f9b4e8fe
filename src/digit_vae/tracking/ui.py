"""`digit-vae ui`: MLflow's pages on 127.0.0.1 over the project's store, with all that the files say.

The server runs in this process, without others: when the process ends or is killed, nothing is left.
"""

import argparse
import os
import socket
import warnings
from collections.abc import Sequence

from digit_vae.base.errors import masked
from digit_vae.base.orphans import die_with_parent
from digit_vae.base.ports import listening

APPLICATION = "mlflow.server.fastapi_app:app"  # what `mlflow server` runs


def main(argv: Sequence[str] | None = None) -> None:
    """Serves MLflow's pages on 127.0.0.1 until it is interrupted."""
    parser = argparse.ArgumentParser(prog="digit-vae ui", description=main.__doc__)
    parser.add_argument("--port", default="5000", help="where the pages are (default: 5000)")
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
    os.environ[BACKEND_STORE_URI_ENV_VAR] = Store(project_root()).uri
    os.environ[ARTIFACT_ROOT_ENV_VAR] = str(project_root().resolve() / ARTIFACTS)
    warnings.filterwarnings("ignore", module="mlflow")
    host, port = connection.getsockname()
    print(f"MLflow's pages are at http://{host}:{port} (Ctrl-C ends them)", flush=True)
    uvicorn.Server(uvicorn.Config(APPLICATION, log_level="warning")).run(sockets=[connection])
