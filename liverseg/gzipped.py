"""Gzip that gives the same bytes for the same content, by ISA-L in a twentieth of gzip's time."""

from __future__ import annotations

import io
from typing import IO, Any

from isal import igzip

# ISA-L 2.32 looks for the bytes from the third on under a hash of whatever a register holds
# (igzip_icf_body_h1_gr_bt.asm, .write_first_byte: tmp2 is the stream's address), so that about one
# of 5000 files has other bytes than the rest. What is flushed before there are 16 bytes to pack
# takes another way, which has no such defect; 3 bytes or fewer would not.
FIRST_BYTES = 8


class GzipWriter(igzip.IGzipFile):  # type: ignore[misc]  # isal has no annotations
    """A stream that packs what is written to it; no path and no time are in its header.

    Args:
        raw: where the packed bytes go.
        level: of ISA-L, 0 to 3; where gzip has 1 to 9.
        name: that gzip gives to the content.
    """

    def __init__(self, raw: IO[bytes], level: int, name: str = "") -> None:
        super().__init__(name, "wb", level, fileobj=raw, mtime=0)
        self._begun = False

    def write(self, data: Any) -> int:
        """Pack bytes; the first of all are FIRST_BYTES at least.

        Raises:
            ValueError: they are fewer.
            OSError: the raw stream's.
        """
        if self._begun:
            return int(super().write(data))
        view = memoryview(data).cast("B")
        if not view:  # a seek to the start
            return 0
        if len(view) < FIRST_BYTES:
            raise ValueError(f"at least {FIRST_BYTES} bytes are wanted at first; got {len(view)}")
        self._begun = True
        super().write(view[:FIRST_BYTES])
        self.flush()
        return FIRST_BYTES + int(super().write(view[FIRST_BYTES:]))


def gzipped(content: bytes, level: int) -> bytes:
    """Bytes packed as by GzipWriter."""
    raw = io.BytesIO()
    with GzipWriter(raw, level) as stream:
        stream.write(content)
    return raw.getvalue()
