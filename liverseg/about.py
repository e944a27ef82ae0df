"""What this installation is: versions, device, engine, weights and their hash."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from liverseg import __version__

if TYPE_CHECKING:
    import torch

PACKAGES = ("torch", "monai", "numpy", "nibabel", "pydicom", "openvino")


def about() -> list[list[str]]:
    """Pairs of a name and what is there; what is missing is said, not raised."""
    lines = [["liverseg", __version__], ["python", platform.python_version()]]
    lines += [[package, _version(package)] for package in PACKAGES]
    try:
        import torch

        from liverseg.pipeline import find_device
    except (ImportError, OSError) as error:
        return [*lines, ["device", f"none, since a library cannot be loaded: {error}"]]
    device = find_device("auto")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    lines += [["device", f"{device} ({name}, {torch.get_num_threads()} threads)"]]
    lines += [["engine", _engine(device)], ["weights", _weights()]]
    return lines


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _engine(device: torch.device) -> str:
    from liverseg.engine import chosen_engine
    from liverseg.engine_names import engine_from_environment
    from liverseg.inferer import has_fast_bfloat16

    try:
        chosen = chosen_engine(engine_from_environment(), device)
    except ValueError as error:
        return str(error)
    return f"{chosen}-{'bf16' if has_fast_bfloat16(device) else 'f32'}"


def _weights() -> str:
    from liverseg.bundle_files import bundle_root, bundle_weights

    try:
        return f"SHA-256 {bundle_weights(bundle_root())}"
    except (FileNotFoundError, ValueError) as error:
        return str(error)
