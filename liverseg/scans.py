"""The scans in what a hospital delivers: folders, trees, archives, DICOM and NIfTI alike."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from liverseg.dicom.discover import Judging
from liverseg.errors import ScanRejected
from liverseg.gather import Gathered
from liverseg.headers import Headers
from liverseg.intake import digest, scans_of
from liverseg.lock import private_folder
from liverseg.scan import Scan, Volume, read_scan
from liverseg.sizes import ORDINARY_SIZES, Sizes

__all__ = ["Finding", "Scan", "Volume", "found_scans", "read_scan", "scan_at"]


class Finding(NamedTuple):
    """What is taken for a scan.

    Attributes:
        resample_irregular: DICOM slices that are unevenly spaced, too.
        sizes: what is too large, and how much of archives stays unpacked.
    """

    resample_irregular: bool = False
    sizes: Sizes = ORDINARY_SIZES


ORDINARY_FINDING = Finding()


@contextlib.contextmanager
def found_scans(
    inputs: Sequence[Path],
    finding: Finding = ORDINARY_FINDING,
    memory_bytes: int | None = None,
) -> Iterator[list[Scan]]:
    """Find every scan in the inputs.

    Args:
        inputs: folders, trees of folders, archives, NIfTI or DICOM files.
        finding: what is taken for a scan.
        memory_bytes: of a process that reads unusual headers; as for a scan by default.

    Yields:
        The scans, accepted or refused, in the order of the inputs; readable within the context
        only, since archives are unpacked into a private folder that is removed at its end.

    Raises:
        FileNotFoundError: an input does not exist.
    """
    for path in inputs:
        if not os.path.lexists(path):
            raise FileNotFoundError(f"an input should exist; got {path}")
    with private_folder() as private:
        gathered = Gathered(private, finding.sizes)
        for path in inputs:
            gathered.add_tree(Path(path))
        with contextlib.closing(Headers(memory_bytes)) as headers:
            found = scans_of(
                gathered,
                Judging(
                    *finding, headers.images, headers.decoded, gathered.origin, gathered.was_given
                ),
            )
        yield _unique(found)


@contextlib.contextmanager
def scan_at(path: Path) -> Iterator[Scan]:
    """The one accepted scan at a path.

    Args:
        path: as for `found_scans`.

    Yields:
        The scan; readable within the context only.

    Raises:
        FileNotFoundError: nothing is there.
        ScanRejected: no scan is accepted; the first one's code and reason.
        ValueError: several are.
    """
    with found_scans([path]) as scans:
        accepted = [scan for scan in scans if scan.accepted]
        if len(accepted) > 1:
            raise ValueError(f"one scan is wanted; {len(accepted)} were found")
        if not accepted:
            if not scans:
                raise ScanRejected("NOT_CT", "the folder is empty")
            first = next((scan for scan in scans if scan.code != "NOT_CT"), scans[0])
            raise ScanRejected(first.code, first.reason)
        yield accepted[0]


def _unique(scans: Sequence[Scan]) -> list[Scan]:
    """One entry a case id: equal NIfTI files are one scan, anything else gets an id of its own."""
    kept: dict[str, Scan] = {}
    copies: Counter[str] = Counter()
    turns: Counter[str] = Counter()
    for scan in scans:
        case_id = scan.case_id
        if case_id in kept and _same_file(scan, kept[case_id]):
            copies[case_id] += 1
            continue
        while scan.case_id in kept:
            turns[case_id] += 1
            scan = replace(scan, case_id=digest(f"{case_id}#{turns[case_id]}"))
        kept[scan.case_id] = scan
    return [
        replace(scan, notes=(*scan.notes, _copies_note(copies[scan.case_id])))
        if scan.kind == "nifti" and copies[scan.case_id]
        else scan
        for scan in kept.values()
    ]


def _copies_note(count: int) -> str:
    return "1 equal file was left out" if count == 1 else f"{count} equal files were left out"


def _same_file(scan: Scan, other: Scan) -> bool:
    """Whether two scans with one case id are equal NIfTI files."""
    if scan.kind != "nifti" or other.kind != "nifti":
        return False
    return scan.whole_content_known
