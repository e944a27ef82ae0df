"""Read uncompressed 16 bit pixels straight from the file into the volume, without a copy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from liverseg.dicom.header import BIG_ENDIAN
from liverseg.dicom.image import Slice
from liverseg.dicom.pixels import stored_dtype
from liverseg.errors import ScanRejected

BITS = 16  # of a value in the volume


def is_native(item: Slice) -> bool:
    """Whether `read_native` reads this image."""
    return item.layout.offset is not None and item.layout.bits_allocated == BITS


def read_native(item: Slice, name: str, out: NDArray[np.int16]) -> NDArray[Any]:
    """The stored values of one image, garbage outside the stored bits removed.

    Args:
        item: an image that `is_native`.
        name: how a message names the slice.
        out: (rows, columns), contiguous; the values are put here.

    Returns:
        `out`, seen as the type of the stored values, int16 or uint16.

    Raises:
        ScanRejected: TRUNCATED when the file ends before its pixels, CORRUPT for impossible
            numbers of bits, UNREADABLE when the operating system does not let us read the file.
    """
    layout = item.layout
    stored = out.view(stored_dtype(layout, name))
    offset = (layout.offset or 0) + (item.frame or 0) * out.nbytes
    target, done = out.data.cast("B"), 0
    try:
        with open(item.path, "rb", buffering=0) as file:  # noqa: PTH123  half the time of path.open
            file.seek(offset)
            while done < out.nbytes and (count := file.readinto(target[done:])):
                done += count
    except OSError as error:
        raise ScanRejected("UNREADABLE", f"{name} could not be read: {error.strerror}") from error
    if done < out.nbytes:
        wanted = f"{out.size} pixels should follow"
        raise ScanRejected("TRUNCATED", f"{wanted}; {done // out.itemsize} in {name}")
    if item.transfer_syntax == BIG_ENDIAN:
        out.byteswap(inplace=True)
    unused = layout.bits_allocated - layout.bits_stored
    if unused:
        # Bits above the high bit may hold an overlay or anything else (PS3.5 8.1.1).
        stored <<= layout.bits_allocated - 1 - layout.high_bit
        stored >>= unused
    return stored
