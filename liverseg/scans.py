"""The scans in what a hospital delivers: folders, trees, archives, DICOM and NIfTI alike."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from liverseg.dicom.discover import Series, content_digest, find_series
from liverseg.dicom.geometry import step_mm, uneven_positions
from liverseg.dicom.image import Slice
from liverseg.dicom.volume import read_volume
from liverseg.errors import ScanRejected
from liverseg.gather import Gathered
from liverseg.lock import private_folder
from liverseg.nifti import read_nifti, read_nifti_header

CASE_ID_DIGITS = 16  # of SHA-256, in hexadecimal
HEAD_BYTES = 1 << 16
NAN = float("nan")


@dataclass(frozen=True)
class Scan:
    """One scan found, or one thing that is none, with its verdict.

    Attributes:
        case_id: names its outputs; 16 hexadecimal digits, unique within a run.
        source: the input path as found: the folder of the slices, the NIfTI file, the archive.
        kind: what it is read as.
        files: slices sorted by position for DICOM; the one file for NIfTI.
        code: why it is refused, of liverseg.errors.CODES; "" when accepted.
        reason: one sentence; "" when accepted.
        modality: as DICOM says; "CT" for an accepted NIfTI, which cannot say.
        slices: along the third axis.
        rows: along the second axis.
        columns: along the first axis.
        spacing_mm: (x, y, z); NaN where unknown.
        study_uid: "" where there is none.
        series_uid: "" where there is none.
        notes: what was left out, and what a reader of the report should know.
        images: the slices as DICOM describes them; () for the rest.
        fingerprint: what liverseg.identity makes of its content; "" until then.
    """

    case_id: str
    source: Path
    kind: Literal["dicom", "nifti", "other"]
    files: tuple[Path, ...]
    code: str = ""
    reason: str = ""
    modality: str = ""
    slices: int = 0
    rows: int = 0
    columns: int = 0
    spacing_mm: tuple[float, float, float] = (NAN, NAN, NAN)
    study_uid: str = ""
    series_uid: str = ""
    notes: tuple[str, ...] = ()
    images: tuple[Slice, ...] = ()
    fingerprint: str = ""

    @property
    def accepted(self) -> bool:
        """Whether it can be read."""
        return self.code == ""


class Volume(NamedTuple):
    """A scan as read.

    Attributes:
        image: (X, Y, Z) int16, HU.
        affine: (4, 4) float64, voxel to RAS mm.
        notes: what a reader of the report should know.
        positions: (Z,) where unevenly spaced slices lie along the third axis, in steps of the
            affine, which has their mean spacing; None for even spacing.
    """

    image: NDArray[np.int16]
    affine: NDArray[np.float64]
    notes: tuple[str, ...]
    positions: NDArray[np.float64] | None = None


@contextlib.contextmanager
def found_scans(
    inputs: Sequence[Path], *, resample_irregular: bool = False
) -> Iterator[list[Scan]]:
    """Find every scan in the inputs.

    Args:
        inputs: folders, trees of folders, archives, NIfTI or DICOM files.
        resample_irregular: accept DICOM slices that are unevenly spaced.

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
        gathered = Gathered(private)
        for path in inputs:
            gathered.add_tree(Path(path))
        yield _unique(_scans(gathered, resample_irregular))


def read_scan(scan: Scan) -> Volume:
    """Read an accepted scan, exactly or not at all.

    Args:
        scan: of `found_scans`, within its context.

    Returns:
        The volume, on the scan's own grid.

    Raises:
        ScanRejected: the scan was refused already, or its pixels cannot be read exactly.
    """
    if not scan.accepted:
        raise ScanRejected(scan.code, scan.reason)
    if scan.kind == "nifti":
        return Volume(*read_nifti(scan.files[0]))
    image, affine, notes = read_volume(scan.images)
    return Volume(image, affine, (*scan.notes, *notes), uneven_positions(scan.images))


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


def _scans(gathered: Gathered, irregular: bool) -> list[Scan]:
    """Judge everything that was taken in."""
    found_series = find_series(gathered.dicom, irregular)
    found = [_dicom_scan(series, gathered) for series in found_series]
    found.extend(_nifti_scan(path, gathered) for path in gathered.nifti)
    for path, error in gathered.refused:
        source = gathered.source(path)
        case_id = _digest(f"{source}#{error.code}")
        found.append(Scan(case_id, source, "other", (path,), error.code, error.detail))
    for folder, count in gathered.junk.items():
        source = gathered.source(folder)
        reason = f"{count} files that are no images" if count > 1 else "a file that is no image"
        case_id = _digest(f"{source}#{folder.name}#{count}")
        found.append(Scan(case_id, source, "other", (), "NOT_CT", reason))
    return found


def _dicom_scan(series: Series, gathered: Gathered) -> Scan:
    """A DICOM series with its verdict, as a scan."""
    sources = {gathered.source(path) for path in series.files}
    folders = {path if path in gathered.archives.values() else path.parent for path in sources}
    source = Path(os.path.commonpath(folders)) if len(sources) > 1 else sources.pop()
    first = series.slices[0] if series.slices else None
    x, y, z = step_mm(series.slices)
    return Scan(
        case_id=_digest(series.key),
        source=source,
        kind="dicom",
        files=series.files,
        code=series.code,
        reason=series.reason,
        modality=series.modality,
        slices=len(series.slices),
        rows=first.layout.rows if first else 0,
        columns=first.layout.columns if first else 0,
        spacing_mm=(x, y, z),
        study_uid=first.study_uid if first else "",
        series_uid=first.series_uid if first else "",
        notes=series.notes,
        images=series.slices if series.code != "NOT_CT" else (),
    )


def _nifti_scan(path: Path, gathered: Gathered) -> Scan:
    """A NIfTI file with its verdict, as a scan."""
    source = gathered.source(path)
    try:
        # The header first: what is refused by it, such as what is too large, is not read further.
        header = read_nifti_header(path)
        case_id = content_digest(path)[:CASE_ID_DIGITS]
    except ScanRejected as error:
        case_id = _digest(str(source)) if error.code == "UNREADABLE" else _head_digest(path)
        return Scan(case_id, source, "nifti", (path,), error.code, error.detail)
    except OSError as error:
        reason = f"a file could not be read: {error.strerror}"
        return Scan(_digest(str(source)), source, "nifti", (path,), "UNREADABLE", reason)
    columns, rows, slices = header.shape
    return Scan(
        case_id=case_id,
        source=source,
        kind="nifti",
        files=(path,),
        modality="CT",
        slices=slices,
        rows=rows,
        columns=columns,
        spacing_mm=header.spacing_mm,
    )


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
            scan = replace(scan, case_id=_digest(f"{case_id}#{turns[case_id]}"))
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
    # Of a refused one only the head is known.
    return scan.accepted or scan.files[0].stat().st_size <= HEAD_BYTES


def _head_digest(path: Path) -> str:
    """The case id of a file that is not read to its end."""
    return content_digest(path, HEAD_BYTES)[:CASE_ID_DIGITS]


def _digest(key: str) -> str:
    """The case id of a key: the first digits of its SHA-256."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:CASE_ID_DIGITS]
