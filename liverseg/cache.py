"""The user's folder for files that can be made or fetched again."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def is_kept(path: Path) -> bool:
    """Whether a file or folder of the cache is there; False where we may not look."""
    try:
        return path.exists()
    except OSError:  # a home that is another user's
        return False


def user_cache() -> Path:
    """Returns the folder for files that can be fetched again: XDG_CACHE_HOME/liverseg."""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # The XDG base directory specification has a relative path ignored.
    if not base.is_absolute():
        try:
            base = Path.home() / ".cache"
        except RuntimeError:  # a container's user may have no home
            base = Path(tempfile.gettempdir())
    return base / "liverseg"
