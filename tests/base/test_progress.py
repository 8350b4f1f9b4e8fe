"""How progress looks in a log and on a terminal."""

import sys

import pytest

from digit_vae.base import progress
from digit_vae.base.errors import UserError, exit_status
from digit_vae.base.progress import clock, epoch_line, say, show, show_event


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0:00"),
        (59.4, "0:59"),
        (59.6, "1:00"),
        (75, "1:15"),
        (3599.7, "1:00:00"),
        (3675, "1:01:15"),
        (90_000, "25:00:00"),
    ],
)
def test_clock(seconds, shown):
    assert clock(seconds) == shown


def test_epoch_line_has_run_epoch_losses_and_seconds():
    history = {"epoch": 3, "loss": 160.123, "reconstruction_loss": 154.0, "kl_loss": 6.123, "val_loss": 158.618}
    line = epoch_line("l1_l2-fold3-0", history, {"train_seconds": 29.34}, 10)
    expected = "l1_l2-fold3-0 epoch 3/10 loss 160.12 reconstruction 154.00 KL 6.12 validation 158.62 29.3 s"
    assert " ".join(line.split()) == expected


def test_epoch_lines_stand_in_columns():
    history = {"loss": 160.0, "reconstruction_loss": 154.0, "kl_loss": 6.0, "val_loss": 158.0}
    lines = [
        epoch_line("baseline-full-0", history | {"epoch": epoch}, {"train_seconds": 29.3}, 10) for epoch in (9, 10)
    ]
    assert len(lines[0]) == len(lines[1])


def test_a_log_gets_one_line_an_epoch(capsys):
    show("epoch 1/4", done=0.25, left_seconds=75)
    show("epoch 4/4", done=1, left_seconds=0)
    assert capsys.readouterr().out == "epoch 1/4  left 1:15\nepoch 4/4  left 0:00\n"


def use_terminal(monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")


def test_a_terminal_keeps_the_lines_and_has_a_bar_with_the_time_left_below_them(capsys, monkeypatch):
    use_terminal(monkeypatch)
    show("epoch [1]/4", done=0.25, left_seconds=75)
    show("epoch 4/4", done=1, left_seconds=0)
    first, second = capsys.readouterr().out.split("\r\033[K")[1:]
    line, bar = first.split("\n")
    assert line == "epoch [1]/4"
    assert bar.endswith(" 25%  left 1:15")
    assert second == "epoch 4/4\n"


def test_what_is_said_takes_the_place_of_the_bar(capsys, monkeypatch):
    use_terminal(monkeypatch)
    show("epoch 1/4", done=0.25, left_seconds=75)
    say("a note")
    assert capsys.readouterr().out.endswith("left 1:15\r\033[Ka note\n")


def test_an_error_takes_the_place_of_the_bar(capsys, monkeypatch):
    use_terminal(monkeypatch)

    def fail():
        show("epoch 1/4", done=0.25, left_seconds=75)
        raise UserError("no")

    exit_status(fail)
    shown = capsys.readouterr()
    assert shown.out.endswith("left 1:15\r\033[K")
    assert shown.err == "error: no\n"


def test_a_training_shows_its_epochs_and_notes(capsys):
    history = {"epoch": 1, "loss": 160.0, "reconstruction_loss": 154.0, "kl_loss": 6.0, "val_loss": 158.0}
    timing = {"train_seconds": 20.0, "validation_seconds": 5.0}
    show_event({"event": "start", "run": "a-full-0", "note": "goes on"}, 4)
    show_event({"event": "start", "run": "a-full-0", "note": None}, 4)
    show_event({"event": "epoch", "run": "a-full-0", "history": history, "timing": timing, "note": "is ill"}, 4)
    first, second, third = capsys.readouterr().out.splitlines()
    assert (first, third) == ("a-full-0: goes on", "a-full-0: is ill")
    assert "epoch 1/4" in second
    assert second.endswith("left 1:15")


def test_elapsed_takes_it_that_the_rest_goes_on_as_before(capsys, monkeypatch):
    now = iter((100.0, 130.0, 100.0, 110.0, 130.0))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    progress.Elapsed().show(0.25, "a quarter")
    elapsed = progress.Elapsed(3)
    elapsed.step("one of three")
    elapsed.step("two of three")
    assert capsys.readouterr().out == "a quarter  left 1:30\none of three  left 0:20\ntwo of three  left 0:15\n"


def test_without_a_line_a_bar_moves_on_a_terminal_and_a_log_gets_nothing(capsys, monkeypatch):
    show(None, done=0.5, left_seconds=5)
    assert capsys.readouterr().out == ""
    use_terminal(monkeypatch)
    show(None, done=0.5, left_seconds=5)
    show(None, done=1, left_seconds=0)
    first, second = capsys.readouterr().out.split("\r\033[K")[1:]
    assert first.endswith(" 50%  left 0:05")
    assert second == ""
