import json
import os
import signal
import subprocess
import sys
import time

from digit_vae.tracking.mirror import Mirror

COPY = "import pathlib, sys; pathlib.Path('received').write_text(sys.stdin.read())"
EVENTS = [{"event": "start", "run": "baseline-0"}, {"event": "end", "run": "baseline-0"}]


def test_events_arrive_in_order_one_a_line(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    with Mirror([sys.executable, "-c", COPY]) as mirror:
        for event in EVENTS:
            mirror.send(event)
    assert [json.loads(line) for line in (tmp_path / "received").read_text().splitlines()] == EVENTS
    assert capfd.readouterr() == ("", "")


def test_a_mirror_that_died_is_one_warning(capfd):
    with Mirror([sys.executable, "-c", "raise SystemExit(3)"]) as mirror:
        mirror._process.wait()
        for event in EVENTS * 50:
            mirror.send(event)
    warning = capfd.readouterr().err
    assert len(warning.splitlines()) == 1
    assert "exit status 3" in warning
    assert "make track" in warning


def test_a_mirror_that_hangs_holds_nobody_up_and_is_killed(capfd):
    mirror = Mirror([sys.executable, "-c", "import time; time.sleep(600)"], patience_seconds=0.2)
    for _ in range(100):
        mirror.send({"event": "start", "filler": "x" * 10_000})  # far more than a pipe holds
    mirror.close()
    assert mirror._process.returncode == -signal.SIGKILL
    assert "make track" in capfd.readouterr().err


def test_the_death_of_the_trainer_ends_the_input(tmp_path):
    trainer = (
        "import os, signal, sys\n"
        "from digit_vae.tracking.mirror import Mirror\n"
        f"mirror = Mirror([sys.executable, '-c', {COPY!r}])\n"
        "mirror.send({'event': 'start'})\n"
        "os.kill(os.getpid(), signal.SIGSTOP)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", trainer], cwd=tmp_path)
    os.waitpid(process.pid, os.WUNTRACED)  # until it stopped itself
    process.kill()
    process.wait()
    deadline = time.monotonic() + 30
    while not (tmp_path / "received").is_file() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert (tmp_path / "received").is_file()
