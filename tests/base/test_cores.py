"""The cores that a process may use, against what taskset and the files of control groups say."""

import os
import subprocess
import sys

import pytest

from digit_vae.base.cores import quotas, usable_cores

COUNT = "from digit_vae.base.cores import usable_cores; print(usable_cores())"


def write(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)


def test_there_is_at_least_one_core_and_never_more_than_the_machine_has():
    assert 1 <= usable_cores() <= os.cpu_count()


@pytest.mark.skipif(sys.platform != "linux", reason="taskset is Linux'")
def test_a_process_that_is_tied_to_one_core_has_one():
    def tie():
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

    done = subprocess.run([sys.executable, "-c", COUNT], preexec_fn=tie, stdout=subprocess.PIPE, check=True)
    assert int(done.stdout) == 1


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        ("0::/\n", {}, []),
        ("0::/\n", {"cpu.max": "max 100000\n"}, []),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, [1.5]),
        ("0::/a/b\n", {"a/cpu.max": "200000 100000\n", "a/b/cpu.max": "max 100000\n"}, [2.0]),
        ("0::/a/b\n", {"a/cpu.max": "200000 100000\n", "a/b/cpu.max": "50000 50000\n"}, [2.0, 1.0]),
        ("4:memory:/\n3:cpu,cpuacct:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, []),
        (
            "4:memory:/\n3:cpu,cpuacct:/docker/unseen\n",
            {"cpu/cpu.cfs_quota_us": "350000\n", "cpu/cpu.cfs_period_us": "100000\n"},
            [3.5],
        ),
    ],
)
def test_the_quota_of_each_group_around_the_process_counts(tmp_path, groups, files, expected):
    write(tmp_path, {"listed": groups} | {f"mounted/{name}": content for name, content in files.items()})
    assert list(quotas(tmp_path / "listed", tmp_path / "mounted")) == expected


def test_a_system_without_control_groups_sets_no_limit(tmp_path):
    assert list(quotas(tmp_path / "absent", tmp_path)) == []
