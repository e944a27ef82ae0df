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
from typing import BinaryIO, NoReturn

import pydicom
from pydicom.dataset import Dataset
from pydicom.filereader import read_file_meta_info

from liverseg.dicom.deflate import inflated
from liverseg.dicom.image import Layout, Pixels, Slice
from liverseg.dicom.plain import PlainHeader, Unusual, plain_header
from liverseg.dicom.sniff import PREAMBLE_BYTES
from liverseg.dicom.values import (
    HINT_KEYWORDS,
    PARSE_ERRORS,
    ascii_text,
    number,
    numbers,
    phase_values,
    text,
    texts,
    value_of,
    whole_number,
)
from liverseg.dicom.wanted import HEADER_TAGS, PLAIN_KEYWORDS
from liverseg.errors import ScanRejected
from liverseg.sizes import ORDINARY_SIZES, Sizes

UNDEFINED_LENGTH = 0xFFFFFFFF
BYTE_BITS = 8
CT_CLASS = "1.2.840.10008.5.1.4.1.1.2"  # with which those of enhanced CT begin
IMPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
NATIVE_SYNTAXES = frozenset((IMPLICIT_LITTLE_ENDIAN, "1.2.840.10008.1.2.1", BIG_ENDIAN))

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


def ordinary_image(path: Path, sizes: Sizes = ORDINARY_SIZES) -> Slice | None:
    """The image of a file with an ordinary header, as nearly all are; pydicom is not asked.

    Args:
        path: a file whose head `looks_like_dicom`.
        sizes: what is too large.

    Returns:
        The image, or None when the header is not an ordinary one: `read_header` reads it then.

    Raises:
        ScanRejected: TOO_LARGE, or NOT_CT where its meta information names another class;
            UNREADABLE when the operating system does not let us read the file.
    """
    try:
        with path.open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            if size > sizes.file_bytes:
                _refuse_large(path, sizes)
            plain = _plain_header(file)
    except OSError as error:
        raise ScanRejected("UNREADABLE", f"a file could not be read: {error.strerror}") from error
    return None if plain is None else _plain_slice(plain, path, size)


def _refuse_large(path: Path, sizes: Sizes) -> NoReturn:
    """Refuse a file that is too large; what is of another kind can be no slice of a CT."""
    try:
        meta_class = str(read_file_meta_info(path).get("MediaStorageSOPClassUID", ""))
    except PARSE_ERRORS:
        meta_class = ""
    if meta_class and not meta_class.startswith(CT_CLASS):
        raise ScanRejected("NOT_CT", "a CT image is wanted; got a very large file of another class")
    raise ScanRejected("TOO_LARGE", f"files up to {sizes.file_bytes} bytes are read")


def read_header(path: Path, sizes: Sizes = ORDINARY_SIZES) -> tuple[Slice, Dataset | None]:
    """The header of one DICOM file; call it inside `quiet_pydicom`.

    Args:
        path: a file whose head `looks_like_dicom`.
        sizes: what is too large.

    Returns:
        The image, without what a multi-frame file says per frame, and for a file that may be one
        the data set it came from.

    Raises:
        ScanRejected: as `ordinary_image`; CORRUPT when the header cannot be parsed.
    """
    ordinary = ordinary_image(path, sizes)
    if ordinary is not None:
        return ordinary, None
    try:
        with path.open("rb") as buffered:
            unpacked = inflated(buffered, sizes.ratio)
            buffered.seek(0)
            item, dataset = _read_header(unpacked or buffered, path)
        if unpacked:  # its pixels have no place in the file
            known = len(unpacked.getbuffer())
            layout = replace(item.layout, offset=None, start=None, inflated_bytes=known)
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
    place: tuple[int | None, int | None] = (plain.pixel_offset, None)
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
        pixels, place, in_words = _pixel_data(file, dataset)
        item = _slice(dataset, path, (syntax, meta_class), pixels, place)
        if in_words and item.layout.bits_allocated == BYTE_BITS:
            item = replace(item, layout=replace(item.layout, in_words=True))
        return item, dataset
    except PARSE_ERRORS as error:
        raise ScanRejected("CORRUPT", "a DICOM header that cannot be parsed") from error


def _pixel_data(
    file: BinaryIO, dataset: Dataset
) -> tuple[Pixels, tuple[int | None, int | None], bool]:
    """Whether the pixel data is there and whole; where it starts and its length when native.

    Last whether it is in words, the high byte first.
    """
    _, little = dataset.original_encoding
    order = "<" if little else ">"
    start = file.tell()
    element = file.read(12)
    # The type, not what the file claims: a value's length is even, and these letters are odd.
    explicit = element[4:6] in (b"OB", b"OW", b"UN")
    head_bytes = 12 if explicit else 8
    if len(element) < head_bytes or struct.unpack(f"{order}HH", element[:4]) != (0x7FE0, 0x0010):
        return "absent", (None, None), False
    length = struct.unpack(f"{order}L", element[head_bytes - 4 : head_bytes])[0]
    start += head_bytes
    size = file.seek(0, os.SEEK_END)
    if length == UNDEFINED_LENGTH:
        return "whole", (start, None), False
    in_words = not little and element[4:6] == b"OW"
    return ("whole" if start + length <= size else "short"), (start, length), in_words


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
        slope=number(dataset, "RescaleSlope"),
        intercept=number(dataset, "RescaleIntercept"),
        rescale_type=text(dataset, "RescaleType"),
        phase=phase_values(dataset),
        lossy=text(dataset, "LossyImageCompression") == "01",
        frames=whole_number(dataset, "NumberOfFrames"),
        pixels=pixels,
        layout=_layout(dataset, place, syntax in NATIVE_SYNTAXES),
        instance=whole_number(dataset, "InstanceNumber"),
        acquired=whole_number(dataset, "ImagesInAcquisition"),
        thickness_mm=thickness[0] if thickness else None,
        samples=whole_number(dataset, "SamplesPerPixel"),
        modality_lut=bool(value_of(dataset, "ModalityLUTSequence")),
        description=ascii_text(dataset, "SeriesDescription"),
        hints=tuple(ascii_text(dataset, keyword) for keyword in HINT_KEYWORDS),
    )


def _layout(
    dataset: Dataset | PlainHeader, place: tuple[int | None, int | None], native: bool
) -> Layout:
    """The layout of the stored values; 0 where the file does not say."""
    start, length = place
    allocated = whole_number(dataset, "BitsAllocated") or 0
    stored = whole_number(dataset, "BitsStored") or allocated
    high_bit = whole_number(dataset, "HighBit")
    padding = whole_number(dataset, "PixelPaddingValue")
    limit = whole_number(dataset, "PixelPaddingRangeLimit")
    ends = None
    if padding is not None:
        ends = (padding, padding if limit is None else limit)
    return Layout(
        offset=start if native and length is not None else None,
        length=length if native else None,
        rows=whole_number(dataset, "Rows") or 0,
        columns=whole_number(dataset, "Columns") or 0,
        bits_allocated=allocated,
        bits_stored=stored,
        high_bit=stored - 1 if high_bit is None else high_bit,
        signed={0: False, 1: True, None: None}.get(whole_number(dataset, "PixelRepresentation")),
        padding=(min(ends), max(ends)) if ends else None,
        start=start,
    )
