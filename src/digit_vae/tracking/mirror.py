"""The trainer's end of the pipe to a process that mirrors its runs into MLflow while they train.

The other end may be slow, fail or die without effect on a training. When the trainer dies, the pipe closes by itself
and the other end closes the run.
"""

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import digit_vae

FOLLOWER = (sys.executable, "-m", "digit_vae.tracking.follower")


class Mirror:
    """Starts `command` and sends it events, one JSON object a line; digit_vae.tracking.follower lists them."""

    def __init__(self, command: Sequence[str] = FOLLOWER, *, patience_seconds: float = 30) -> None:
        self._patience_seconds = patience_seconds
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        # A session of its own: Ctrl-C is for the trainer, and the mirror still has to log how that ended.
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True, env=_environment())
        threading.Thread(target=self._forward, daemon=True).start()

    def send(self, event: Mapping[str, object]) -> None:
        """Returns at once, whatever the other end does."""
        self._lines.put(json.dumps(event).encode() + b"\n")

    def close(self) -> None:
        """Waits for the other end to finish, for a limited time; a failure is one warning."""
        self._lines.put(None)
        try:
            if self._process.wait(self._patience_seconds) == 0:
                return
            reason = f"its process ended with exit status {self._process.returncode}"
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            reason = f"it was not done {self._patience_seconds:g} s after the training"
        print(f"warning: not all of this is in MLflow ({reason}); `make track` brings it in", file=sys.stderr)

    def _forward(self) -> None:
        pipe = self._process.stdin
        if pipe is None:
            return
        try:
            with pipe:
                for line in iter(self._lines.get, None):
                    pipe.write(line)
                    pipe.flush()
        except BrokenPipeError:
            return  # it died: close() says so

    def __enter__(self) -> "Mirror":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def mirror_evaluation(run: str) -> None:
    """In an experiment of DVC, brings in what an evaluation has written: the experiment's folder is deleted at its end.

    Elsewhere `make track` brings in all runs at once.
    """
    if "DVC_EXP_NAME" in os.environ:
        with Mirror() as mirror:
            mirror.send({"event": "end", "run": run})


def _environment() -> dict[str, str]:
    """The other end imports this same package, whatever else is installed; it reads and writes UTF-8."""
    source = str(Path(digit_vae.__file__).resolve().parent.parent)
    return os.environ | {"PYTHONPATH": source, "PYTHONUTF8": "1"}
