"""What a child process does to itself before it touches what strangers have sent."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import warnings
from contextlib import suppress
from pathlib import Path

PR_SET_PDEATHSIG = 1  # prctl(2)
# The kernel's first choice when memory runs out: not the batch, not the user's desktop.
OOM_SCORE = "1000"


def restrain(parent: int, address_space: int) -> None:
    """Leave Ctrl-C to the parent, end with it, keep to the limits and show no warnings.

    Args:
        parent: id of the process to end with.
        address_space: limit in bytes, for systems where resident memory cannot be watched;
            0 for none.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _limit(address_space)
    _end_with(parent)
    # Nobody sees them; showing them costs time all the same.
    warnings.simplefilter("ignore")


def _limit(address_space: int) -> None:
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE)
    try:
        import resource
    except ImportError:
        return
    # A core file holds the patient's images.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if address_space:
        # Where the system has less to give, or does not count, there is nothing to set.
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_AS, (address_space, address_space))


def _end_with(parent: int) -> None:
    """End at once with the parent, also when it is killed in the middle of a scan."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)
