"""A mirror of the runs' files in MLflow. MLflow reads its settings when it is imported, so they are set here.

The user's environment decides, with two exceptions: nothing is unpickled, and this host is reached without a proxy.
"""

import os

SETTINGS = {
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_AGENT_HINT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
LOOPBACK = "localhost,127.0.0.1,::1"


def without_proxy(hosts: str | None) -> str:
    """The value of NO_PROXY with this host added to it."""
    if not hosts:
        return LOOPBACK
    return hosts if hosts == "*" or hosts.endswith(LOOPBACK) else f"{hosts},{LOOPBACK}"


for _name, _value in SETTINGS.items():
    os.environ.setdefault(_name, _value)
os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"
_hosts = without_proxy(os.environ.get("no_proxy") or os.environ.get("NO_PROXY"))
os.environ |= {"no_proxy": _hosts, "NO_PROXY": _hosts}
