"""The bundle's inference parts, loaded once for a batch, on a device that exists."""

from __future__ import annotations

import atexit
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from liverseg.failure import first_cause

if TYPE_CHECKING:
    import torch

    from liverseg.scans import Scan

INFERENCE_CONFIG = "configs/inference.yaml"


@dataclass(frozen=True)
class Pipeline:
    """What turns one scan into one mask; inference.yaml builds it as the id `pipeline`.

    Args:
        preprocessing: {"image": Volume} to {"image": (1, X', Y', Z') on the network's grid}.
        network: as the inferer calls it.
        inferer: ((1, 1, X', Y', Z') tensor, network) to logits (1, C, X', Y', Z').
        postprocessing: the dictionary with logits as "pred" to one with the mask as "pred",
            (1, X, Y, Z) uint8 on the scan's own grid; its meta may hold "components".
        device: where the network is.
        weights_sha256: of the weights file, 64 hex digits.
        engine: what runs the network.
    """

    preprocessing: Callable[[dict[str, Any]], dict[str, Any]]
    network: Callable[..., Any]
    inferer: Callable[..., Any]
    postprocessing: Callable[[dict[str, Any]], dict[str, Any]]
    device: torch.device
    weights_sha256: str
    engine: str = "torch"


def find_device(name: str) -> torch.device:
    """The device of a name.

    Args:
        name: "auto" (the first CUDA device, else the CPU), "cpu", "cuda" or "cuda:N".

    Raises:
        ValueError: no such name, or no such device on this machine; says what there is.
    """
    kind, _, index = name.partition(":")
    known = name in ("auto", "cpu", "cuda") or (kind == "cuda" and index.isdecimal())
    if not known:
        raise ValueError(f"device should be auto, cpu, cuda or cuda:N; got {name}")
    # Only when a device is really looked for: the rest of the program starts without torch.
    import torch

    if name == "cpu":
        return torch.device("cpu")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return torch.device("cuda:0" if count else "cpu")
    number = int(index or 0)
    if number >= count:
        there = ", ".join(["cpu", *(f"cuda:{n}" for n in range(count))])
        raise ValueError(f"device {name} was wanted; this machine has {there}")
    return torch.device(f"cuda:{number}")


def load_pipeline(device: str = "auto") -> Pipeline:
    """Build the parts of the bundle's inference.yaml.

    Args:
        device: as for find_device.

    Raises:
        ValueError: no such device, or the weights do not have the SHA-256 beside them.
        FileNotFoundError: the bundle or its weights are missing.
    """
    from liverseg.bundle_files import bundle_root

    chosen = find_device(device)
    config = bundle_root() / INFERENCE_CONFIG
    if not config.is_file():
        raise FileNotFoundError(f"{INFERENCE_CONFIG} should be in the bundle; it is not there")
    from monai.bundle.config_parser import ConfigParser

    parser = ConfigParser()
    parser.read_config(str(config))
    parser["device"] = chosen
    try:
        pipeline = parser.get_parsed_content("pipeline")
    except RuntimeError as error:
        raise first_cause(error) from None
    if not isinstance(pipeline, Pipeline):
        got = type(pipeline).__name__
        raise ValueError(f"pipeline of {INFERENCE_CONFIG} should be a Pipeline; got a {got}")
    return pipeline


def accepted_scans(folder: str | Path) -> list[dict[str, Scan]]:
    """The accepted scans of a folder as MONAI's data items, for an evaluator of its own.

    Args:
        folder: as an input of liverseg.batch.segment; archives in it stay unpacked, in a private
            folder, until the program ends.

    Returns:
        One {"image": Scan} a scan.

    Raises:
        FileNotFoundError: the folder does not exist.
    """
    from liverseg.scans import found_scans

    kept = ExitStack()
    atexit.register(kept.close)
    scans = kept.enter_context(found_scans([Path(folder)]))
    return [{"image": scan} for scan in scans if scan.accepted]
