"""The process that reads headers, with files whose names say how they break it."""

from __future__ import annotations

import os
import time
from pathlib import Path

from pydicom.dataset import Dataset

from liverseg import header_worker
from liverseg.dicom.image import Slice
from liverseg.dicom.images import images_of
from liverseg.dicom.pixels import stored_digest
from liverseg.sizes import Sizes


class Panic(BaseException):
    """What a decoder in Rust raises."""


def _broken_images(path: Path, sizes: Sizes) -> list[Slice]:
    kept = []
    if path.name == "abort":
        os.abort()
    if path.name == "panic":
        raise Panic
    if path.name == "recurse":
        _broken_images(path, sizes)
    while path.name == "hang":
        time.sleep(1)
    while path.name == "hoard":
        kept.append(b"x" * (20 << 20))
        time.sleep(0.01)
    return images_of(path, sizes)


def _broken_digest(item: Slice, opened: dict[Path, Dataset]) -> str:
    if item.path.name == "abort":
        os.abort()
    return stored_digest(item, opened)


def main(requests: int, answers: int, parent: int, address_space: int) -> None:
    """As the process itself."""
    header_worker.images_of = _broken_images  # type: ignore[assignment]
    header_worker.stored_digest = _broken_digest  # type: ignore[assignment]
    header_worker.main(requests, answers, parent, address_space)
