"""What a compressed image says of itself: its matrix, and whether its bytes can be entropy coded.

Decoders fill what is missing and go on after what is wrong, in silence. Here the markers of a
stream are compared with the header of the file, and its coded bytes with what no encoder writes.
Damage within coded bytes that are all allowed cannot be seen: JPEG streams have no checksum.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np

from liverseg.dicom.image import Layout
from liverseg.errors import ScanRejected

END_OF_IMAGE = b"\xff\xd9"  # the last two bytes of every JPEG, JPEG-LS and JPEG 2000 stream
START_2000 = b"\xff\x4f\xff\x51"  # SOC and SIZ of JPEG 2000 (ITU-T T.800 A.4)
START_JPEG = b"\xff\xd8"  # SOI of JPEG and JPEG-LS (ITU-T T.81 B.2)
START_OF_TILE, START_OF_DATA = b"\xff\x90", b"\xff\x93"
# T.800 table A.1: no two coded bytes are FF 90 or above; SOP and EPH may stand between packets.
LOWEST_MARKER_2000 = 0x90
PACKET_MARKERS = (0x91, 0x92)
JFIF_MARKER, JFIF_VERSION = 0xE0, 1  # ITU-T T.871; GDCM ends the process at any other version
START_OF_SCAN = 0xDA
FRAME_MARKERS = frozenset((*range(0xC0, 0xD0), 0xF7)) - {0xC4, 0xC8, 0xCC}  # SOFn, SOF55
JPEG_LS_FRAME = 0xF7
RESTARTS = range(0xD0, 0xD8)
FILL = 0xFF
TOP_BIT = 0x80
MIN_PRECISION, MAX_PRECISION = 2, 32  # bits; more than are allocated make GDCM write beyond them


def require_stream(stream: bytes, layout: Layout, name: str) -> None:
    """Check the compressed bytes of one image against its header.

    Args:
        stream: JPEG, JPEG-LS or JPEG 2000, fragments joined.
        layout: what the header says of the image.
        name: how a message names the slice.

    Raises:
        ScanRejected: TRUNCATED when the stream has no end; CORRUPT when it holds another matrix,
            several components, or bytes that no encoder writes.
    """
    # Padded to an even length, by 00 as the standard says or by FF.
    stream = stream.rstrip(b"\0")
    if stream.endswith(END_OF_IMAGE + b"\xff"):
        stream = stream[:-1]
    if not stream.endswith(END_OF_IMAGE):
        raise ScanRejected("TRUNCATED", f"the compressed image should be whole in {name}")
    try:
        start = stream.find(START_2000)
        if stream.startswith(START_JPEG):
            said, sound = _jpeg(stream)
        elif start >= 0:  # at 0, or within a JP2 file
            said, sound = _jpeg_2000(stream[start:])
        else:
            raise ScanRejected("CORRUPT", f"no compressed image begins in {name}")
    except (struct.error, IndexError) as error:
        raise ScanRejected("CORRUPT", f"the markers of {name} cannot be parsed") from error
    if not sound:
        raise ScanRejected("CORRUPT", f"the compressed bytes of {name} are damaged")
    if said[:3] != (layout.rows, layout.columns, 1):
        raise ScanRejected(
            "CORRUPT",
            f"the stream should hold {layout.rows} x {layout.columns} x 1 values as the header "
            f"says; it holds {said.rows} x {said.columns} x {said.components} in {name}",
        )
    if not MIN_PRECISION <= said.precision <= min(layout.bits_allocated, MAX_PRECISION):
        raise ScanRejected(
            "CORRUPT",
            f"values should fit the {layout.bits_allocated} bits allocated; the stream says "
            f"{said.precision} in {name}",
        )


class _Said(NamedTuple):
    """What a stream says of its image; zeros where it says nothing."""

    rows: int = 0
    columns: int = 0
    components: int = 0
    precision: int = 0


def _jpeg(stream: bytes) -> tuple[_Said, bool]:
    """What the frame says, and whether the coded bytes are possible (T.81 B, T.87 C)."""
    position, frame = len(START_JPEG), 0
    said = _Said()
    while True:
        if stream[position] != FILL:
            return said, False
        marker = stream[position + 1]
        if marker == FILL:
            position += 1
            continue
        (length,) = struct.unpack_from(">H", stream, position + 2)
        if marker in FRAME_MARKERS:
            frame = marker
            precision, rows, columns, components = struct.unpack_from(">BHHB", stream, position + 4)
            said = _Said(rows, columns, components, precision)
        jfif = marker == JFIF_MARKER and stream[position + 4 : position + 9] == b"JFIF\0"
        if jfif and stream[position + 9] != JFIF_VERSION:
            return said, False
        position += 2 + length
        if marker == START_OF_SCAN:
            break
    following = _after_ff(stream[position : -len(END_OF_IMAGE)])
    if frame == JPEG_LS_FRAME:
        return said, bool((following < TOP_BIT).all())
    # A stuffed zero or a restart; FF itself is filling before a marker.
    allowed = np.isin(following, (0, FILL, *RESTARTS))
    return said, bool(allowed.all())


def _jpeg_2000(stream: bytes) -> tuple[_Said, bool]:
    """What the head says, and whether tiles and coded bytes are possible (T.800 A)."""
    right, bottom, left, top = struct.unpack_from(">LLLL", stream, 8)
    components, depth = struct.unpack_from(">HB", stream, 40)
    said = _Said(bottom - top, right - left, components, (depth & ~TOP_BIT) + 1)
    position = stream.find(START_OF_TILE)
    end = len(stream) - len(END_OF_IMAGE)
    while position < end:
        if position < 0 or stream[position : position + 2] != START_OF_TILE:
            return said, False
        (length,) = struct.unpack_from(">L", stream, position + 6)  # 0: up to the end
        following = position + length if length else end
        data = stream.find(START_OF_DATA, position, following)
        if data < 0 or following > end:
            return said, False
        coded = _after_ff(stream[data + len(START_OF_DATA) : following])
        if ((coded >= LOWEST_MARKER_2000) & ~np.isin(coded, PACKET_MARKERS)).any():
            return said, False
        position = following
    return said, True


def _after_ff(coded: bytes) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """(N,) uint8: every byte that follows an FF."""
    values = np.frombuffer(coded, dtype=np.uint8)
    following: np.ndarray[tuple[int], np.dtype[np.uint8]] = values[1:][values[:-1] == FILL]
    return following
