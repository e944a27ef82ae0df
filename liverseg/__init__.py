"""liverseg: the liver on CT, from a hospital's folder to a mask, a volume and a report."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from liverseg.batch import segment
    from liverseg.dsn import DSN
    from liverseg.errors import ScanRejected

__all__ = ["DSN", "ScanRejected", "__version__", "segment"]

# Public names and where they live: loaded when first used, so that `liverseg --help` is quick.
_HOMES = {"DSN": "liverseg.dsn", "ScanRejected": "liverseg.errors", "segment": "liverseg.batch"}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'liverseg' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
