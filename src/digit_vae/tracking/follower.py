"""Logs runs in MLflow while they train, from what `digit_vae.tracking.mirror` sends: one JSON object a line.

    python -m digit_vae.tracking.follower

    {"event": "start", "run": NAME, "history": as in history.json so far, "timings": as in timings.json so far}
    {"event": "epoch", "run": NAME, "history": one record of its epochs, "timing": one record of its epochs}
    {"event": "end", "run": NAME}      # its files are complete
    {"event": "trial", "run": NAME}    # a trial of a search, which is recorded

The end of the input without an "end" means that the trainer died. A follower never fails when MLflow does: it gives one
warning a run, and `digit-vae track` brings in later what could not be logged.
"""

import json
import os
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from digit_vae.base.command import run as run_command
from digit_vae.base.errors import UserError
from digit_vae.config.loading import load_params
from digit_vae.config.runs import Run, find_run
from digit_vae.tracking.reading import read_run, read_trial, readers
from digit_vae.tracking.record import of_run, read_by
from digit_vae.tracking.store import Store, project_root
from digit_vae.tracking.sync import Live


class Follower:
    """Logs the events of trainers as they come. After a failure a run waits for its end: its files have all."""

    def __init__(self) -> None:
        self._live: Live | None = None
        self._runs: dict[str, tuple[Run, Sequence[str]]] = {}  # with the studies that read them
        self._given_up: set[str] = set()
        self._experiment = os.environ.get("DVC_EXP_NAME")

    def take(self, event: Mapping[str, Any]) -> None:
        run, kind = event["run"], event["event"]
        if kind == "epoch" and run in self._given_up:
            return
        try:
            self._live = self._live or Live(Store(project_root()))
            self._log(self._live, run, event)
        except UserError as error:
            since = f"epoch {event['history']['epoch']}" if kind == "epoch" else f"its {kind}"
            self._give_up(run, since, error)

    def close(self) -> None:
        """Closes the runs whose trainers died."""
        if (live := self._live) is None:
            return
        for run in live.names:
            try:
                live.kill(run)
            except UserError as error:
                self._give_up(run, "its end", error)

    def _log(self, live: Live, run: str, event: Mapping[str, Any]) -> None:
        if event["event"] == "epoch":
            live.epoch(run, event["history"], event["timing"])
            return
        if event["event"] == "trial":
            live.end(run, read_trial(run))
            return
        if run not in self._runs:  # params.yaml may change later on
            params = load_params()
            declared = find_run(params, run)
            self._runs[run] = declared, readers(params, declared)
        declared, studies = self._runs[run]
        if event["event"] == "start":
            record = of_run(declared, event["history"], event["timings"], experiment=self._experiment)
            live.start(run, read_by(record, studies))
        else:
            live.end(run, read_by(read_run(declared, self._experiment), studies))

    def _give_up(self, run: str, since: str, error: UserError) -> None:
        if run not in self._given_up:
            self._given_up.add(run)
            message = f"{run} is not logged from {since} on; `make track` brings it in later ({error})"
            print(f"warning: {message}", file=sys.stderr, flush=True)


def follow(lines: Iterable[str]) -> None:
    """Takes one event a line until the lines end; a last line that was cut off does not count."""
    follower = Follower()
    for line in lines:
        if line.endswith("\n"):
            follower.take(json.loads(line))
    follower.close()


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the trainer decides when to end
    follow(sys.stdin)


if __name__ == "__main__":
    run_command(main, anywhere=True)  # the trainer's package, checked there
