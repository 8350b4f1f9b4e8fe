"""Which process logs a run that is open in MLflow, and whether it is still at work."""

import socket
import time

import psutil
from mlflow.entities import Run

from digit_vae.tracking.store import WRITER, Store

SAME_START_SECONDS = 5  # a process's start time is read off clocks that may be adjusted
SILENT_SECONDS = 24 * 3600  # after which a process on another host counts as dead; it logs each epoch


def this_process() -> str:
    return f"{socket.gethostname()} {psutil.Process().pid} {psutil.Process().create_time()}"


def is_alive(store: Store, run: Run) -> bool:
    """Whether the process that logs an open run may still be at work.

    On this host the process can be looked up. On another host it counts as dead when more than SILENT_SECONDS have
    passed since it started and since the run's last epoch. If it is alive all the same, the run's end corrects that.
    """
    try:
        host, process, started = run.data.tags.get(WRITER, "").rsplit(" ", 2)
        if host == socket.gethostname():
            return _is_running(int(process), float(started))
        return time.time() - max(float(started), last_logged(store, run) / 1000) < SILENT_SECONDS
    except ValueError:  # no tag, or one that names no process
        return False


def last_logged(store: Store, run: Run) -> int:
    """When a run last logged an epoch, or else when it started, in milliseconds."""
    points = store.client.get_metric_history(run.info.run_id, "train/loss")
    return max(int(moment) for moment in (run.info.start_time, *(point.timestamp for point in points)))


def _is_running(process: int, started: float) -> bool:
    """Whether the process with that number on this host is the one that started then (seconds since 1970).

    A process that was killed counts as gone, even before its parent has waited for it.
    """
    try:
        found = psutil.Process(process)
        is_same = abs(found.create_time() - started) < SAME_START_SECONDS
        return is_same and found.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
