"""What is packed is what was written, and the same bytes wherever in memory it is packed."""

from __future__ import annotations

import gzip
import io
import random

import pytest

from liverseg.gzipped import GzipWriter, gzipped

# One in about 5000 pairs would differ if ISA-L were given everything at once.
PAIRS = 30_000
LEVEL = 1


def test_content_and_name_come_back() -> None:
    content = random.Random(1).randbytes(100_000) + bytes(100_000)  # noqa: S311
    raw = io.BytesIO()
    with GzipWriter(raw, LEVEL, "a-name") as stream:
        assert stream.write(memoryview(content)[:50]) == 50
        assert stream.write(content[50:]) == len(content) - 50
    assert gzip.decompress(raw.getvalue()) == content
    assert raw.getvalue()[4:8] == bytes(4), "no time"
    assert b"a-name\0" in raw.getvalue()[:20]


def test_same_content_gives_the_same_bytes() -> None:
    draws = random.Random(2)  # noqa: S311
    for _ in range(PAIRS):
        content = draws.randbytes(16) * 10
        # While the first stream is there, the second one is elsewhere in memory.
        raws = io.BytesIO(), io.BytesIO()
        streams = [GzipWriter(raw, LEVEL) for raw in raws]
        for stream in streams:
            stream.write(content)
            stream.close()
        assert raws[0].getvalue() == raws[1].getvalue()


def test_too_few_bytes_at_first_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 8 bytes are wanted at first; got 7"):
        GzipWriter(io.BytesIO(), LEVEL).write(b"1234567")


def test_bytes_are_packed_at_once() -> None:
    assert gzip.decompress(gzipped(b"0123456789" * 1000, LEVEL)) == b"0123456789" * 1000
