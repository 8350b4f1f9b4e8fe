import os
import socket
import subprocess
from types import SimpleNamespace

import psutil
import pytest
from mirrored import as_started, runs_named
from synthetic import EPOCH_SECONDS, STARTED, history, timings

from digit_vae.tracking import writers
from digit_vae.tracking.store import WRITER
from digit_vae.tracking.sync import Live

# MLflow's own use of SQLAlchemy
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

RUN = "baseline-fold0-0"
HOUR = 3600


@pytest.fixture
def run_of(store, client, make_record):
    """A run that trains, after one epoch, whose writer is changed; returns it as MLflow has it."""

    def change(writer):
        live = Live(store)
        live.start(RUN, as_started(make_record()))
        live.epoch(RUN, history(RUN)["epochs"][0], timings(RUN)["epochs"][0])
        (run,) = runs_named(client, RUN)
        if writer is not None:
            client.set_tag(run.info.run_id, WRITER, writer)
        return runs_named(client, RUN)[0]

    return change


def test_this_process_is_alive(store, run_of):
    assert writers.is_alive(store, run_of(None))


def test_another_process_with_the_same_number_is_not_the_writer(store, run_of):
    writer = writers.this_process().rsplit(" ", 1)[0]
    assert not writers.is_alive(store, run_of(f"{writer} {STARTED}"))


def test_a_killed_writer_that_nobody_waited_for_is_dead(store, run_of):
    with subprocess.Popen(["sleep", "60"]) as process:
        run = run_of(f"{socket.gethostname()} {process.pid} {psutil.Process(process.pid).create_time()}")
        assert writers.is_alive(store, run)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, and still in the table of processes
        assert not writers.is_alive(store, run)


@pytest.mark.parametrize("writer", ["", "me", "me myself I", "localhost 1", f"{socket.gethostname()} -1 0", "a 1 nan"])
def test_a_writer_that_names_no_process_is_dead(store, run_of, writer):
    assert not writers.is_alive(store, run_of(writer))


@pytest.mark.parametrize(
    ("resumed", "now", "alive"),
    [(0, 23 * HOUR, True), (0, 25 * HOUR, False), (20 * HOUR, 43 * HOUR, True), (20 * HOUR, 45 * HOUR, False)],
)
def test_a_writer_on_another_host_is_dead_a_day_after_its_last_sign_of_life(
    store, run_of, monkeypatch, resumed, now, alive
):
    last = STARTED + EPOCH_SECONDS
    run = run_of(f"another.host 1 {last + resumed}")
    monkeypatch.setattr(writers, "time", SimpleNamespace(time=lambda: last + now))
    assert writers.is_alive(store, run) == alive
    assert writers.last_logged(store, run) == last * 1000
