"""The machines that runs are trained on: a Ray cluster that somebody started, or one of this call alone.

A private cluster has a token that only its own processes know: no other call can join it, nor anybody run code in it.
"""

import functools
import os
import platform
import re
import secrets
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

import digit_vae
from digit_vae.base.errors import UserError
from digit_vae.base.files import read_bytes_if_any, sha256_of
from digit_vae.base.provenance import EVALUATED_WITH, TRAINED_WITH, code_hashes

RETRIES = 3  # of a task whose worker or machine died
CODE = ("data", "model", "training", "evaluation")  # what the bytes of a run depend on, beside packages


@contextmanager
def cluster(address: str | None, slots: int) -> Iterator[None]:
    """The Ray cluster at `address`; without one, a cluster of this machine with `slots` cores that ends with the block.

    Raises: UserError when there is no such cluster, or its machines have other versions.
    """
    private = {"num_cpus": slots, "include_dashboard": False, "object_store_memory": 256 * 2**20}
    # Machines of a cluster need not have this code, nor the same state of it.
    shipped = {"runtime_env": {"py_modules": [digit_vae], "excludes": ["__pycache__"]}}
    with _environment(_private_environment() if address is None else _EVERYWHERE):
        try:
            options: dict[str, Any] = private if address is None else shipped
            ray.init(address=address or "local", log_to_driver=False, logging_level="ERROR", **options)
        except Exception as error:
            # RuntimeError: another version of Python or Ray. Exception itself: Ray's for a start that took too long.
            if not isinstance(error, ConnectionError | RuntimeError | RayError) and type(error) is not Exception:
                raise
            raise _no_cluster(address, " ".join(str(error).split())) from error
        # As Ctrl-C, instead of Ray's dump: CI stops things so.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            if address:
                check_versions(versions(), versions_of_nodes())
            yield
        finally:
            ray.shutdown()


_EVERYWHERE = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}


def _private_environment() -> dict[str, str]:
    """Workers run the code of this folder, whatever is installed, and nobody else finds them."""
    return _EVERYWHERE | {"PYTHONPATH": str(Path("src").resolve()), "RAY_AUTH_TOKEN": secrets.token_hex(32)}


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in (*values, "RAY_AUTH_MODE")}
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.update({name: value for name, value in before.items() if value is not None})
        for name in (name for name, value in before.items() if value is None):
            os.environ.pop(name, None)


def found_address(address: str) -> str:
    """The cluster that --address names, once it answers. (Ray itself waits for minutes where nothing listens.)

    address: HOST:PORT, or auto: what RAY_ADDRESS says, or else the last that `ray start` started on this machine. Ray's
    own "auto" also joins a cluster that is another call's alone. Raises: UserError.
    """
    found = (os.environ.get("RAY_ADDRESS") or _noted_address()) if address == "auto" else address
    if found is None:
        raise UserError(
            "--address auto: expected a cluster that `ray start --head` started on this machine; found none"
        )
    if not (parts := re.fullmatch(r"\[?([^\s/\[\]]+?)\]?:(\d{1,5})", found)) or not 0 < int(parts[2]) < 2**16:
        raise UserError(f"--address: expected auto, or HOST:PORT with a port from 1 to 65535; received {found!r}")
    try:
        socket.create_connection((parts[1], int(parts[2])), timeout=5).close()
    except OSError as error:
        raise _no_cluster(found, str(error)) from error
    return found


def _noted_address() -> str | None:
    """The address that `ray start` writes down until `ray stop`."""
    folder = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or tempfile.gettempdir()
    noted = read_bytes_if_any(Path(folder) / "ray/ray_current_cluster")
    return noted.decode().strip() if noted else None


def _no_cluster(address: str | None, reason: str) -> UserError:
    if address is None:
        return UserError(f"Ray did not start on this machine: {reason}")
    return UserError(f"--address: expected a Ray cluster that answers, received {address!r}: {reason}")


def versions() -> dict[str, str]:
    """The versions, on this machine, of all that the bytes of a run depend on."""
    packages = {package: version(package) for package in (*TRAINED_WITH, *EVALUATED_WITH)}
    return {"python": platform.python_version(), **packages, "code": sha256_of(code_hashes(*CODE))[:12]}


def versions_of_nodes() -> dict[str, dict[str, str]]:
    """`versions` of each machine of the cluster, by its address."""
    nodes = {node["NodeManagerAddress"]: node["NodeID"] for node in ray.nodes() if node["Alive"]}
    task = ray.remote(num_cpus=0)(versions)
    strategies = (NodeAffinitySchedulingStrategy(node, soft=False) for node in nodes.values())
    answers = [task.options(scheduling_strategy=strategy).remote() for strategy in strategies]
    try:
        return dict(zip(nodes, ray.get(answers), strict=True))
    except RayError as error:  # such as a package that is not installed there
        raise UserError(f"--address: expected machines set up as this one, received {reason(error)}") from error


def check_versions(here: Mapping[str, str], nodes: Mapping[str, Mapping[str, str]]) -> None:
    """Raises: UserError that names each machine whose versions differ from `here`."""
    differing = {
        address: [f"{name} {there[name]}" for name in here if there[name] != here[name]]
        for address, there in nodes.items()
    }
    if wrong := [f"{address} ({', '.join(names)})" for address, names in differing.items() if names]:
        expected = ", ".join(f"{name} {each}" for name, each in here.items())
        raise UserError(f"expected machines with {expected}; received {'; '.join(wrong)}")


def on_an_equal_machine(task: Callable[..., Any]) -> Callable[..., Any]:
    """`task`, but for a UserError on a machine with other packages or code than here: machines join at any time."""
    expected = versions()

    @functools.wraps(task)
    def checked(*arguments: object) -> object:
        check_versions(expected, {ray.util.get_node_ip_address(): versions()})
        return task(*arguments)

    return checked


def reason(error: Exception) -> str:
    """Why a run failed: by an error of its own, or because its worker died in every retry."""
    error = error.cause if isinstance(error, RayTaskError) else error
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, RayError):
        return f"its process or machine died, and so in {RETRIES} retries: {str(error).splitlines()[0]}"
    return f"{type(error).__name__}: {error}"
