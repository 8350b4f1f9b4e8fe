"""How many cores this process may use, which may be fewer than the machine has."""

import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


def usable_cores() -> int:
    """The machine's cores, as far as taskset, a cpuset and a container's CPU quota leave them; at least 1."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return max(1, min([cores, *map(math.ceil, quotas(Path("/proc/self/cgroup"), CGROUPS))]))


def quotas(listed: Path, mounted: Path) -> Iterator[float]:
    """The limits in cores that control groups of version 1 and 2 set for this process, if there are any.

    listed: the file with the groups of a process; mounted: the folder where the system shows their limits. The limits
    of the groups around a group hold for it, too.
    """
    lines = listed.read_text(encoding="utf-8").splitlines() if listed.is_file() else []
    for _, controllers, group in (line.split(":", 2) for line in lines):
        if controllers and "cpu" not in controllers.split(","):
            continue
        root, names = mounted / "cpu" if controllers else mounted, [part for part in group.split("/") if part]
        for depth in range(len(names) + 1):
            folder = root.joinpath(*names[:depth])
            yield from _quota_1(folder) if controllers else _quota_2(folder)


def _quota_1(folder: Path) -> Iterator[float]:
    quota, period = folder / "cpu.cfs_quota_us", folder / "cpu.cfs_period_us"
    if quota.is_file() and period.is_file() and (limit := int(quota.read_text(encoding="utf-8"))) > 0:
        yield limit / int(period.read_text(encoding="utf-8"))


def _quota_2(folder: Path) -> Iterator[float]:
    if (file := folder / "cpu.max").is_file():
        limit, period = file.read_text(encoding="utf-8").split()
        if limit != "max":
            yield int(limit) / int(period)
