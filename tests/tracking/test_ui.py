import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil
import pytest
from synthetic import write_run

import digit_vae
from digit_vae.tracking import ui

# MLflow's own use of SQLAlchemy
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

COMMAND = [sys.executable, "-c", "import sys; from digit_vae.tracking.ui import main; main(sys.argv[1:])"]


@pytest.mark.parametrize("port", ["0", "65536", "x", ""])
def test_an_impossible_port_is_one_sentence(port, capsys):
    with pytest.raises(SystemExit):
        ui.main([f"--port={port}"])
    assert capsys.readouterr().err.splitlines()[-1].endswith(f"from 1 to 65535; received '{port}'")


def test_the_pages_of_a_tracking_server_are_its_own(monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    ui.main([])
    out = capsys.readouterr().out
    assert "127.0.0.1:9" in out
    assert "secret" not in out


def test_the_first_page_leads_to_the_runs_and_no_other_does():
    sent = []

    async def app(scope, _receive, _send):
        sent.append(("app", scope["path"], scope["query_string"]))

    async def send(message):
        sent.append(message)

    opening = ui.opening_on_runs(app, "7")
    for path, query in (("/", b""), ("/", b"runs"), ("/health", b"")):
        asyncio.run(opening({"type": "http", "method": "GET", "path": path, "query_string": query}, None, send))
    start, page, *others = sent
    assert start["status"] == 200
    assert b'(location.hash || "#/experiments/7/runs?workflowType=machine_learning")' in page["body"]
    assert others == [("app", "/", b"runs"), ("app", "/health", b"")]


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def answer(port, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as response:
        return response.read()


def is_open(port):
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


def wait_until(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_the_pages_show_the_runs_and_end_with_whoever_started_them(mlflow_project):
    write_run(mlflow_project, "baseline-fold0-0")
    port = free_port()
    environment = os.environ | {"PYTHONPATH": str(Path(digit_vae.__file__).parents[1])}
    starter = f"import subprocess; subprocess.run({[*COMMAND, '--port', str(port)]!r})"
    with psutil.Popen([sys.executable, "-c", starter], env=environment, stdout=subprocess.PIPE, text=True) as parent:
        assert any(f"127.0.0.1:{port}" in line for line in parent.stdout)
        assert answer(port, "/health") == b"OK"
        assert b"<html" in answer(port, "/")
        found = answer(port, "/ajax-api/2.0/mlflow/experiments/get-by-name?experiment_name=digit-vae")
        assert json.loads(found)["experiment"]["name"] == "digit-vae"
        (server,) = parent.children(recursive=True)
        parent.send_signal(signal.SIGKILL)
        wait_until(lambda: not server.is_running() or server.status() == psutil.STATUS_ZOMBIE, 30)
    wait_until(lambda: not is_open(port), 30)
