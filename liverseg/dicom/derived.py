"""What every DICOM object that we derive from a CT series has: patient, study, UIDs and dates.

The same input gives the same bytes, dates included: an instance that is made again replaces the
one that a PACS has, and never lies beside it.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import UID, CTImageStorage

from liverseg.dicom.header import quiet_pydicom
from liverseg.dicom.image import Slice
from liverseg.dicom.values import PARSE_ERRORS, value_of
from liverseg.errors import ScanRejected

PRODUCT = "liverseg"
# Derived UIDs are named in this space of UUIDs (RFC 9562, 5.5) and written as PS3.5 B.2 has it.
NAMESPACE = uuid.UUID("5b6f1f5e-7c0b-5f0a-9a83-2f4c1d0e7a61")
UUID_ROOT = "2.25"
# Our series are numbered after the source's own, so that a viewer lists them below it.
SEG_SERIES, SR_SERIES = 1000, 2000
MAX_SERIES_NUMBER = 1 << 30
# Components with a leading zero are common in the field, and harmless; letters are neither.
USABLE_UID = re.compile(r"[0-9]+(?:\.[0-9]+)+", re.ASCII)
MAX_UID_LETTERS = 64

# Patient, General Study and Patient Study (PS3.3 C.7.1.1, C.7.2.1, C.7.2.2), without sequences:
# what ties an object to its patient and study, which type 2 has even where it is empty.
TYPE_2 = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "StudyID",
    "AccessionNumber",
)
TYPE_3 = (
    "IssuerOfPatientID",
    "PatientBirthTime",
    "OtherPatientNames",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "StudyDescription",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
)
# When the source was made, the best first; an object of ours is dated by it.
DATES = ("Content", "Acquisition", "Series", "Study")
NO_DATE, NO_TIME = "19000101", "000000"
# What only a table of codes may hold: others are left empty (PS3.3 C.7.1.1).
SEXES = ("M", "F", "O", "")


@dataclass(frozen=True)
class Provenance:
    """What made a mask, beside the scan.

    Args:
        version: of this package.
        weights_sha256: 64 hex digits.
        options: whatever else changes a mask, as one text.
    """

    version: str
    weights_sha256: str
    options: str = ""


def require_identifiers(slices: Sequence[Slice]) -> None:
    """Check that an object can refer to the slices, and lie where they do.

    Raises:
        ScanRejected: NO_UIDS; the sentence says which identifier is missing or no identifier.
    """
    for index, item in enumerate(slices):
        uids = {
            "SOPInstanceUID": item.sop_uid.partition("#")[0],
            "SeriesInstanceUID": item.series_uid,
            "StudyInstanceUID": item.study_uid,
            "FrameOfReferenceUID": item.frame_of_reference,
        }
        for keyword, uid in uids.items():
            if len(uid) > MAX_UID_LETTERS or not USABLE_UID.fullmatch(uid):
                what = "is not a UID" if uid else "is missing"
                raise ScanRejected(
                    "NO_UIDS",
                    f"No DICOM SEG: a {keyword} is needed to refer to; it {what} in slice "
                    f"{index + 1} of {len(slices)}.",
                )


def derived_uid(*parts: str) -> str:
    """The same UID for the same parts, and another for others."""
    return f"{UUID_ROOT}.{uuid.uuid5(NAMESPACE, chr(0).join(parts)).int}"


def source_key(slices: Sequence[Slice]) -> tuple[str, ...]:
    """What names these images and no others, of one series or of a part of it."""
    return (slices[0].study_uid, slices[0].series_uid, *sorted(item.sop_uid for item in slices))


@contextmanager
def lenient_writing() -> Iterator[None]:
    """Let pydicom write identifiers as the source has them; it is silent as `quiet_pydicom`.

    What else is copied from a source has been checked by then.
    """
    settings = pydicom.config.settings
    before = settings.writing_validation_mode
    with quiet_pydicom():
        settings.writing_validation_mode = pydicom.config.IGNORE
        try:
            yield
        finally:
            settings.writing_validation_mode = before


def reference_header(path: Path, slices: Sequence[Slice]) -> Dataset:
    """Patient and study of a source file, only what is valid; type 2 is empty where it is not.

    Args:
        path: a file of the series; its header is read, not its pixels.
        slices: of the series; their identifiers count, since one file may lack them.

    Returns:
        The elements of TYPE_2 and TYPE_3, the identifiers of the study and the frame of
        reference, when the source was made (ContentDate, ContentTime) and its SeriesNumber, 0
        where it has none.

    Raises:
        ScanRejected: CORRUPT or UNREADABLE.
    """
    try:
        source = pydicom.dcmread(path, stop_before_pixels=True, force=True)
    except OSError as error:
        raise ScanRejected("UNREADABLE", f"a file could not be read: {error.strerror}") from error
    except PARSE_ERRORS as error:
        raise ScanRejected("CORRUPT", "a DICOM header that cannot be parsed") from error
    header = Dataset()
    header.SpecificCharacterSet = "ISO_IR 192"
    header.SOPClassUID = CTImageStorage
    for keyword in TYPE_2:
        _copy_valid(source, header, keyword, empty=True)
    for keyword in TYPE_3:
        _copy_valid(source, header, keyword, empty=False)
    if header.PatientSex not in SEXES:
        header.PatientSex = ""
    header.StudyInstanceUID = UID(slices[0].study_uid)
    header.FrameOfReferenceUID = UID(slices[0].frame_of_reference)
    header.ContentDate, header.ContentTime = _made(source)
    number = value_of(source, "SeriesNumber")
    is_usual = isinstance(number, int) and 0 <= number < MAX_SERIES_NUMBER
    header.SeriesNumber = int(number) if is_usual else 0
    return header


def _copy_valid(source: Dataset, header: Dataset, keyword: str, *, empty: bool) -> None:
    """Copy an element whose value its type allows; else leave it out, or empty."""
    value = value_of(source, keyword)
    tag, kind = tag_for_keyword(keyword), dictionary_VR(keyword)
    if tag is None:
        raise ValueError(f"keyword should be one of the dictionary; got {keyword}")
    try:
        if value is not None and str(value).strip():
            # The text, not the object: that remembers the source's own character set.
            plain = str(value).strip() if kind != "DS" else value
            header.add(DataElement(tag, kind, plain, validation_mode=pydicom.config.RAISE))
            return
    except PARSE_ERRORS:
        pass
    if empty:
        header.add_new(tag, kind, "")


def _made(source: Dataset) -> tuple[str, str]:
    """Date and time of the source's making, in the form of DA and TM."""
    for kind in DATES:
        date, time = (str(value_of(source, f"{kind}{what}") or "") for what in ("Date", "Time"))
        if re.fullmatch(r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])", date, re.ASCII):
            valid = re.fullmatch(r"(?:[01]\d|2[0-3])[0-5]\d[0-5]\d(?:\.\d{1,6})?", time, re.ASCII)
            return date, time if valid else NO_TIME
    return NO_DATE, NO_TIME


def settle(made: Dataset, header: Dataset, key: Sequence[str]) -> None:
    """Replace what a library has put in of its own: dates of now, UIDs of chance, its own name.

    Args:
        made: the object, changed in place.
        header: of `reference_header`.
        key: what the object's UIDs are derived from.
    """
    made.ContentDate, made.ContentTime = header.ContentDate, header.ContentTime
    for keyword in (
        "InstanceCreationDate",
        "InstanceCreationTime",
        "ContributingEquipmentSequence",
    ):
        if keyword in made:
            delattr(made, keyword)
    if "DimensionOrganizationSequence" in made:
        uid = derived_uid("dimensions", *key)
        for item in (*made.DimensionOrganizationSequence, *made.DimensionIndexSequence):
            item.DimensionOrganizationUID = uid
    made.file_meta.ImplementationClassUID = UID(derived_uid("implementation"))
    made.file_meta.ImplementationVersionName = PRODUCT.upper()


def refer_to_frames(made: Dataset, slices: Sequence[Slice]) -> None:
    """Turn references to stand-ins into those to frames of the file that holds them.

    Args:
        made: refers to every slice by its `sop_uid`, as to a file of its own; changed in place.
        slices: all that it may refer to.
    """
    frames = {item.sop_uid: item for item in slices if item.frame is not None}
    if frames:
        _refer_in(made, frames)


def _refer_in(dataset: Dataset, frames: Mapping[str, Slice]) -> None:
    for element in dataset:
        if element.VR != "SQ":
            continue
        kept: dict[str, Dataset] = {}
        for number, item in enumerate(element.value):
            uid = str(item.get("ReferencedSOPInstanceUID", ""))
            if uid not in frames:
                _refer_in(item, frames)
                kept[f"#{number}"] = item
                continue
            file_uid = uid.partition("#")[0]
            one = kept.setdefault(file_uid, item)
            one.ReferencedSOPClassUID = frames[uid].sop_class
            one.ReferencedSOPInstanceUID = file_uid
            # The list of all images of a series names files, not frames (PS3.3 C.12.1.1).
            if element.keyword != "ReferencedInstanceSequence":
                _add_frame(one, (frames[uid].frame or 0) + 1)
        element.value = DicomSequence(list(kept.values()))


def _add_frame(reference: Dataset, number: int) -> None:
    known = reference.get("ReferencedFrameNumber", [])
    several = [known] if isinstance(known, int) else list(known)
    reference.ReferencedFrameNumber = [*several, number]
