"""Memory at hand: how much of a network's pass fits, and how its absence is told."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

# What torch's allocators say on Unix, on Windows and on a GPU, and what C++ says.
MEMORY_WORDS = ("can't allocate memory", "not enough memory", "out of memory", "bad_alloc")
# A pass of a network with 16 channels at full resolution, all its heads, in float32.
BYTES_PER_VOXEL = 256
SHARE = 0.5  # of the free memory that a pass may take
# More voxels in a pass are not faster on a CPU: a liver's box fits, and there is nothing to fill.
MOST_VOXELS_CPU = 8_000_000
MOST_VOXELS_CUDA = 64_000_000


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory could not be had, in Python's words or in torch's."""
    # Named, so that torch need not be imported here; it is a RuntimeError, as its CPU sibling.
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in MEMORY_WORDS)


def free_bytes() -> int:
    """Memory that this machine, or the container that this process is in, can still give.

    Returns:
        Bytes; all of the machine's memory where the system does not tell what is free.
    """
    amounts = [_available()]
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        with suppress(OSError, ValueError):  # no such control group, or "max"
            amounts.append(_number(limit) - _number(used))
    return max(0, min(amounts))


def voxels_that_fit(device: torch.device) -> int:
    """How many voxels of input a pass of a network should take at most on a device."""
    if device.type == "cuda":
        import torch

        return _voxels(torch.cuda.mem_get_info(device)[0], MOST_VOXELS_CUDA)
    return _voxels(free_bytes(), MOST_VOXELS_CPU)


def _voxels(free: int, most: int) -> int:
    return max(1, min(most, int(free * SHARE / BYTES_PER_VOXEL)))


def _available() -> int:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        (kibibytes,) = (line.split()[1] for line in lines if line.startswith("MemAvailable:"))
        return int(kibibytes) << 10
    except (OSError, ValueError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _number(name: str) -> int:
    return int(Path("/sys/fs/cgroup", name).read_text(encoding="ascii"))
