"""Processes whose parents are killed, as dvc starts them: through a shell."""

import shlex
import subprocess
import sys

import pytest

CHILD = """
import sys, time
print("started", flush=True)
sys.stdin.read()  # until the test lets go
from digit_vae.base.orphans import die_with_parent
die_with_parent()
print("alive", flush=True)
time.sleep(60)
print("still alive")
"""
PARENT = "import subprocess, sys; subprocess.run([sys.argv[1], '-c', sys.argv[2]])"


@pytest.fixture(params=["sh", "bash"])
def parent(request):
    """A process with a child in the place of a shell, as dvc starts a trainer; the child waits for its input's end."""
    command = f"exec {shlex.join([sys.executable, '-c', CHILD])}"
    arguments = [sys.executable, "-c", PARENT, request.param, command]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(arguments, start_new_session=True, **pipes) as process:
        assert process.stdout.readline() == b"started\n"
        yield process
        process.kill()


def test_it_dies_with_its_parent(parent):
    parent.stdin.close()
    assert parent.stdout.readline() == b"alive\n"
    parent.kill()
    assert parent.stdout.read() == b""  # it ends when the child does, which holds the other end


def test_an_orphan_ends_where_it_would_begin(parent):
    parent.kill()
    parent.wait()
    parent.stdin.close()
    assert parent.stdout.read() == b""


def test_who_leads_a_session_was_meant_to_be_alone():
    done = subprocess.run(
        [sys.executable, "-c", "from digit_vae.base.orphans import die_with_parent; die_with_parent(); print('alive')"],
        start_new_session=True,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "alive\n"
