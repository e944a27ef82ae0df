"""Engines: what computes a network's logits on a device. One is chosen by name, or the fastest.

An engine is a module of torch that is called with (1, C, X, Y, Z) float32 images of any size and
gives (1, heads, X, Y, Z) logits of liver minus the rest, the main head first. It states its
``name``, and of its network ``halo``, ``stride`` and ``in_channels``, which the inferers ask for.
"""

from __future__ import annotations

from importlib.util import find_spec

import torch
from torch import nn

from liverseg.engine_names import ENGINES
from liverseg.engine_openvino import OpenVinoEngine
from liverseg.engine_torch import TorchEngine


def chosen_engine(name: str, device: torch.device) -> str:
    """The engine that a name means on a device: "torch" or "openvino".

    Args:
        name: one of ENGINES. "auto" is OpenVINO on the CPU where it is installed: it was the faster
            one on every processor measured, with bfloat16 and without.
        device: where the network shall run.

    Raises:
        ValueError: there is no such engine, it is not installed, or not for this device.
    """
    if name not in ENGINES:
        raise ValueError(f"engine should be one of {', '.join(ENGINES)}; got {name}")
    there = find_spec("openvino") is not None
    if name == "auto":
        return "openvino" if there and device.type == "cpu" else "torch"
    if name == "openvino" and not there:
        raise ValueError(
            "engine openvino was wanted; it is not installed: pip install 'liverseg[openvino]'"
        )
    if name == "openvino" and device.type != "cpu":
        raise ValueError(f"engine openvino runs on the CPU only; device {device} was wanted")
    return name


def make_engine(
    network: nn.Module, device: torch.device, name: str = "auto", amp: bool = True
) -> TorchEngine | OpenVinoEngine:
    """An engine for a network.

    Args:
        network: in evaluation mode, its weights loaded; it stays as it is.
        device: where it shall run.
        name: as for chosen_engine.
        amp: whether it computes in bfloat16.

    Returns:
        The engine; what it needs to compile is compiled when it is first called.

    Raises:
        ValueError: as chosen_engine.
    """
    if chosen_engine(name, device) == "openvino":
        return OpenVinoEngine(network, amp)
    return TorchEngine(network, device, amp)
