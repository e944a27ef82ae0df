"""Digests of files and of stored pixels, read in chunks and never decoded."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np

from liverseg.dicom.header import BIG_ENDIAN
from liverseg.dicom.image import Slice
from liverseg.errors import ScanRejected

CHUNK_BYTES = 1 << 20
WORD_BITS = 16


def content_digest(path: Path, most: int | None = None) -> str:
    """SHA-256 of a file, read piece by piece; of its size and its first `most` bytes if given."""
    digest = hashlib.sha256(b"" if most is None else str(path.stat().st_size).encode())
    left = sys.maxsize if most is None else most
    with path.open("rb") as file:
        while chunk := file.read(min(CHUNK_BYTES, left)):
            digest.update(chunk)
            left -= len(chunk)
    return digest.hexdigest()


def pixel_digest(item: Slice) -> tuple[object, ...]:
    """What two images with equal pixels, stored in the same way, have in common.

    Images that were compressed differently have different digests: to see that their pixels are
    equal they have to be decoded (`liverseg.dicom.pixels.stored_digest`). Of a deflated file all
    is digested.

    Raises:
        ScanRejected: UNREADABLE when the operating system does not let us read the file.
    """
    layout = item.layout
    stored = (layout.rows, layout.columns, layout.bits_allocated, layout.bits_stored)
    said = (*stored, layout.high_bit, layout.signed, item.photometric, item.frame, layout.in_words)
    swapped = layout.offset is not None and item.transfer_syntax == BIG_ENDIAN
    swapped = swapped and layout.bits_allocated == WORD_BITS
    start, count = layout.start or 0, sys.maxsize  # what follows compressed pixels belongs to them
    if layout.offset is not None:
        count = layout.rows * layout.columns * (layout.bits_allocated // 8)
        start = layout.offset + (item.frame or 0) * count
    syntax = "" if layout.offset is not None else item.transfer_syntax
    if item.transfer_syntax == BIG_ENDIAN and not swapped:
        syntax = BIG_ENDIAN
    try:
        return (*said, syntax, _digest(item.path, start, count, swapped))
    except OSError as error:
        raise ScanRejected("UNREADABLE", f"a file could not be read: {error.strerror}") from error


def _digest(path: Path, start: int, count: int, swapped: bool) -> str:
    """SHA-256 of a stretch of a file, as far as it goes; of words whose bytes are swapped."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        file.seek(start)
        while count > 0 and (chunk := file.read(min(CHUNK_BYTES, count))):
            whole = chunk if not swapped else np.frombuffer(chunk, "u2").byteswap().tobytes()
            digest.update(whole)
            count -= len(chunk)
    return digest.hexdigest()
