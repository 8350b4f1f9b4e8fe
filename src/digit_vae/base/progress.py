"""How long work shows itself: one line an epoch in a log, a bar that is redrawn in place on a terminal."""

import shutil
import sys
from typing import Any

BAR = 20


def epoch_line(run: str, history: dict, timing: dict, epochs: int) -> str:
    """One finished epoch in words; losses in nats per image."""
    return (
        f"{run:<16} epoch {history['epoch']:>{len(str(epochs))}}/{epochs}  loss {history['loss']:.2f}"
        f"  reconstruction {history['reconstruction_loss']:.2f}  KL {history['kl_loss']:.2f}"
        f"  validation {history['val_loss']:.2f}  {timing['train_seconds']:.1f} s"
    )


def clock(seconds: float) -> str:
    """75 -> "1:15", 3675 -> "1:01:15"."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def show(line: str, *, done: float, left_seconds: float) -> None:
    """Prints `line` with the time left; on a terminal, behind a bar of the share `done`, in place of the last one."""
    left = f"left {clock(left_seconds)}"
    if not sys.stdout.isatty():
        print(f"{line}  {left}", flush=True)
        return
    filled = round(done * BAR)
    line = f"[{'#' * filled}{'.' * (BAR - filled)}] {left}  {line}"
    width = shutil.get_terminal_size().columns - 1  # a line that wraps cannot be redrawn in place
    print(f"\r\033[K{line[:width]}", end="\n" if done >= 1 else "", flush=True)


def show_event(event: dict[str, Any], epochs: int) -> None:
    """What a training reports: a line for a finished epoch, and one for what there is to note of it or of the start."""
    if event["event"] == "epoch":
        history, timing = event["history"], event["timing"]
        left = (epochs - history["epoch"]) * (timing["train_seconds"] + timing["validation_seconds"])
        line = epoch_line(event["run"], history, timing, epochs)
        show(line, done=history["epoch"] / epochs, left_seconds=left)
    if event["note"]:
        print(f"{event['run']}: {event['note']}", flush=True)
