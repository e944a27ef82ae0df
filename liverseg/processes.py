"""Several processes that train one network together: how they meet, and how they part."""

from __future__ import annotations

import gc

import torch

# Its functions have the group of all processes as a default argument. DistributedDataParallel
# imports it: if that is the first time, after join(), the group outlives leave().
import torch.distributed.nn
from torch import distributed
from torch.nn.parallel import DistributedDataParallel


def join(device: torch.device) -> None:
    """Meet the other processes that torchrun has started: over NCCL on GPUs, else over gloo.

    Args:
        device: of this process.
    """
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    if device.type == "cuda":
        torch.cuda.set_device(device)


def leave(network: DistributedDataParallel) -> None:
    """Leave the others, with nothing left of the group.

    destroy_process_group() only forgets the group. Its threads end with its last reference, and
    threads that are still there when Python ends abort the process now and then.

    Args:
        network: has been trained; it cannot be called any more, its module can.
    """
    for name in ("reducer", "logger", "process_group"):
        vars(network).pop(name, None)
    distributed.destroy_process_group()
    gc.collect()
