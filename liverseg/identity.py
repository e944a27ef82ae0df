"""Whether a result is that of a scan: by what the scan holds, not only by what names it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from liverseg.dicom.image import Slice
from liverseg.scans import CASE_ID_DIGITS, Scan

# Content is compared by the ends of this many files, spread over the scan: enough to tell another
# reconstruction, little enough not to be felt.
SAMPLED_FILES = 16
SAMPLED_BYTES = 256 << 10


def settled(scans: Sequence[Scan], results: Mapping[str, str]) -> list[Scan]:
    """The scans, each with its fingerprint and a case id that no result of another scan has.

    A series UID does not name a scan: two patients can share one, and a series can be sent again
    with more slices or another spacing. A scan with a result keeps that result's id; any other
    whose id is taken gets one that is made of its content, the same in every run.

    Args:
        scans: of `found_scans`, within its context.
        results: case id to fingerprint of every result in the output folder; "" where unknown.

    Returns:
        As many scans, in the same order.
    """
    printed = [replace(scan, fingerprint=fingerprint(scan)) for scan in scans]
    ids = {print_: case_id for case_id, print_ in results.items() if print_}
    mine = [ids.pop(scan.fingerprint, None) for scan in printed]
    taken = {*results}
    named = []
    for scan, own in zip(printed, mine, strict=True):
        case_id, turn = own or scan.case_id, 0
        while own is None and case_id in taken:
            case_id = _digest(f"{scan.case_id}#{scan.fingerprint}#{turn}")
            turn += 1
        taken.add(case_id)
        named.append(replace(scan, case_id=case_id))
    return named


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
    return digest.hexdigest()[:CASE_ID_DIGITS]


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


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:CASE_ID_DIGITS]
