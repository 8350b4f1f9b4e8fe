"""A campaign of kills: graphs of smoke size, in which processes are killed at random until each graph is done.

    make test-slow                                      # ten graphs with ten kills each: three quarters of an hour
    KILL_GRAPHS=1 KILLS=3 pytest -m slow tests/test_kills.py
    KILL_SEED=1234 ...                                  # draws the same targets and moments once more

Each graph is made by `digit-vae repro` or plain `dvc repro`, whichever is drawn, and started again at once, while what
was killed may still be dying. It has to end in the bytes of one that was left alone, with no process left.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
from small_graph import REPRO, drive, hashes, start, write_project

pytestmark = [pytest.mark.slow, pytest.mark.integration]

GRAPHS, KILLS = (int(os.environ.get(name, "10")) for name in ("KILL_GRAPHS", "KILLS"))
SEED = int(os.environ.get("KILL_SEED") or random.SystemRandom().randrange(10**6))
DVC = ("dvc", "repro")
TARGETS = {REPRO: ("driver", "worker", "follower", "group"), DVC: ("dvc", "follower", "group")}
SHOWN_AS = {"worker": "ray::", "follower": "digit_vae.tracking.follower"}
# Seconds after which none of our processes may be left. Workers, trainers and followers die within one; Ray's two
# agents look only every now and then whether the driver is still there, and were seen to live for 10 to 20.
PATIENCE = 30
LATEST = 45.0  # seconds that a process has at most before something is killed; less where a whole graph takes less


class Undisturbed(NamedTuple):
    """What a graph that nobody killed left, and the seconds that it took."""

    hashes: dict[str, str]
    seconds: float


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, digits):
    folder = tmp_path_factory.mktemp("undisturbed")
    write_project(folder, digits)
    started = time.monotonic()
    status, _, error = drive(folder, *REPRO)
    assert status == 0, error
    return Undisturbed(hashes(folder), time.monotonic() - started)


@pytest.mark.parametrize("number", range(GRAPHS))
def test_whatever_is_killed_and_whenever_the_bytes_are_those_of_a_graph_left_alone(
    number, undisturbed, tmp_path, digits, capsys
):
    chance, killed, copies = random.Random(SEED + number), [], 0  # noqa: S311 - no secret
    while len(killed) < KILLS:
        copies += 1
        folder = tmp_path / f"copy{copies}"
        write_project(folder, digits)
        killed += until_done(folder, chance, KILLS - len(killed), undisturbed)
    with capsys.disabled():
        targets = ", ".join(f"{target} {count}" for target, count in sorted(Counter(killed).items()))
        print(f"\nKILL_SEED={SEED}, graph {number + 1} of {GRAPHS}: {len(killed)} kills survived ({targets})")


def until_done(folder, chance, kills, undisturbed):
    """Makes a graph under at most so many kills, and checks what it leaves. Returns: what was killed."""
    killed, seen, status = [], set(), None
    while len(killed) < kills and status != 0:
        status, more = disturbed(folder, chance, kills - len(killed), undisturbed.seconds, seen)
        killed += more
    status, out, error = drive(folder, *REPRO)
    assert status == 0, f"{explained(killed)}\n{out}\n{error}"
    assert hashes(folder) == undisturbed.hashes, explained(killed)
    left = [process for process in psutil.wait_procs(seen, timeout=PATIENCE)[1] if is_running(process)]
    assert left == [], explained(killed)
    assert working_in(folder) == [], explained(killed)
    return killed


def explained(killed):
    return f"KILL_SEED={SEED}, killed so far: {', '.join(killed)}"


def disturbed(folder, chance, kills, seconds, seen):
    """Starts the graph once, and kills something of it at random moments until it ends, or has so many kills behind it.

    seconds: what an undisturbed graph takes. seen: every process of it is added.
    Returns: its exit status, what was killed.
    """
    module, killed, log = chance.choice(list(TARGETS)), [], folder / "said.log"
    with (
        log.open("w", encoding="utf-8") as output,
        start(folder, module, stdout=output, stderr=subprocess.STDOUT, start_new_session=True) as process,
    ):
        while not ended(process, chance.uniform(0, min(LATEST, seconds)) if len(killed) < kills else None):
            seen |= below(process)
            target = chance.choice(TARGETS[module])
            if kill(process, target, chance):
                killed.append(target)
    assert killed or process.returncode == 0, log.read_text(encoding="utf-8")
    return process.returncode, killed


def ended(process, seconds):
    """Whether it ends within so many seconds (None: waits for that)."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def below(process):
    """All processes that come from this one."""
    try:
        return set(psutil.Process(process.pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return set()


def kill(process, target, chance):
    """Kills the target, and says whether there was one."""
    if target not in SHOWN_AS:
        with suppress(ProcessLookupError):  # it has just ended by itself
            (os.killpg if target == "group" else os.kill)(process.pid, signal.SIGKILL)
            return True
        return False
    victims = sorted((each for each in below(process) if SHOWN_AS[target] in command(each)), key=lambda each: each.pid)
    if victims:
        chance.choice(victims).kill()
    return bool(victims)


def command(process):
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def is_running(process):
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def working_in(folder):
    """The processes whose working folder is in this one."""
    found = []
    for process in psutil.process_iter(["cwd", "cmdline"]):
        if process.info["cwd"] and Path(process.info["cwd"]).is_relative_to(folder):
            found.append(process.info["cmdline"])
    return found


if sys.platform != "linux":
    pytestmark.append(pytest.mark.skip(reason="processes die with their parents on Linux alone"))
