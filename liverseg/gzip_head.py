"""Tell gzip files by their first bytes, and read what they hold."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import BinaryIO, cast

from isal import igzip

GZIP_MAGIC = b"\x1f\x8b"
GZIP_SUFFIX = ".gz"
TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")


def decompressed_head(head: bytes) -> bytes:
    """The first bytes of what a gzip head holds; the head itself when it is no gzip."""
    if not head.startswith(GZIP_MAGIC):
        return head
    try:
        return zlib.decompressobj(wbits=31).decompress(head, 512)
    except zlib.error:
        return b""


def unpacked(path: Path) -> BinaryIO:
    """A file to read from, its content unpacked when it is gzip, whatever its name."""
    with path.open("rb") as file:
        packed = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    return cast(BinaryIO, igzip.IGzipFile(path, "rb") if packed else path.open("rb"))


def is_single(path: Path, head: bytes) -> bool:
    """Whether a file is gzip and, by its name, holds one file and no tar."""
    name = path.name.lower()
    gzipped = head.startswith(GZIP_MAGIC) and name.endswith(GZIP_SUFFIX)
    return gzipped and not name.endswith(TAR_SUFFIXES)
