"""What a scan holds, in 16 digits: the same under other names, another for another content."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from liverseg.dicom.image import Slice

if TYPE_CHECKING:
    from liverseg.scan import Scan

DIGITS = 16  # of SHA-256, in hexadecimal
# Content is compared by the ends of this many files, spread over the scan: enough to tell another
# reconstruction, little enough not to be felt.
SAMPLED_FILES = 16
SAMPLED_BYTES = 256 << 10


def fingerprint(scan: Scan) -> str:
    """16 hexadecimal digits that differ where the content differs; tells nothing else.

    For DICOM: identifiers, geometry and rescale of every slice and the pixels of some, in any
    order and under any file names. For NIfTI: some of its bytes.
    """
    digest = hashlib.sha256(scan.kind.encode())
    if scan.images:
        described = sorted((_described(item), item.path) for item in scan.images)
        for text, _ in described:
            digest.update(text.encode("utf-8", "surrogateescape"))
        files = list(dict.fromkeys(path for _, path in described))
    else:
        files = sorted(scan.files)
        digest.update(f"{scan.case_id} {scan.code}".encode())
    for path in files[:: max(1, len(files) // SAMPLED_FILES)]:
        digest.update(_end_of(path))
    return digest.hexdigest()[:DIGITS]


def _described(item: Slice) -> str:
    """What makes a slice that slice."""
    layout = item.layout
    return repr(
        (
            *(item.sop_uid, item.frame, item.study_uid, item.series_uid, item.patient_key),
            *(item.position, item.orientation, item.spacing_mm, item.slope, item.intercept),
            *(item.pixels, layout.length, layout.rows, layout.columns),
        )
    )


def _end_of(path: Path) -> bytes:
    """The last bytes of a file, where DICOM has its pixels; b"" when it cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - SAMPLED_BYTES))
            return file.read(SAMPLED_BYTES)
    except OSError:
        # Its scan fails when it is read.
        return b""
