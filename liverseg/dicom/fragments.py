"""Where the frames of compressed pixel data begin, and whether its tables say the same (PS3.5 A.4).

A decoder believes the tables; one that is wrong gives it another frame, in silence.
"""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import NamedTuple

from liverseg.errors import ScanRejected

ITEM = b"\xfe\xff\x00\xe0"
HEAD_BYTES = 8  # of an item: tag and length


class Fragments(NamedTuple):
    """Attributes: table (offsets that the first item says), offsets and contents of the rest."""

    table: tuple[int, ...]
    offsets: tuple[int, ...]
    contents: tuple[bytes, ...]


def fragments_of(pixel_data: bytes) -> Fragments:
    """Take encapsulated pixel data apart; what follows the last item is left.

    Raises:
        struct.error: the first item is no table.
    """
    contents: list[bytes] = []
    starts: list[int] = []
    position = 0
    while pixel_data[position : position + 4] == ITEM:
        (length,) = struct.unpack_from("<L", pixel_data, position + 4)
        starts.append(position)
        position += HEAD_BYTES
        contents.append(pixel_data[position : position + length])
        position += length
    first = contents[0] if contents else b""
    table = struct.unpack(f"<{len(first) // 4}L", first)
    after = starts[1] if len(starts) > 1 else 0
    return Fragments(table, tuple(start - after for start in starts[1:]), tuple(contents[1:]))


def require_offsets(found: Fragments, extended: bytes, frames: int, name: str) -> None:
    """Check the tables of several frames against where the frames are.

    Args:
        found: the pixel data.
        extended: ExtendedOffsetTable; b"" where there is none.
        frames: how many there should be.
        name: how a message names the file.

    Raises:
        ScanRejected: CORRUPT when a table names other places than those of the frames.
    """
    tables = (found.table, struct.unpack(f"<{len(extended) // 8}Q", extended))
    for table in filter(None, tables):
        # Every frame in one fragment; else a frame begins where some fragment does, in order.
        one_each = len(found.offsets) == frames
        possible = table == found.offsets if one_each else set(table) <= set(found.offsets)
        ordered = table[0] == 0 and all(before < after for before, after in pairwise(table))
        if not (possible and ordered and len(table) == frames):
            raise ScanRejected(
                "CORRUPT", f"the offset table should name where the {frames} frames of {name} begin"
            )
