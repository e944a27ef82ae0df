"""Read the header of a DICOM file, never its pixels: what a series is judged by."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import struct
import warnings
from collections.abc import Iterator
from dataclasses import replace
from io import FileIO
from pathlib import Path
from typing import BinaryIO

import pydicom
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from liverseg.dicom.deflate import inflated
from liverseg.dicom.image import Layout, Pixels, Slice
from liverseg.dicom.plain import PlainHeader, Unusual, Wanted, plain_header
from liverseg.dicom.values import PARSE_ERRORS, numbers, phase_values, text, texts, whole_number
from liverseg.errors import ScanRejected

PREAMBLE_BYTES = 128  # PS3.10 7.1: 128 bytes, then the letters DICM
FIRST_GROUPS = (b"\x08\x00", b"\x02\x00")  # of a data set without a preamble, little endian
FIRST_GROUPS_BIG = (b"\x00\x08", b"\x00\x02")
MAX_FILE_BYTES = 4 << 30  # intake.md: too large
UNDEFINED_LENGTH = 0xFFFFFFFF
IMPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
NATIVE_SYNTAXES = frozenset((IMPLICIT_LITTLE_ENDIAN, "1.2.840.10008.1.2.1", BIG_ENDIAN))

_GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
_KEYWORDS = (
    "ImageType",
    "SOPClassUID",
    "SOPInstanceUID",
    "AcquisitionDate",
    "ContentDate",
    "AcquisitionTime",
    "ContentTime",
    "AcquisitionDateTime",
    "Modality",
    "PatientID",
    "KVP",
    "ConvolutionKernel",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "AcquisitionNumber",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "FrameOfReferenceUID",
    "TemporalPositionIdentifier",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "PixelSpacing",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "RescaleIntercept",
    "RescaleSlope",
    "RescaleType",
    "LossyImageCompression",
    "InstanceNumber",
    "ImagesInAcquisition",
    "VolumeBasedCalculationTechnique",
    "SliceThickness",
)
HEADER_TAGS = [Tag(keyword) for keyword in (*_KEYWORDS, *_GROUPS)]
PLAIN_KEYWORDS = Wanted(_KEYWORDS)
HEAD_BYTES = (16 << 10, 1 << 20)  # what is read of a file at first, and when that is too little


@contextlib.contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Keep pydicom from writing values of the files it reads to warnings and logs.

    Its warnings quote what they warn of, which may be a patient's name. What matters in them is
    judged here from the values themselves.
    """
    loggers = [logging.getLogger(name) for name in ("pydicom", "pylibjpeg", "highdicom")]
    were_disabled = [logger.disabled for logger in loggers]
    was_mode = pydicom.config.settings.reading_validation_mode
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
        for logger in loggers:
            logger.disabled = True
        try:
            yield
        finally:
            pydicom.config.settings.reading_validation_mode = was_mode
            for logger, disabled in zip(loggers, were_disabled, strict=True):
                logger.disabled = disabled


def looks_like_dicom(head: bytes) -> bool:
    """Whether the first 132 or more bytes of a file are those of DICOM, with a preamble or not."""
    if head[PREAMBLE_BYTES : PREAMBLE_BYTES + 4] == b"DICM":
        return True
    if len(head) < 16 or head[:2] not in (*FIRST_GROUPS, *FIRST_GROUPS_BIG):
        return False
    order = "<" if head[:2] in FIRST_GROUPS else ">"
    element, length = struct.unpack(f"{order}HL", head[2:8])
    explicit = head[4:6] in (b"UL", b"UI", b"CS", b"SH", b"LO", b"OB", b"DA", b"TM")
    # The first elements of these groups are short: text that begins with a control byte is not.
    return element <= 0x0070 and (explicit or length <= 128)


def read_header(path: Path) -> tuple[Slice, Dataset | None]:
    """The header of one DICOM file; call it inside `quiet_pydicom`.

    Args:
        path: a file whose head `looks_like_dicom`.

    Returns:
        The image, without what a multi-frame file says per frame, and for a file that may be one
        the data set it came from.

    Raises:
        ScanRejected: CORRUPT when the header cannot be parsed, UNREADABLE when the operating
            system does not let us read the file.
    """
    try:
        with path.open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            if size > MAX_FILE_BYTES:
                raise ScanRejected("TOO_LARGE", f"files up to {MAX_FILE_BYTES} bytes are read")
            plain = _plain_header(file)
        if plain is not None:
            return _plain_slice(plain, path, size), None
        with path.open("rb") as buffered:
            unpacked = inflated(buffered)
            buffered.seek(0)
            item, dataset = _read_header(unpacked or buffered, path)
        if unpacked:  # its pixels have no place in the file
            layout = replace(item.layout, offset=None)
            item = replace(item, transfer_syntax=DEFLATED, layout=layout)
        return item, dataset
    except OSError as error:
        if error.errno is None:  # of pydicom, about the bytes and not the file
            raise ScanRejected("CORRUPT", "a DICOM header that cannot be parsed") from error
        raise ScanRejected("UNREADABLE", f"a file could not be read: {error.strerror}") from error


def _plain_header(file: FileIO) -> PlainHeader | None:
    """The header of an open file when it is an ordinary one."""
    head = b""
    for count in HEAD_BYTES:
        head += file.read(count - len(head))
        try:
            return plain_header(head, PLAIN_KEYWORDS)
        except Unusual:
            if len(head) < count:
                return None
    return None


def _plain_slice(plain: PlainHeader, path: Path, size: int) -> Slice:
    """The image of an ordinary header."""
    place: tuple[int | None, int | None] = (None, None)
    pixels: Pixels = "whole"
    if plain.pixel_length != UNDEFINED_LENGTH:
        place = plain.pixel_offset, plain.pixel_length
        pixels = "whole" if sum(place) <= size else "short"
    return _slice(plain, path, (plain.transfer_syntax, plain.meta_class), pixels, place)


def _read_header(file: BinaryIO, path: Path) -> tuple[Slice, Dataset]:
    """The header of any open file, as pydicom reads it."""
    head = file.read(PREAMBLE_BYTES + 4)
    file.seek(0)
    has_preamble = head[PREAMBLE_BYTES:] == b"DICM"
    try:
        dataset = pydicom.dcmread(
            file, stop_before_pixels=True, force=not has_preamble, specific_tags=HEADER_TAGS
        )
        syntax = str(getattr(dataset.file_meta, "TransferSyntaxUID", "") or "")
        if not syntax:
            syntax = BIG_ENDIAN if not dataset.original_encoding[1] else IMPLICIT_LITTLE_ENDIAN
            if dataset.original_encoding == (False, True):
                syntax = "1.2.840.10008.1.2.1"
        meta_class = str(getattr(dataset.file_meta, "MediaStorageSOPClassUID", "") or "")
        pixels, place = _pixel_data(file, dataset)
        return _slice(dataset, path, (syntax, meta_class), pixels, place), dataset
    except PARSE_ERRORS as error:
        raise ScanRejected("CORRUPT", "a DICOM header that cannot be parsed") from error


def _pixel_data(file: BinaryIO, dataset: Dataset) -> tuple[Pixels, tuple[int | None, int | None]]:
    """Whether the pixel data is there and whole; where it starts and its length when native."""
    _, little = dataset.original_encoding
    order = "<" if little else ">"
    start = file.tell()
    element = file.read(12)
    # The type, not what the file claims: a value's length is even, and these letters are odd.
    explicit = element[4:6] in (b"OB", b"OW", b"UN")
    head_bytes = 12 if explicit else 8
    if len(element) < head_bytes or struct.unpack(f"{order}HH", element[:4]) != (0x7FE0, 0x0010):
        return "absent", (None, None)
    length = struct.unpack(f"{order}L", element[head_bytes - 4 : head_bytes])[0]
    start += head_bytes
    size = file.seek(0, os.SEEK_END)
    if length == UNDEFINED_LENGTH:
        return "whole", (None, None)
    return ("whole" if start + length <= size else "short"), (start, length)


def _slice(
    dataset: Dataset | PlainHeader,
    path: Path,
    meta: tuple[str, str],
    pixels: Pixels,
    place: tuple[int | None, int | None],
) -> Slice:
    """What the data set and the meta information (syntax, class) say, in plain values."""
    spacing = numbers(dataset, "PixelSpacing", 2)
    thickness = numbers(dataset, "SliceThickness", 1)
    syntax, meta_class = meta
    patient = text(dataset, "PatientID")
    slope, intercept = numbers(dataset, "RescaleSlope", 1), numbers(dataset, "RescaleIntercept", 1)
    return Slice(
        path=path,
        frame=None,
        sop_class=text(dataset, "SOPClassUID") or meta_class,
        sop_uid=text(dataset, "SOPInstanceUID"),
        study_uid=text(dataset, "StudyInstanceUID"),
        series_uid=text(dataset, "SeriesInstanceUID"),
        patient_key=hashlib.sha256(patient.encode()).hexdigest() if patient else "",
        modality=text(dataset, "Modality"),
        image_type=(
            *texts(dataset, "ImageType"),
            *texts(dataset, "VolumeBasedCalculationTechnique"),
        ),
        transfer_syntax=syntax,
        photometric=text(dataset, "PhotometricInterpretation"),
        frame_of_reference=text(dataset, "FrameOfReferenceUID"),
        spacing_mm=(spacing[1], spacing[0]) if spacing else None,
        orientation=numbers(dataset, "ImageOrientationPatient", 6),
        position=numbers(dataset, "ImagePositionPatient", 3),
        slope=slope[0] if slope else None,
        intercept=intercept[0] if intercept else None,
        rescale_type=text(dataset, "RescaleType"),
        phase=phase_values(dataset),
        lossy=text(dataset, "LossyImageCompression") == "01",
        frames=whole_number(dataset, "NumberOfFrames"),
        pixels=pixels,
        layout=_layout(dataset, place if syntax in NATIVE_SYNTAXES else (None, None)),
        instance=whole_number(dataset, "InstanceNumber"),
        acquired=whole_number(dataset, "ImagesInAcquisition"),
        thickness_mm=thickness[0] if thickness else None,
        samples=whole_number(dataset, "SamplesPerPixel"),
    )


def _layout(dataset: Dataset | PlainHeader, place: tuple[int | None, int | None]) -> Layout:
    """The layout of the stored values; 0 where the file does not say."""
    allocated = whole_number(dataset, "BitsAllocated") or 0
    stored = whole_number(dataset, "BitsStored") or allocated
    high_bit = whole_number(dataset, "HighBit")
    padding = whole_number(dataset, "PixelPaddingValue")
    limit = whole_number(dataset, "PixelPaddingRangeLimit")
    ends = None
    if padding is not None:
        ends = (padding, padding if limit is None else limit)
    return Layout(
        offset=place[0],
        length=place[1],
        rows=whole_number(dataset, "Rows") or 0,
        columns=whole_number(dataset, "Columns") or 0,
        bits_allocated=allocated,
        bits_stored=stored,
        high_bit=stored - 1 if high_bit is None else high_bit,
        signed=whole_number(dataset, "PixelRepresentation") == 1,
        padding=(min(ends), max(ends)) if ends else None,
    )
