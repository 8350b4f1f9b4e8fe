import json
import os
import subprocess
import sys
import time
from pathlib import Path

import digit_vae
from digit_vae.tracking.mirror import Mirror

COPY = "import pathlib, sys; pathlib.Path('received').write_text(sys.stdin.read())"
EVENTS = [{"event": "start", "run": "baseline-full-0"}, {"event": "end", "run": "baseline-full-0"}]


def test_events_arrive_in_order_one_a_line(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    with Mirror([sys.executable, "-c", COPY]) as mirror:
        for event in EVENTS:
            mirror.send(event)
    assert [json.loads(line) for line in (tmp_path / "received").read_text().splitlines()] == EVENTS
    assert capfd.readouterr() == ("", "")


def test_the_other_end_imports_the_package_of_the_trainer(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with Mirror([sys.executable, "-c", "import digit_vae; print(digit_vae.__file__)"]):
        pass
    assert Path(capfd.readouterr().out.strip()) == Path(digit_vae.__file__).resolve()


def test_a_mirror_that_died_is_one_warning(capfd):
    with Mirror([sys.executable, "-c", "raise SystemExit(3)"]) as mirror:
        for event in EVENTS * 10_000:  # more than a pipe holds
            mirror.send(event)
    (warning,) = capfd.readouterr().err.splitlines()
    assert "exit status 3" in warning
    assert "make track" in warning


def test_a_mirror_that_hangs_holds_nobody_up_and_is_killed(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    hang = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
    with Mirror([sys.executable, "-c", hang], patience_seconds=5) as mirror:
        for _ in range(100):
            mirror.send({"event": "start", "filler": "x" * 10_000})  # far more than a pipe holds
    out, err = capfd.readouterr()
    assert not Path(f"/proc/{int(out)}").exists()
    assert "make track" in err


def test_the_death_of_the_trainer_ends_the_input(tmp_path):
    trainer = (
        "import os, signal, sys\n"
        "from digit_vae.tracking.mirror import Mirror\n"
        f"mirror = Mirror([sys.executable, '-c', {COPY!r}])\n"
        "mirror.send({'event': 'start'})\n"
        "os.kill(os.getpid(), signal.SIGSTOP)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(digit_vae.__file__).parents[1])}
    process = subprocess.Popen([sys.executable, "-c", trainer], cwd=tmp_path, env=environment)
    os.waitpid(process.pid, os.WUNTRACED)  # until it stopped itself
    process.kill()
    process.wait()
    deadline = time.monotonic() + 30
    while not (tmp_path / "received").is_file() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert (tmp_path / "received").is_file()
