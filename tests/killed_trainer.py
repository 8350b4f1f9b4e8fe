"""Trainings that are killed at chosen moments: a helper process of test_faults.py.

Each line of standard input is a JSON object: {"folder": FOLDER, "run": RUN, "moment": MOMENT or null}. A fork trains
the run in the folder, with its output in FOLDER/said, and a line tells how that ended: the exit status, or minus the
signal. TensorFlow is imported once, ahead of the forks, and first used in them.
"""

import json
import os
import signal
import sys
from contextlib import nullcontext
from pathlib import Path

import keras

from digit_vae.base.errors import exit_status
from digit_vae.model.vae import VAE
from pipeline import train


class NoMirror:
    @staticmethod
    def send(event):
        """Is called on the class, as a function."""


# Where a function is, its name, what its first argument contains, and at which of such calls the process is killed.
# The metrics are reset ahead of each pass over images: two that warm up, then those of the first epoch.
MOMENTS = {
    "in the first epoch": (VAE, "reset_metrics", "", 4),
    "before the first checkpoint is in place": (Path, "replace", "checkpoints/", 1),
    "between two epochs": (train, "show_event", "'event': 'epoch'", 1),
    "while a checkpoint is written": (Path, "write_bytes", "checkpoints/", 2),
    "before a checkpoint is in place": (Path, "replace", "checkpoints/", 2),
    "after the last epoch": (keras.Model, "save_weights", "", 1),
    "while the weights are written": (Path, "write_bytes", ".tmp.encoder.weights.h5", 1),
    "between the files": (Path, "replace", ".tmp.history.json", 1),
    "before anyone knows of its files": (NoMirror, "send", "'event': 'end'", 1),
}


def prepare(moment):
    owner, name, text, number = MOMENTS[moment]
    original, calls = getattr(owner, name), []

    def counting(*arguments, **options):
        calls.extend([name] * (text in str(arguments[0])))
        if len(calls) == number:
            if name == "write_bytes":
                path, content = arguments
                original(path, content[: len(content) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **options)

    setattr(owner, name, counting)


def work(folder, run, moment):
    os.chdir(folder)
    said = os.open("said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(said, 1)
    os.dup2(said, 2)
    train.Mirror = lambda: nullcontext(NoMirror)
    if moment:
        prepare(moment)
    sys.argv = ["train", run]
    return exit_status(train.main)


if __name__ == "__main__":
    for line in sys.stdin:
        if not (child := os.fork()):
            os._exit(work(**json.loads(line)))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
