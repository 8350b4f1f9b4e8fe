"""The cores that a process may use, against what taskset says."""

import os
import subprocess
import sys

import pytest

from digit_vae.base.cores import usable_cores

COUNT = "from digit_vae.base.cores import usable_cores; print(usable_cores())"


def test_there_is_at_least_one_core_and_never_more_than_the_machine_has():
    assert 1 <= usable_cores() <= os.cpu_count()


@pytest.mark.skipif(sys.platform != "linux", reason="taskset is Linux'")
def test_a_process_that_is_tied_to_one_core_has_one():
    def tie():
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

    done = subprocess.run([sys.executable, "-c", COUNT], preexec_fn=tie, stdout=subprocess.PIPE, check=True)
    assert int(done.stdout) == 1
