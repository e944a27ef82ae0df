"""Inflate a deflated DICOM file (PS3.5 A.5) in memory, up to a limit."""

from __future__ import annotations

import os
import zlib
from io import BytesIO
from typing import BinaryIO

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from liverseg.dicom.values import PARSE_ERRORS, value_of
from liverseg.errors import ScanRejected

FREE_BYTES = 64 << 20  # that no ratio forbids: a slice of air alone packs very well
PREAMBLE = bytes(128) + b"DICM"


def inflated(file: BinaryIO, ratio: float, known_bytes: int = 0) -> BytesIO | None:
    """What a deflated file holds, as a file of explicit VR little endian.

    Args:
        file: an open DICOM file, at its start; call it inside `quiet_pydicom`.
        ratio: of inflated to packed bytes that is too much, above FREE_BYTES.
        known_bytes: that the file is known to become, which are not too much.

    Returns:
        The file, at its start; None when it is not deflated.

    Raises:
        ScanRejected: TOO_LARGE beyond the limit, TRUNCATED when the stream has no end, CORRUPT
            when it cannot be inflated.
    """
    if file.read(len(PREAMBLE))[-4:] != PREAMBLE[-4:]:
        return None
    try:
        meta = read_dataset(file, False, True, stop_when=lambda tag, vr, length: tag.group > 2)
    except PARSE_ERRORS:
        return None  # whoever reads the file will say so
    if value_of(meta, "TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        return None
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    limit = max(int(ratio * os.fstat(file.fileno()).st_size), FREE_BYTES, known_bytes)
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        content = unpacker.decompress(file.read(), limit)
    except zlib.error as error:
        raise ScanRejected("CORRUPT", "a deflated file that cannot be inflated") from error
    if not unpacker.eof:
        if len(content) >= limit:
            raise ScanRejected("TOO_LARGE", f"at most {limit} bytes are inflated from the file")
        raise ScanRejected("TRUNCATED", "a deflated file ends before its data does")
    return _plain_file(meta, content)


def _plain_file(meta: Dataset, content: bytes) -> BytesIO:
    """A file of a meta information and a data set."""
    whole = BytesIO()
    whole.write(PREAMBLE)
    try:
        information = FileMetaDataset(meta)
        write_file_meta_info(DicomIO(whole), information, enforce_standard=False)
    except PARSE_ERRORS as error:
        raise ScanRejected("CORRUPT", "a file meta information that cannot be parsed") from error
    whole.write(content)
    whole.seek(0)
    return whole
