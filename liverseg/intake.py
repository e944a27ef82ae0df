"""Judge what was gathered, one delivery after the other: every scan in it, and what is none."""

from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from liverseg.dicom.content import content_digest
from liverseg.dicom.discover import Judging, Series, find_series
from liverseg.dicom.geometry import affine_ras, step_mm
from liverseg.errors import ScanRejected
from liverseg.fingerprint import DIGITS, fingerprint
from liverseg.gather import Delivery, Gathered
from liverseg.nifti import read_nifti_header
from liverseg.packed import Packed, at_hand
from liverseg.scan import Scan, spacing_of
from liverseg.sizes import Sizes

HEAD_BYTES = 1 << 16
# What a file is refused with, whatever it belongs to; it condemns what lies beside it.
DAMAGED = frozenset(
    ("TRUNCATED", "CORRUPT", "UNREADABLE", "CRASHED", "TIMEOUT", "OUT_OF_MEMORY", "FAILED")
)


def scans_of(gathered: Gathered, judging: Judging) -> list[Scan]:
    """Judge everything that was taken in.

    Each delivery is judged by itself, while its files are there. Series of which several
    deliveries hold a part are judged once more, all parts together.

    Returns:
        DICOM series, then NIfTI files, then what is neither, each in the order of the inputs.
    """
    dicom: list[list[Scan]] = []
    nifti: list[Scan] = []
    others: list[Scan] = []
    for delivery in gathered.deliveries():
        packed = () if delivery.packed is None else (delivery.packed,)
        series = find_series(delivery.dicom, judging)
        dicom.append(_settled([_dicom_scan(entry, gathered) for entry in series], packed))
        read = [_nifti_scan(path, gathered, judging.sizes) for path in delivery.nifti]
        nifti.extend(_settled(read, packed))
        others.extend(_no_scans(delivery, gathered))
    return _numbered([*_joined(dicom, gathered, judging), *nifti, *others])


def _numbered(scans: Sequence[Scan]) -> list[Scan]:
    """The scans; what has no content to be named by has an id of its own, in their order."""
    turns: Counter[str] = Counter()
    numbered = []
    for scan in scans:
        if scan.kind == "other" or scan.code == "UNREADABLE":
            turn = turns[scan.case_id]
            turns[scan.case_id] += 1
            scan = replace(scan, case_id=digest(f"{scan.case_id}#{turn}") if turn else scan.case_id)
        numbered.append(scan)
    return numbered


def _settled(scans: Sequence[Scan], packed: tuple[Packed, ...]) -> list[Scan]:
    """Scans out of archives, with what is to be known when their files are not there any more."""
    if not packed:
        return list(scans)
    return [replace(scan, packed=packed, fingerprint=fingerprint(scan)) for scan in scans]


def _joined(
    deliveries: Sequence[Sequence[Scan]], gathered: Gathered, judging: Judging
) -> list[Scan]:
    """All scans; those of a CT series that came in several deliveries judged as one."""
    came_in: dict[str, set[int]] = defaultdict(set)
    for number, scans in enumerate(deliveries):
        for scan in scans:
            if scan.series_uid and scan.images:
                came_in[scan.series_uid].add(number)
    several = {uid for uid, numbers in came_in.items() if len(numbers) > 1}
    every = [scan for scans in deliveries for scan in scans]
    joined: dict[int, list[Scan]] = {}
    left_out: set[int] = set()
    for uid in several:
        parts = [index for index, scan in enumerate(every) if scan.series_uid == uid]
        joined[parts[0]] = _judged_together([every[index] for index in parts], gathered, judging)
        left_out.update(parts)
    return [
        one
        for index, scan in enumerate(every)
        for one in joined.get(index, () if index in left_out else (scan,))
    ]


def _judged_together(parts: Sequence[Scan], gathered: Gathered, judging: Judging) -> list[Scan]:
    """The scans of a series, all of whose parts are there for once.

    What is wrong with a file of one part, or with what lies beside it, is so with the others, too.
    """
    files = dict.fromkeys(path for scan in parts for path in scan.files)
    packed = tuple(dict.fromkeys(recipe for scan in parts for recipe in scan.packed))
    damaged = next((scan for scan in parts if scan.code in DAMAGED), None)
    with at_hand(list(files), packed):
        series = find_series(files, replace(judging, alone=False))
        scans = _settled([_dicom_scan(entry, gathered) for entry in series], packed)
    if damaged is None:
        return scans
    return [
        scan if scan.code else replace(scan, code=damaged.code, reason=damaged.reason)
        for scan in scans
    ]


def _dicom_scan(series: Series, gathered: Gathered) -> Scan:
    """A DICOM series with its verdict, as a scan."""
    sources = {gathered.source(path) for path in series.files}
    folders = {path if gathered.is_archive(path) else path.parent for path in sources}
    source = Path(os.path.commonpath(folders)) if len(sources) > 1 else sources.pop()
    first = series.slices[0] if series.slices else None
    # Of an accepted one as report.json will say it; of a refused one what most gaps are.
    accepted = not series.code
    spacing_mm = spacing_of(affine_ras(series.slices)) if accepted else step_mm(series.slices)
    return Scan(
        case_id=digest(series.key),
        source=source,
        kind="dicom",
        files=series.files,
        code=series.code,
        reason=series.reason,
        modality=series.modality,
        slices=len(series.slices),
        rows=first.layout.rows if first else 0,
        columns=first.layout.columns if first else 0,
        spacing_mm=spacing_mm,
        study_uid=first.study_uid if first else "",
        series_uid=first.series_uid if first else "",
        notes=series.notes,
        images=series.slices if series.code != "NOT_CT" else (),
    )


def _nifti_scan(path: Path, gathered: Gathered, sizes: Sizes) -> Scan:
    """A NIfTI file with its verdict, as a scan."""
    source = gathered.source(path)
    try:
        # The header first: what is refused by it, such as what is too large, is not read further.
        header = read_nifti_header(path, sizes)
        case_id = content_digest(path)[:DIGITS]
    except ScanRejected as error:
        return _refused_nifti(path, source, error)
    except OSError as error:
        reason = f"a file could not be read: {error.strerror}"
        return _refused_nifti(path, source, ScanRejected("UNREADABLE", reason))
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
        spacing_mm=spacing_of(header.affine),
        sizes=sizes,
    )


def _refused_nifti(path: Path, source: Path, error: ScanRejected) -> Scan:
    """A NIfTI file that is refused by its header; only its head is known."""
    # Nothing that is made from a path names a case: who guesses the path would know it.
    case_id, whole = digest(error.code), False
    if error.code != "UNREADABLE":
        case_id = content_digest(path, HEAD_BYTES)[:DIGITS]
        whole = path.stat().st_size <= HEAD_BYTES
    return Scan(
        case_id, source, "nifti", (path,), error.code, error.detail, whole_content_known=whole
    )


def _no_scans(delivery: Delivery, gathered: Gathered) -> list[Scan]:
    """What could not be looked into, and what is nothing known."""
    found = []
    for path, error in delivery.refused:
        source = gathered.source(path)
        case_id = digest(f"{error.code}#{_head_digest(path)}")
        found.append(Scan(case_id, source, "other", (path,), error.code, error.detail))
    for folder, count in delivery.junk.items():
        source = gathered.source(folder)
        reason = f"{count} files that are no images" if count > 1 else "a file that is no image"
        case_id = digest(f"NOT_CT#{count}")
        found.append(Scan(case_id, source, "other", (), "NOT_CT", reason))
    return found


def _head_digest(path: Path) -> str:
    """Of the beginning of a file; "" of a folder, or of what cannot be read."""
    try:
        return content_digest(path, HEAD_BYTES)
    except OSError:
        return ""


def digest(key: str) -> str:
    """The case id of a key: the first digits of its SHA-256."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:DIGITS]
