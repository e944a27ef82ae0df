"""The bundle's inference parts, loaded once for a batch, on a device that exists."""

from __future__ import annotations

import atexit
import logging
import pickle
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from liverseg.bundle_files import bundle_root, bundle_weights
from liverseg.engine_names import engine_from_environment
from liverseg.failure import first_cause
from liverseg.quick_imports import MONAI_EXTRAS

if TYPE_CHECKING:
    import torch

    from liverseg.scans import Scan

logger = logging.getLogger(__name__)

INFERENCE_CONFIG = "configs/inference.yaml"
REFINED = "refine"  # in the options of a pipeline with the CRF
PARTS_WANTED = "the parts of a pipeline should be importable, since another process runs them"


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
        options: what else was chosen and changes masks, as one text: "refine", or "".
    """

    preprocessing: Callable[[dict[str, Any]], dict[str, Any]]
    network: Callable[..., Any]
    inferer: Callable[..., Any]
    postprocessing: Callable[[dict[str, Any]], dict[str, Any]]
    device: torch.device
    weights_sha256: str
    engine: str = "torch"
    options: str = ""


def check_device_name(name: str) -> None:
    """Raise ValueError for what can be the name of no device, wherever it is."""
    kind, _, index = name.partition(":")
    if name not in ("auto", "cpu", "cuda") and not (kind == "cuda" and index.isdecimal()):
        raise ValueError(f"device should be auto, cpu, cuda or cuda:N; got {name}")


def find_device(name: str) -> torch.device:
    """The device of a name.

    Args:
        name: "auto" (the first CUDA device, else the CPU), "cpu", "cuda" or "cuda:N".

    Raises:
        ValueError: no such name, or no such device on this machine; says what there is.
    """
    check_device_name(name)
    # Only when a device is really looked for: the rest of the program starts without torch.
    import torch

    if name == "cpu":
        return torch.device("cpu")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return torch.device("cuda:0" if count else "cpu")
    number = int(name.partition(":")[2] or 0)
    if number >= count:
        there = ", ".join(["cpu", *(f"cuda:{n}" for n in range(count))])
        raise ValueError(f"device {name} was wanted; this machine has {there}")
    return torch.device(f"cuda:{number}")


def load_pipeline(device: str = "auto", root: Path | None = None, refine: bool = False) -> Pipeline:
    """Build the parts of the bundle's inference.yaml.

    Args:
        device: as for find_device.
        root: the bundle's folder; None for the one that comes with the package.
        refine: whether the CRF refines what the network says.

    Raises:
        ValueError: no such device, or the weights do not have the SHA-256 beside them.
        FileNotFoundError: the bundle or its weights are missing.
    """
    chosen = find_device(device)
    root = root or bundle_root()
    config = root / INFERENCE_CONFIG
    if not config.is_file():
        raise FileNotFoundError(f"{INFERENCE_CONFIG} should be in the bundle; it is not there")
    from monai.bundle.config_parser import ConfigParser

    parser = ConfigParser()
    parser.read_config(str(config))
    parser["device"] = chosen
    parser["bundle_root"] = str(root)
    parser["refine"] = refine
    try:
        pipeline = parser.get_parsed_content("pipeline")
    except RuntimeError as error:
        raise first_cause(error) from None
    if not isinstance(pipeline, Pipeline):
        got = type(pipeline).__name__
        raise ValueError(f"pipeline of {INFERENCE_CONFIG} should be a Pipeline; got a {got}")
    return pipeline


class PipelineSource(Protocol):
    """Where the process that does the scans gets its pipeline from; it is pickled to get there."""

    def weights_sha256(self) -> str:
        """The hash of the weights, told without loading them into a network."""

    def options(self) -> str:
        """What else changes masks, as the pipeline's own `options` will say it."""

    def load(self) -> Pipeline:
        """The pipeline."""


@dataclass(frozen=True)
class BundlePipeline:
    """The bundle's own pipeline, built where it is used: a batch's first process needs no torch.

    Args:
        device: as for find_device.
        root: the bundle's folder; the one that comes with the package by default.
        refine: whether the CRF refines what the network says.

    Raises:
        ValueError: a name that no device has, or no engine in LIVERSEG_ENGINE.
        FileNotFoundError: there is no bundle.
    """

    device: str = "auto"
    root: Path = field(default_factory=lambda: bundle_root())
    refine: bool = False

    def __post_init__(self) -> None:
        check_device_name(self.device)
        engine_from_environment()

    @property
    def left_out(self) -> tuple[str, ...]:
        """Packages that MONAI imports where they are, and that inference.yaml has no use for."""
        return MONAI_EXTRAS

    def weights_sha256(self) -> str:
        """The hash of the bundle's weights, checked; raises as bundle_weights."""
        return bundle_weights(self.root)

    def options(self) -> str:
        """As inference.yaml says it."""
        return REFINED if self.refine else ""

    def load(self) -> Pipeline:
        """The pipeline; raises as load_pipeline."""
        return load_pipeline(self.device, self.root, self.refine)


class BuiltPipeline:
    """A pipeline that is built already, to be sent to another process.

    Args:
        pipeline: of parts that can be pickled: importable classes and functions, no lambdas.

    Raises:
        ValueError: a part cannot be pickled.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self._sha256 = pipeline.weights_sha256
        self._options = pipeline.options
        try:
            self._pickled = pickle.dumps(pipeline)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ValueError(f"{PARTS_WANTED}; got one that is not: {error}") from error

    def weights_sha256(self) -> str:
        """The hash that the pipeline states."""
        return self._sha256

    def options(self) -> str:
        """Those that the pipeline states."""
        return self._options

    def load(self) -> Pipeline:
        """The pipeline again.

        Raises:
            ValueError: a part cannot be imported here, such as one of a script's own functions.
        """
        # Importing it registers DSN with MONAI under the name that it is pickled with.
        import liverseg.dsn  # noqa: F401

        try:
            pipeline = pickle.loads(self._pickled)  # noqa: S301  pickled by ourselves
        except (AttributeError, ImportError) as error:
            raise ValueError(f"{PARTS_WANTED}; got one that is not: {error}") from error
        if not isinstance(pipeline, Pipeline):
            raise ValueError(f"a Pipeline was wanted; got a {type(pipeline).__name__}")
        return pipeline


def accepted_scans(folder: str | Path) -> list[dict[str, Scan]]:
    """The accepted scans of a folder as MONAI's data items, for an evaluator of its own.

    Args:
        folder: as an input of liverseg.batch.segment; archives in it stay unpacked, in a private
            folder, until the program ends.

    Returns:
        One {"image": Scan} a scan; none where the folder does not exist, so that a bundle can be
        looked at before it has an input.
    """
    from liverseg.scans import found_scans

    if not Path(folder).exists():
        logger.warning("the input folder does not exist: no scans")
        return []
    kept = ExitStack()
    atexit.register(kept.close)
    scans = kept.enter_context(found_scans([Path(folder)]))
    return [{"image": scan} for scan in scans if scan.accepted]
