"""Plain Python values of DICOM elements: None or "" where an element is absent or nonsense."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Sequence
from typing import Any, Protocol

from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.uid import UID

# What may differ between two phases or reconstructions under one SeriesInstanceUID. The first
# four are names of a part, the last two are times.
PART_KEYWORDS = (
    "AcquisitionNumber",
    "TemporalPositionIdentifier",
    "ConvolutionKernel",
    "KVP",
)
# What may differ between two volumes where none of those does; looked at where positions repeat.
HINT_KEYWORDS = (
    "TriggerTime",
    "NominalPercentageOfCardiacPhase",
    "ContrastBolusAgent",
    "SliceThickness",
    "ReconstructionDiameter",
    "FilterType",
    "SeriesNumber",
    "SeriesDescription",
    "ProtocolName",
    "ImageComments",
    "SeriesTime",
    "TemporalPositionTimeOffset",
    "NominalPercentageOfRespiratoryPhase",
)
TIME_KEYWORDS = ("Acquisition", "Content")  # ...Date and ...Time, or ...DateTime
# PS3.3 C.7.3.1.1.1, what lies in folders with CT.
MODALITIES = frozenset(
    ("CT", "MR", "PT", "NM", "US", "CR", "DX", "MG", "XA", "RF", "ES", "XC", "SM", "ECG")
    + ("SR", "KO", "PR", "DOC", "AU", "SEG", "REG", "FID", "RWV", "SC", "OT", "PLAN", "M3D")
    + ("RTIMAGE", "RTDOSE", "RTSTRUCT", "RTPLAN", "RTRECORD", "HD", "IO", "OP", "BI", "LS")
)
PHASE_KEYWORDS = (*PART_KEYWORDS, *TIME_KEYWORDS)


class Elements(Protocol):
    """What values are taken from: a pydicom Dataset, or a PlainHeader."""

    @property
    def original_encoding(self) -> tuple[bool | None, bool | None]:
        """Whether the data set is implicit, and whether it is little endian."""

    def get(self, keyword: str, /) -> Any:
        """The value of an element."""


# What pydicom raises, also when an element is first asked for, on bytes that are no data set.
PARSE_ERRORS = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    NotImplementedError,
    OverflowError,
    RecursionError,
    EOFError,
    struct.error,
    zlib.error,
    BytesLengthException,
    InvalidDicomError,
)


def value_of(dataset: Elements, keyword: str) -> Any:
    """The element's value as pydicom has it; None when absent, empty or impossible to parse."""
    try:
        value = dataset.get(keyword)
    except (OSError, *PARSE_ERRORS):  # of a sequence that ends early; no file is open any more
        return None
    return None if value is None or value == "" else value


def texts(dataset: Elements, keyword: str) -> tuple[str, ...]:
    """The element's values as stripped texts; () when absent."""
    value = value_of(dataset, keyword)
    if value is None:
        return ()
    several = not isinstance(value, (str, bytes)) and isinstance(value, Sequence)
    return tuple(str(item).strip(" \0") for item in (value if several else (value,)))


def text(dataset: Elements, keyword: str) -> str:
    r"""The element's value as one text, several values joined by a backslash; "" when absent."""
    return "\\".join(texts(dataset, keyword))


def numbers(dataset: Elements, keyword: str, count: int) -> tuple[float, ...] | None:
    """The element's `count` finite numbers; None when absent, unparsable or of another count."""
    found_texts = texts(dataset, keyword)
    if any("_" in item for item in found_texts):  # Python's, not DICOM's
        return None
    try:
        found = tuple(float(item) for item in found_texts)
    except ValueError:
        return None
    return found if len(found) == count and all(map(math.isfinite, found)) else None


def number(dataset: Elements, keyword: str) -> float | None:
    """The element's one number; None when absent, NaN when it is there and is no such number."""
    if not any(texts(dataset, keyword)):
        return None
    found = numbers(dataset, keyword, 1)
    return found[0] if found else math.nan


def whole_number(dataset: Elements, keyword: str) -> int | None:
    """The element's whole number; None when absent or no number."""
    value = value_of(dataset, keyword)
    if isinstance(value, bytes):  # US or SS, before pydicom knows which
        return int.from_bytes(value, "little" if dataset.original_encoding[1] else "big")
    try:
        number = value.strip(" \0") if isinstance(value, str) else value
        return None if number is None else int(number)
    except (ValueError, TypeError, OverflowError):
        return None


def phase_values(dataset: Elements) -> tuple[str, ...]:
    """The values of PHASE_KEYWORDS; times as digits that sort, with the date before them."""
    parts = [text(dataset, keyword) for keyword in PART_KEYWORDS]
    times = []
    for keyword in TIME_KEYWORDS:
        date, time = text(dataset, f"{keyword}Date"), text(dataset, f"{keyword}Time")
        times.append(f"{date}{time}" if time else text(dataset, f"{keyword}DateTime"))
    return (*parts, *times)


def ascii_text(dataset: Elements, keyword: str) -> str:
    """The element's text without what is no ASCII: alike however its character set is read."""
    return text(dataset, keyword).encode("ascii", "ignore").decode().strip()


def counted(count: int, one: str, several: str) -> str:
    """A number with its words, for a message."""
    return f"{count} {one if count == 1 else several}"


def known_modality(modality: str) -> str:
    """A modality of the standard; "" for any other word, which might be about a patient."""
    return modality if modality in MODALITIES else ""


def standard_name(uid: str) -> str:
    """The name of a UID of the standard's own; "" for any other, which might be a patient's."""
    name = UID(uid).name
    return "" if name == uid else name
