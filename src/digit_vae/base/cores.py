"""How many cores this process may use, which may be fewer than the machine has."""

from joblib import cpu_count


def usable_cores() -> int:
    """The machine's cores, as far as taskset, a cpuset and a container's CPU quota leave them; at least 1.

    A quota that no container sets, such as systemd's for a user of a shared machine, is not seen.
    """
    return int(cpu_count())
