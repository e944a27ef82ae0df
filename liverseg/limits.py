"""What scans may use of time, memory and processors, and what the system tells of them."""

from __future__ import annotations

import math
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

TIMEOUT_S = 600.0
MEMORY_SHARE = 0.75  # of the machine's memory
GIB = 1 << 30
# Scans at a time. While one is read, measured or written, which takes one core, the network of
# another has the rest. More need more memory, and pay only where there are cores for them.
ORDINARY_WORKERS = 2


@dataclass(frozen=True)
class Limits:
    """What scans may use.

    Args:
        timeout_s: for one scan, from the first byte read to the last one written.
        memory_bytes: resident memory of the processes together; by default MEMORY_SHARE of the
            machine's.
        workers: scans at a time, each in a process; by default ORDINARY_WORKERS, and one where
            there is one core only. There are fewer when the memory does not suffice.

    Raises:
        ValueError: a limit that is not above 0.
    """

    timeout_s: float = TIMEOUT_S
    memory_bytes: int | None = None
    workers: int | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.timeout_s) and self.timeout_s > 0):
            raise ValueError(f"timeout_s should be a number above 0; got {self.timeout_s}")
        if self.memory_bytes is not None and self.memory_bytes <= 0:
            raise ValueError(f"the memory limit should be above 0; got {self.memory_bytes} bytes")
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"workers should be a whole number from 1; got {self.workers}")

    @property
    def most_bytes(self) -> int:
        """The memory limit in bytes."""
        if self.memory_bytes is not None:
            return self.memory_bytes
        return int(MEMORY_SHARE * machine_bytes())

    @property
    def most_workers(self) -> int:
        """How many scans are done at a time, at most."""
        return self.workers or min(ORDINARY_WORKERS, usable_cores())


def usable_cores() -> int:
    """Processor cores that this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def machine_bytes() -> int:
    """Memory of this machine, or of the container that this process is in, in bytes."""
    amounts = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):  # no such control group, or "max"
            amounts.append(int(Path("/sys/fs/cgroup", name).read_text(encoding="ascii")))
    return min(amounts)


def resident_bytes(process_id: int) -> int | None:
    """Memory of a process that is not swapped out; None where the system does not tell."""
    try:
        pages = Path(f"/proc/{process_id}/statm").read_text(encoding="ascii").split()[1]
    except (OSError, IndexError):
        return None
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def out_of_memory_kills() -> int:
    """How many processes the system has killed for want of memory; 0 where it does not tell."""
    try:
        lines = Path("/proc/vmstat").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
