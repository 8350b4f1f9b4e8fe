import sys

import pytest

from digit_vae.base.progress import clock, epoch_line, show


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
    line = epoch_line("l1_l2-3", history, {"train_seconds": 29.34}, 10)
    expected = "l1_l2-3 epoch 3/10 loss 160.12 reconstruction 154.00 KL 6.12 validation 158.62 29.3 s"
    assert " ".join(line.split()) == expected


def test_epoch_lines_stand_in_columns():
    history = {"loss": 160.0, "reconstruction_loss": 154.0, "kl_loss": 6.0, "val_loss": 158.0}
    lines = [epoch_line("baseline-full", history | {"epoch": epoch}, {"train_seconds": 29.3}, 10) for epoch in (9, 10)]
    assert len(lines[0]) == len(lines[1])


def test_a_log_gets_one_line_an_epoch(capsys):
    show("epoch 1/4", done=0.25, left_seconds=75)
    show("epoch 4/4", done=1, left_seconds=0)
    assert capsys.readouterr().out == "epoch 1/4  left 1:15\nepoch 4/4  left 0:00\n"


def test_a_terminal_gets_a_bar_that_is_redrawn(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    show("epoch 1/4", done=0.25, left_seconds=75)
    show("epoch 4/4", done=1, left_seconds=0)
    first, second = capsys.readouterr().out.split("\r\033[K")[1:]
    assert first == f"[{'#' * 5}{'.' * 15}] left 1:15  epoch 1/4"
    assert second == f"[{'#' * 20}] left 0:00  epoch 4/4\n"


def test_a_narrow_terminal_gets_a_line_that_does_not_wrap(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    show("epoch 1/4" * 9, done=0.25, left_seconds=75)
    (shown,) = capsys.readouterr().out.split("\r\033[K")[1:]
    assert shown == f"[{'#' * 5}{'.' * 15}] left 1:15  epoch"
    assert len(shown) == 39
