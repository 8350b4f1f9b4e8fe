"""Which machines are trained on: addresses, versions, and who can reach a cluster that is one call's alone."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from ray.exceptions import RayTaskError, WorkerCrashedError

from digit_vae.base.errors import UserError
from digit_vae.driver import cluster as machines
from digit_vae.driver.cluster import check_versions, found_address, on_an_equal_machine, reason, versions

SOURCE = Path(__file__).parents[2] / "src"


@pytest.fixture
def listening():
    """The address of something that answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def started(tmp_path, monkeypatch):
    """The file in which `ray start` notes its address, in a folder of temporary files where nobody has started one."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    (tmp_path / "ray").mkdir()
    return tmp_path / "ray/ray_current_cluster"


@pytest.mark.parametrize(
    "address", ["10.0.0.1", "10.0.0.1:80000", "10.0.0.1:0", "10.0.0.1:http", ":6379", "ray://10.0.0.1:10001", "80000"]
)
def test_an_address_that_can_be_none_is_refused(address):
    with pytest.raises(UserError, match=r"--address: expected auto, or HOST:PORT .* 65535; received"):
        found_address(address)


def test_an_address_that_does_not_answer_is_an_error_at_once(listening):
    assert found_address(listening) == listening
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"127.0.0.1:{closed.getsockname()[1]}"
    with pytest.raises(UserError, match=rf"expected a Ray cluster that answers, received '{address}'"):
        found_address(address)


def test_auto_is_the_cluster_that_somebody_started(started, listening, monkeypatch):
    with pytest.raises(UserError, match="ray start"):
        found_address("auto")
    started.write_text(listening)
    assert found_address("auto") == listening
    started.write_text("127.0.0.1:9")  # which has died
    with pytest.raises(UserError, match="answers"):
        found_address("auto")
    monkeypatch.setenv("RAY_ADDRESS", listening)
    assert found_address("auto") == listening


PRIVATE = """
import ray
from digit_vae.driver.cluster import cluster
with cluster(None, 1):
    import sys, digit_vae
    code = ray.get(ray.remote(lambda: sys.modules["digit_vae"].__file__ if __import__("digit_vae") else None).remote())
    print(code, ray.get_runtime_context().gcs_address, flush=True)
    sys.stdin.readline()
"""
JOIN = """
import sys, ray
try:
    ray.init(address=sys.argv[1], log_to_driver=False, logging_level="CRITICAL")
except Exception as error:
    sys.exit(f"refused: {error}")
"""


@pytest.mark.integration
@pytest.mark.slow
def test_a_private_cluster_runs_this_code_and_is_found_and_joined_by_nobody(started):
    """The home folder cannot be written: nothing is left there."""
    environment = os.environ | {"PYTHONPATH": str(SOURCE), "HOME": "/proc"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", PRIVATE], env=environment, **pipes) as private:
        code, address = private.stdout.readline().split()
        assert code == str(SOURCE / "digit_vae/__init__.py")
        with pytest.raises(UserError, match="ray start"):
            found_address("auto")
        for asked in ("auto", address):
            joining = [sys.executable, "-c", JOIN, asked]
            done = subprocess.run(joining, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 1
            assert "refused" in done.stderr
        private.communicate("\n")
    assert private.returncode == 0
    assert not started.exists()


def test_machines_with_other_versions_are_named():
    here = {"python": "3.12.1", "tensorflow": "2.21.0", "numpy": "2.4.6"}
    check_versions(here, {"10.0.0.1": here})
    with pytest.raises(UserError, match=r"python 3\.12\.1, .*; received 10\.0\.0\.2 \(tensor") as error:
        check_versions(here, {"10.0.0.1": here, "10.0.0.2": here | {"tensorflow": "2.20.0"}})
    assert "10.0.0.1" not in str(error.value)


@pytest.mark.parametrize("differing", ["numpy", "code"])
def test_a_machine_with_other_packages_or_code_is_given_no_task_whenever_it_joined(monkeypatch, differing):
    task = on_an_equal_machine(lambda run: run)
    monkeypatch.setattr(machines.ray.util, "get_node_ip_address", lambda: "10.0.0.2")
    assert task("baseline-full-0") == "baseline-full-0"
    there = versions() | {differing: "0.1"}
    monkeypatch.setattr(machines, "versions", lambda: there)
    with pytest.raises(UserError, match=rf"received 10\.0\.0\.2 \({differing} 0\.1\)"):
        task("baseline-full-0")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (UserError("training diverged"), "training diverged"),
        (PermissionError(13, "Permission denied", "checkpoints/a"), "checkpoints/a: Permission denied"),
        (RayTaskError("train_task", "Traceback ...", UserError("training diverged")), "training diverged"),
        (RayTaskError("train_task", "Traceback ...", MemoryError("no memory")), "MemoryError: no memory"),
        (WorkerCrashedError(), "its process or machine died, and so in 3 retries: The worker died unexpectedly"),
    ],
)
def test_the_reason_tells_a_failure_from_a_death(error, expected):
    assert reason(error).startswith(expected)
    assert "\n" not in reason(error)
