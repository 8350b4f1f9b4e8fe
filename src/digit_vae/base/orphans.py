"""Ends a process whose parent was killed: it would go on unseen, and overwrite the files of the one that follows it."""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def die_with_parent() -> None:
    """On Linux: this process is killed as soon as its parent dies; it ends at once if that has happened already.

    An orphan is one whose parent belongs to another session, such as init, which adopts orphans. The leader of a
    session is none: it was started to have a session of its own.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getsid(0) not in (os.getpid(), os.getsid(os.getppid())):
        sys.exit("error: the process that started this one has died")
