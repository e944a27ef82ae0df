"""Where the bundle lies, and the folders it is told of through the environment.

On the command line of ``python -m monai.bundle run`` every value is code. Folders are not: they
come as plain text from the environment and are never evaluated.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path


def bundle_root() -> Path:
    """The bundle's folder: beside the package in a checkout, inside it when installed.

    Returns:
        The folder that holds configs, models and docs.

    Raises:
        FileNotFoundError: if there is none, that is, the installation is not whole.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / "bundle", package.parent / "bundle"):
        if (folder / "configs" / "inference.yaml").is_file():
            return folder
    raise FileNotFoundError(
        f"the bundle should be in {package / 'bundle'} or {package.parent / 'bundle'}; "
        "neither has configs/inference.yaml"
    )


def working_bundle() -> Path:
    """The bundle that a configuration run by MONAI's own command belongs to.

    Returns:
        The working directory where it is a bundle, as MONAI's conventions have it: a copied or
        fine-tuned bundle runs with its own weights. Else bundle_root().

    Raises:
        FileNotFoundError: as bundle_root.
    """
    here = Path.cwd()
    return here if (here / "configs" / "inference.yaml").is_file() else bundle_root()


def folder_from_environment(name: str, default: str | None = None) -> str:
    """A path from an environment variable, as plain text.

    Args:
        name: the variable, such as LIVERSEG_INPUT.
        default: used where the variable is unset or empty.

    Returns:
        The path as given.

    Raises:
        ValueError: if it is unset or empty and there is no default.
    """
    value = os.environ.get(name) or default
    if value is None:
        raise ValueError(f"the environment variable {name} should name a folder; it is not set")
    return value


def bundle_weights(root: Path) -> str:
    """The SHA-256 of a bundle's weights, checked.

    Args:
        root: the bundle's folder; a bundle of one network has models/model.pt only.

    Returns:
        64 hex digits; those that inference.yaml states too.

    Raises:
        FileNotFoundError: as checked_weights.
        ValueError: as checked_weights.
    """
    coarse, fine = (root / "models" / name for name in ("coarse.pt", "model.pt"))
    return checked_weights(*([coarse, fine] if coarse.is_file() else [fine]))


def checked_weights(*paths: str | Path) -> str:
    """The SHA-256 of weights, if each file has the one written beside it.

    Args:
        paths: the weights; ``path + ".sha256"`` holds their hash in the format of sha256sum.

    Returns:
        64 hex digits: of several files the SHA-256 of their digests, in hex, one after the other.

    Raises:
        FileNotFoundError: if weights or a hash are missing.
        ValueError: if a hash is another one.
    """
    digests = [_checked_file(path) for path in paths]
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("".join(digests).encode("ascii")).hexdigest()


def first_file(*paths: str) -> str:
    """The first of several files that there is, else the last of them.

    Args:
        paths: at least one.

    Returns:
        The path as given.
    """
    return next((path for path in paths if Path(path).is_file()), paths[-1])


def _checked_file(path: str | Path) -> str:
    weights, record = Path(path), Path(f"{path}.sha256")
    for file in (weights, record):
        if not file.is_file():
            raise FileNotFoundError(f"weights and their hash are needed; there is no {file}")
    found = hashlib.sha256(weights.read_bytes()).hexdigest()
    wanted = record.read_text(encoding="ascii").split()[0]
    if found != wanted:
        raise ValueError(f"{weights} should have SHA-256 {wanted}; it has {found}")
    return found
