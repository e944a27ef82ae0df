"""Jobs that break in every way a decoder can, for a process that imports as little as it may.

What a scan brings about is told by the name of its file: 2-abort.nii.gz.
"""

from __future__ import annotations

import ctypes
import io
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from liverseg.manifest import Row, new_row
from liverseg.scans import Scan

MIB = 1 << 20
HOARD_BYTES = 512 * MIB
FILL_BYTES = 300 * MIB
TILE_LENGTH_AT = 1590  # in MR_small_jp2klossless.dcm of pydicom


class Panic(BaseException):
    """As pyo3's PanicException: no Exception."""


def hoard() -> None:
    """Use memory, not only ask for it."""
    kept = bytearray()
    while len(kept) < HOARD_BYTES:
        kept += b"x" * MIB
    # Long enough to be looked at.
    signal.pause()


def fill() -> None:
    """Use memory for a while, and be done."""
    kept = b"x" * FILL_BYTES
    time.sleep(0.5 + 0 * len(kept))


def print_everywhere() -> None:
    sys.stdout.write("Musterfrau on stdout\n")
    sys.stderr.write("Musterfrau on stderr\n")
    sys.stdout.flush()
    os.write(1, b"Musterfrau on 1\n")
    os.write(2, b"Musterfrau on 2\n")


def raise_memory_error() -> None:
    raise MemoryError


def raise_torch_memory_error() -> None:
    raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 12 bytes")


def raise_panic() -> None:
    raise Panic("Musterfrau")


def close_everything() -> None:
    os.closerange(3, 256)
    signal.pause()


def dereference_null() -> None:
    ctypes.string_at(0)


def breakage_of(path: Path) -> str:
    """abort, of 2-abort.nii.gz."""
    return path.name.split(".")[0].split("-")[1]


def ask_for_too_much() -> None:
    bytearray(8 << 30)


def decode_what_gdcm_cannot() -> None:
    """One byte of a tile's length is wrong in this JPEG 2000 image: python-gdcm 3.2.6 aborts."""
    import pydicom
    from pydicom.data import get_testdata_file
    from pydicom.pixels import get_decoder

    original = get_testdata_file("MR_small_jp2klossless.dcm", download=False)
    content = bytearray(Path(str(original)).read_bytes())
    content[TILE_LENGTH_AT] = 172
    dataset = pydicom.dcmread(io.BytesIO(content))
    decoder = get_decoder(dataset.file_meta.TransferSyntaxUID)
    decoder.as_array(dataset, decoding_plugin="gdcm", raw=True)


def tell_and_hang() -> None:
    """Tell a reader which process this is, by a FIFO in the folder it runs in, and wait."""
    with Path("fifo").open("w", encoding="ascii") as fifo:
        fifo.write(str(os.getpid()))
    signal.pause()


BREAKAGES = {
    "good": lambda: None,
    "ask": ask_for_too_much,
    "decode": decode_what_gdcm_cannot,
    "tell": tell_and_hang,
    "abort": os.abort,
    "null": dereference_null,
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "leave": lambda: os._exit(3),
    "close": close_everything,
    "hoard": hoard,
    "fill": fill,
    "hang": lambda: time.sleep(3600),
    "memory": raise_memory_error,
    "torch memory": raise_torch_memory_error,
    "panic": raise_panic,
    "exit": sys.exit,
    "print": print_everywhere,
    "interrupt": lambda: os.kill(os.getpid(), signal.SIGINT),
}


@dataclass
class Breaking:
    """Half-writes output/<case_id>, breaks as the scan says, and writes the rest.

    Args:
        output: the folder for its files, which hold the id of the process.
    """

    output: Path

    def results(self) -> dict[str, str]:
        return {}

    def prepare(self) -> None:
        pass

    def finished(self, scan: Scan) -> Row | None:
        return None

    def begin(self) -> None:
        with (self.output / "started").open("a", encoding="ascii") as stream:
            stream.write(f"{os.getpid()}\n")

    def process(self, scan: Scan) -> Row:
        path = self.output / scan.case_id
        path.write_text(f"{os.getpid()}\n", encoding="ascii")
        BREAKAGES[breakage_of(scan.source)]()
        return new_row(scan, "done")

    def conclude(self, rows: object, left: int) -> None:
        pass

    def discard(self, case_id: str) -> None:
        (self.output / case_id).unlink(missing_ok=True)


@dataclass
class Unready(Breaking):
    """Breaks before the first scan.

    Args:
        output: unused.
        breakage: how.
    """

    breakage: str = "abort"

    def begin(self) -> None:
        BREAKAGES[self.breakage]()
