"""The images of one DICOM file: one, the frames of a multi-frame CT, or none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from liverseg.dicom.frames import frames_of
from liverseg.dicom.header import CT_CLASS, ordinary_image, read_header
from liverseg.dicom.image import Slice
from liverseg.errors import ScanRejected
from liverseg.sizes import ORDINARY_SIZES, Sizes

# CT, Enhanced CT, Legacy Converted Enhanced CT Image Storage
CT_CLASSES = frozenset((CT_CLASS, f"{CT_CLASS}.1", f"{CT_CLASS}.2"))
ENHANCED_CLASSES = CT_CLASSES - {CT_CLASS}
DICOMDIR_CLASS = "1.2.840.10008.1.3.10"

# How the images of a file are had; raises ScanRejected as `images_of`.
Images = Callable[[Path, Sizes], list[Slice]]


def images_of(path: Path, sizes: Sizes = ORDINARY_SIZES) -> list[Slice]:
    """Read the header of a file; call it inside `quiet_pydicom`.

    Args:
        path: a file that `looks_like_dicom`.
        sizes: what is too large.

    Returns:
        One image, a frame each of a multi-frame CT, or none of the index of a disc (DICOMDIR).
        One with `refused` set is a CT that is named and cannot be read.

    Raises:
        ScanRejected: CORRUPT, TRUNCATED, TOO_LARGE or UNREADABLE.
    """
    whole, dataset = read_header(path, sizes)
    found = _sound(whole)
    if not found or whole.sop_class not in ENHANCED_CLASSES or dataset is None:
        return found
    try:
        return frames_of(whole, dataset, sizes.slices)
    except ScanRejected as error:
        # Kept with its identifiers, so that it is refused under its own series.
        return [replace(whole, refused=(error.code, error.detail))]


def ordinary_images(path: Path, sizes: Sizes = ORDINARY_SIZES) -> list[Slice] | None:
    """As `images_of`, for an ordinary header, which no other library need parse; else None."""
    whole = ordinary_image(path, sizes)
    return None if whole is None else _sound(whole)


def may_be_ct(sop_class: str) -> bool:
    """Whether a class is a CT's, or the beginning of one, since a UID may be cut, too."""
    return any(uid.startswith(sop_class) for uid in CT_CLASSES)


def _sound(whole: Slice) -> list[Slice]:
    """The image, or none of a DICOMDIR."""
    if whole.sop_class == DICOMDIR_CLASS:
        return []
    if may_be_ct(whole.sop_class) and not whole.series_uid and whole.pixels == "absent":
        raise ScanRejected("TRUNCATED", "a DICOM file ends before its identifiers and its pixels")
    if not whole.sop_class and whole.modality == "CT" and whole.position and whole.orientation:
        # Anonymised without care: an image with a place, of a CT, is what the others beside it are.
        return [replace(whole, sop_class=CT_CLASS)]
    return [whole]
