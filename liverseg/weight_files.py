"""Weights as files: written whole or not at all, with their SHA-256, and read into a network."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn


def save_weights(network: nn.Module, path: Path) -> None:
    """A plain state_dict on the CPU, and its SHA-256 beside it.

    Args:
        network: whose weights.
        path: the file; ``path + ".sha256"`` is in the format of sha256sum.
    """
    save_atomically({key: value.cpu() for key, value in network.state_dict().items()}, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    record = path.with_name(f"{path.name}.sha256")
    record.write_text(f"{digest}  {path.name}\n", encoding="ascii")


def with_weights(network: nn.Module, path: str | Path | None, digest: str) -> nn.Module:
    """The network with the weights of a file, or as it is when there is none.

    Args:
        network: any.
        path: a plain state_dict of such a network.
        digest: SHA-256 of the file, which proves that it has been checked; not used without one.

    Raises:
        ValueError: the file is no state_dict of this network.
    """
    if path is None:
        return network
    try:
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except (RuntimeError, pickle.UnpicklingError, EOFError, TypeError) as error:
        raise ValueError(
            f"{Path(path).name} ({digest[:12]}) should hold weights of the network that is "
            f"trained; got others: {str(error)[:200]}"
        ) from error
    return network


def save_atomically(state: Mapping[str, Any], path: Path) -> None:
    """torch.save to a temporary name, then rename: never a half-written file.

    Args:
        state: what to save.
        path: the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    torch.save(state, part)
    part.replace(path)
