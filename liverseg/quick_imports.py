"""Import a package without the optional ones that it takes along, where nobody needs them."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

# MONAI asks for each of these when it is imported, and does without those that are missing: 1.0 s
# instead of 2.7 s of processor time. None is wanted to segment a scan.
MONAI_EXTRAS = (
    "cucim",
    "einops",
    "ignite",
    "itk",
    "lmdb",
    "matplotlib",
    "onnx",
    "pandas",
    "pyarrow",
    "scipy.signal",
    "skimage",
    "sklearn",
    "tensorboard",
    "torch.utils.tensorboard",
    "torchvision",
    "transformers",
)


@contextmanager
def left_out(names: Collection[str]) -> Iterator[None]:
    """Within the block, packages that have not been imported yet are as if not installed.

    For a process of one purpose: what has asked for them in the block may not ask again.

    Args:
        names: of packages or modules.
    """
    finder = _LeftOut(frozenset(names))
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _LeftOut(MetaPathFinder):
    """Finds nothing by some names, so that nobody else is asked."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names

    def find_spec(
        self, fullname: str, path: object = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Raise ImportError for a name that is left out, else leave it to the next finder."""
        if fullname in self._names:
            raise ModuleNotFoundError(f"{fullname} is left out here", name=fullname)
        return None
