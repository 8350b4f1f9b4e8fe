"""Shows progress: a line for each finished step and, on a terminal, a bar with the time left below the lines."""

import sys
import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress_bar import ProgressBar

BAR = 30  # columns
CLEAR_LINE = "\r\033[K"


def epoch_line(run: str, history: Mapping[str, Any], timing: Mapping[str, Any], epochs: int) -> str:
    """One finished epoch in words; losses in nats per image."""
    return (
        f"{run:<20} epoch {history['epoch']:>{len(str(epochs))}}/{epochs}  loss {history['loss']:.2f}"
        f"  reconstruction {history['reconstruction_loss']:.2f}  KL {history['kl_loss']:.2f}"
        f"  validation {history['val_loss']:.2f}  {timing['train_seconds']:.1f} s"
    )


def clock(seconds: float) -> str:
    """75 -> "1:15", 3675 -> "1:01:15"."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


class Elapsed:
    """The time left, taking it that the rest of some work takes as long as what is done of it. steps: what it has."""

    def __init__(self, steps: int = 1) -> None:
        self._started, self._steps, self._done = time.monotonic(), steps, 0

    def step(self, line: str | None = None) -> None:
        """Shows that one more step is done, with `line` as `show` does."""
        self._done += 1
        self.show(self._done / self._steps, line)

    def show(self, done: float, line: str | None = None) -> None:
        """Shows a share done, above 0 and at most 1, with `line` as `show` does."""
        show(line, done=done, left_seconds=(time.monotonic() - self._started) * (1 / done - 1))


def show(line: str | None, *, done: float, left_seconds: float) -> None:
    """Prints `line` with the time left: on a terminal beside a bar of the share `done`, in a log behind the line.

    line: None moves the bar alone; a log gets nothing.
    """
    left = f"left {clock(left_seconds)}"
    console = Console(highlight=False, markup=False, emoji=False)
    if not sys.stdout.isatty() or console.is_dumb_terminal:
        if line is not None:
            print(f"{line}  {left}", flush=True)
        return
    if line is None:
        print(CLEAR_LINE, end="", flush=True)
    else:
        say(line)
    if done < 1:
        console.print(ProgressBar(total=1, completed=done, width=BAR), end="")
        console.print(f" {done:.0%}  {left}", end="")
        console.file.flush()


def say(line: str) -> None:
    """Prints a line; on a terminal it replaces the bar, if there is one."""
    print(f"{CLEAR_LINE if sys.stdout.isatty() else ''}{line}", flush=True)


def show_event(event: Mapping[str, Any], epochs: int) -> None:
    """Shows an event of a training: a line for a finished epoch, and one for its note or that of the start."""
    if event["event"] == "epoch":
        history, timing = event["history"], event["timing"]
        left = (epochs - history["epoch"]) * (timing["train_seconds"] + timing["validation_seconds"])
        line = epoch_line(event["run"], history, timing, epochs)
        show(line, done=history["epoch"] / epochs, left_seconds=left)
    if event["note"]:
        say(f"{event['run']}: {event['note']}")
