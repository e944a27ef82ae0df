"""Tell DICOM files by their first bytes."""

from __future__ import annotations

import struct

PREAMBLE_BYTES = 128  # PS3.10 7.1: 128 bytes, then the letters DICM
FIRST_GROUPS = (b"\x08\x00", b"\x02\x00")  # of a data set without a preamble, little endian
FIRST_GROUPS_BIG = (b"\x00\x08", b"\x00\x02")


def looks_like_dicom(head: bytes) -> bool:
    """Whether the first 132 or more bytes of a file are those of DICOM, with a preamble or not."""
    if head[PREAMBLE_BYTES : PREAMBLE_BYTES + 4] == b"DICM":
        return True
    if len(head) < 16 or head[:2] not in (*FIRST_GROUPS, *FIRST_GROUPS_BIG):
        return False
    order = "<" if head[:2] in FIRST_GROUPS else ">"
    element, length = struct.unpack(f"{order}HL", head[2:8])
    explicit = head[4:6] in (b"UL", b"UI", b"CS", b"SH", b"LO", b"OB", b"DA", b"TM")
    # The first elements of these groups are short: text that begins with a control byte is not.
    return element <= 0x0070 and (explicit or length <= 128)
