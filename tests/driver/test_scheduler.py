"""What the scheduler says of the time left. Its work is in test_reproduce.py."""

import pytest

from digit_vae.base import progress
from digit_vae.driver.scheduler import EVALUATION, Progress

LOSSES = {"loss": 1.0, "reconstruction_loss": 1.0, "kl_loss": 0.0, "val_loss": 1.0}
TIMING = {"train_seconds": 50.0, "validation_seconds": 10.0}


@pytest.fixture
def wait(monkeypatch):
    """Lets minutes go by."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: 60 * now[0])
    return lambda minutes: now.append(now.pop() + minutes)


def trained(shown, run, epoch):
    shown.trained({"run": run, "history": {"epoch": epoch} | LOSSES, "timing": TIMING}, 10, EVALUATION)


def test_progress_counts_epochs_and_evaluations_of_all_runs(wait, capsys):
    """One run needs its evaluation alone, which takes as long as two epochs; an epoch takes a minute."""
    shown = Progress({"a": 12, "b": 12, "c": 2})
    wait(1)
    trained(shown, "a", 1)
    wait(1)
    shown.ended("c", "c is evaluated")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines] == [["0/3", "runs", "a"], ["1/3", "runs", "c"]]
    assert [line.split()[-1] for line in lines] == ["25:00", "15:20"]  # of 26 epochs' work 1 and 3 are done


def test_a_trial_that_diverges_took_the_time_of_its_epochs_alone(wait, capsys):
    """As the search drops what such a trial has left before it is shown as ended."""
    shown = Progress({"a": 10, "b": 10})
    shown.drop("a")
    shown.ended("a", "a diverged")
    wait(1)
    shown.trained({"run": "b", "history": {"epoch": 1} | LOSSES, "timing": TIMING}, 10)
    shown.trained({"run": "a", "history": {"epoch": 2} | LOSSES, "timing": TIMING}, 10)  # taken for dead, and it is not
    first, second = capsys.readouterr().out.splitlines()
    assert first == "1/2 runs  a diverged"
    assert second.split()[-1] == "9:00"


def test_epochs_that_were_trained_before_and_runs_that_failed_took_no_time(wait, capsys):
    shown = Progress({"a": 12, "b": 12, "c": 12})
    wait(2)
    trained(shown, "a", 9)  # the first of this call
    shown.drop("c")
    trained(shown, "b", 1)
    trained(shown, "b", 1)  # again, since its worker died
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[0] for line in lines] == ["0/3", "1/3", "1/3"]
    assert [line[-1] for line in lines] == ["54:00", "14:00", "9:20"]  # 1 of 28, 2 of 16 and 3 of 17
