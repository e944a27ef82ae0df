"""What this installation is: versions, device, engine, weights and their hash."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from liverseg import __version__

PACKAGES = ("torch", "monai", "numpy", "nibabel", "pydicom")
WEIGHTS = "models/model.pt"


def about() -> list[list[str]]:
    """Pairs of a name and what is there; what is missing is said, not raised."""
    import torch

    from liverseg.pipeline import find_device

    device = find_device("auto")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    lines = [["liverseg", __version__], ["python", platform.python_version()]]
    lines += [[package, _version(package)] for package in PACKAGES]
    lines += [["device", f"{device} ({name}, {torch.get_num_threads()} threads)"]]
    lines += [["engine", "torch"], ["weights", _weights()]]
    return lines


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _weights() -> str:
    from liverseg.bundle_files import bundle_root, checked_weights

    try:
        return f"SHA-256 {checked_weights(bundle_root() / WEIGHTS)}"
    except (FileNotFoundError, ValueError) as error:
        return str(error)
