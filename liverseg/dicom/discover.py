"""Find the series among DICOM files and judge each: accepted, or refused with a code."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from liverseg.dicom.beside import lost_notes
from liverseg.dicom.content import content_digest as content_digest  # scans.py's, too
from liverseg.dicom.duplicates import Decoded
from liverseg.dicom.grouping import grouped
from liverseg.dicom.header import quiet_pydicom
from liverseg.dicom.image import Slice
from liverseg.dicom.images import CT_CLASSES, Images, images_of, may_be_ct
from liverseg.dicom.judge import judge
from liverseg.dicom.pixels import stored_digest
from liverseg.dicom.values import known_modality, standard_name
from liverseg.errors import ScanRejected
from liverseg.sizes import ORDINARY_SIZES, Sizes

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Series:
    """A series, or a part of one, with its verdict.

    Attributes:
        key: what the case id is made from: the series UID (with "#" and the index of the part
            where a series holds several scans), or a digest of the content without UIDs.
        slices: sorted by position when accepted.
        code: of liverseg.errors.CODES; "" when accepted.
        reason: one sentence; "" when accepted.
        modality: as the file says, else that of its class.
        notes: what was left out, and what a reader of the report should know.
    """

    key: str
    files: tuple[Path, ...]
    slices: tuple[Slice, ...]
    code: str
    reason: str
    modality: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Judging:
    """How files are judged.

    Attributes:
        irregular: accept uneven spacing.
        sizes: what is too large.
        images: how the images of a file are had.
        decoded: how a digest of an image's pixels is had.
        origin: a file as it was delivered.
        was_given: whether a file, as it was delivered, is one that was to be looked at.
        alone: the files are all the DICOM in their folders, so that what else is there may be
            slices that were lost.
    """

    irregular: bool = False
    sizes: Sizes = ORDINARY_SIZES
    images: Images = images_of
    decoded: Decoded = stored_digest
    origin: Callable[[Path], Path] = lambda path: path
    was_given: Callable[[Path], bool] = lambda path: True
    alone: bool = True


def find_series(files: Iterable[Path], judging: Judging) -> list[Series]:
    """Group DICOM files into series and judge each.

    Opens no pixel data, except to compare images that claim to be the same one.

    Args:
        files: files that `looks_like_dicom`, of any number of patients; of equal images the
            first one is kept.
        judging: how.

    Returns:
        One entry a scan, and one for each series that is none, in order of their first file.
        A file with a header that cannot be parsed is an entry of its own, and condemns the CT
        series of its folder, since it may be a slice of one.
    """
    places = {path: place for place, path in enumerate(files)}
    images: list[Slice] = []
    broken: list[Series] = []
    with quiet_pydicom():
        for path in places:
            try:
                found = judging.images(path, judging.sizes)
            except Exception as error:  # noqa: BLE001  one file must not end the batch
                broken.append(_broken(path, _refusal(error)))
                continue
            images.extend(found)
        series = []
        for group, is_torn in grouped(images):
            if is_torn:
                series.append(_torn_series(group))
            elif _is_cut(group):
                cut = ScanRejected("TRUNCATED", "a DICOM file ends before its pixels")
                broken.append(_broken(group[0].path, cut))
            else:
                series.extend(_judged_group(group, judging))
    whole = _condemned(series, broken, judging)
    if judging.alone:
        known = set(map(judging.origin, places))
        whole = [_without_lost(entry, known, judging) for entry in whole]
    found_all = _unique_keys([*whole, *broken])
    return sorted(found_all, key=lambda entry: min(places[path] for path in entry.files))


def _torn_series(slices: Sequence[Slice]) -> Series:
    """A scan whose slices name several patients or studies."""
    reason = (
        "the slices of one SeriesInstanceUID and frame of reference should name one patient and "
        "one study; they name several, and no position twice"
    )
    modality = known_modality(slices[0].modality) or "CT"
    key = slices[0].series_uid
    return Series(key, _files(slices), tuple(slices), "AMBIGUOUS_POSITIONS", reason, modality, ())


def _is_cut(group: Sequence[Slice]) -> bool:
    """Whether a group is one CT file that ends early, perhaps within the UID of its series."""
    return len(_files(group)) == 1 and group[0].pixels == "absent" and may_be_ct(group[0].sop_class)


def _without_lost(entry: Series, known: Collection[Path], judging: Judging) -> Series:
    """Refuse an accepted series with a lost slice beside it; note what may be one."""
    if entry.code:
        return entry
    try:
        files = [judging.origin(path) for path in entry.files]
        notes = lost_notes(files, known, judging.was_given)
    except ScanRejected as error:
        return replace(entry, code=error.code, reason=error.detail)
    return replace(entry, notes=(*entry.notes, *notes)) if notes else entry


def _judged_group(group: Sequence[Slice], judging: Judging) -> list[Series]:
    """The scans of one group of images, with their keys."""
    first = group[0]
    is_ct = first.sop_class in CT_CLASSES
    modality = known_modality(first.modality) or ("CT" if is_ct else "")
    files = _files(group)
    key = first.series_uid or _content_key(files)
    if not is_ct:
        name = standard_name(first.sop_class) or "an unknown class"
        reason = f"a CT image is wanted; got {len(files)} of {name}"
        return [Series(key, files, tuple(group), "NOT_CT", reason, modality, ())]
    refused = [item.refused for item in group if item.refused]
    if refused:
        return [Series(key, files, tuple(group), *refused[0], modality, ())]
    try:
        found = judge(group, judging.irregular, judging.sizes, judging.decoded)
    except Exception as error:  # noqa: BLE001  one series must not end the batch
        refusal = _refusal(error)
        return [Series(key, files, tuple(group), refusal.code, refusal.detail, modality, ())]
    return [
        Series(
            key=key if len(found) == 1 else f"{key}#{index}",
            files=_files(entry.slices),
            slices=entry.slices,
            code=entry.code,
            reason=entry.reason,
            modality=modality,
            notes=entry.notes,
        )
        for index, entry in enumerate(found)
    ]


def _refusal(error: Exception) -> ScanRejected:
    """A refusal as it is; of any other error no more than its kind, since messages quote values."""
    if isinstance(error, ScanRejected):
        return error
    return ScanRejected("FAILED", f"an unexpected {type(error).__name__} when it was judged")


def _files(slices: Sequence[Slice]) -> tuple[Path, ...]:
    """The files of the slices, in their order, each once."""
    return tuple(dict.fromkeys(item.path for item in slices))


def _content_key(files: Sequence[Path]) -> str:
    """A digest of the files, the same in any order and under any names."""
    return hashlib.sha256("".join(sorted(map(content_digest, files))).encode()).hexdigest()


def _broken(path: Path, error: ScanRejected) -> Series:
    """A file that claims to be DICOM and cannot be parsed."""
    # Not all of it: what is too large is refused without reading it.
    key = "" if error.code == "UNREADABLE" else content_digest(path, CHUNK_BYTES)
    return Series(key or error.code, (path,), (), error.code, error.detail, "", ())


def _condemned(
    series: Sequence[Series], broken: Sequence[Series], judging: Judging
) -> list[Series]:
    """Refuse accepted series with a broken file in one of their folders."""
    folders: dict[Path, Series] = {
        judging.origin(entry.files[0]).parent: entry for entry in broken if entry.code != "NOT_CT"
    }
    judged = []
    for entry in series:
        homes = (judging.origin(path).parent for path in (entry.files if folders else ()))
        near = next((folders[home] for home in homes if home in folders), None)
        if near and not entry.code:
            reason = f"a file beside the slices, perhaps one of them, is unusable: {near.reason}"
            entry = replace(entry, code=near.code, reason=reason)
        judged.append(entry)
    return judged


def _unique_keys(series: Sequence[Series]) -> list[Series]:
    """Number the keys that several entries share: one UID in two studies, or for CT and others."""
    shared = {key for key, count in Counter(entry.key for entry in series).items() if count > 1}
    turns: Counter[str] = Counter()
    numbered = []
    for entry in sorted(series, key=_turn):
        turn = turns[entry.key]
        turns[entry.key] += 1
        if entry.key in shared and turn:
            entry = replace(entry, key=f"{entry.key}#{turn}")
        numbered.append(entry)
    return numbered


def _turn(entry: Series) -> tuple[object, ...]:
    """The order of entries that share a key: the same wherever their files lie.

    The accepted one first, so that what lies beside a scan does not change the scan's id.
    """
    named = sorted((item.patient_key, item.study_uid, item.sop_uid) for item in entry.slices)
    return entry.code != "", named[:1], len(named), entry.files
