"""One scan: what is known of it before it is read, and the volume that is read of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from liverseg.dicom.geometry import uneven_positions
from liverseg.dicom.image import Slice
from liverseg.dicom.volume import bright_padding, read_volume
from liverseg.errors import ScanRejected
from liverseg.nifti import read_nifti
from liverseg.packed import Packed, at_hand
from liverseg.sizes import ORDINARY_SIZES, Sizes

NAN = float("nan")
AIR_HU = -1024  # what is outside the field of view


def spacing_of(affine: NDArray[np.float64]) -> tuple[float, float, float]:
    """(x, y, z) mm: between columns, between rows, and between slices along their normal.

    Their product is the volume of a voxel, of a tilted gantry too, where the third is less than the
    step from slice to slice.

    Args:
        affine: (4, 4), voxel to mm.
    """
    along_row, along_column, step = affine[:3, :3].T
    normal = np.cross(along_row, along_column)
    height = abs(float(step @ normal)) / float(np.linalg.norm(normal))
    return float(np.linalg.norm(along_row)), float(np.linalg.norm(along_column)), height


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
        fingerprint: what liverseg.fingerprint makes of its content; "" until then.
        packed: how its files come to their places, for those that came out of archives.
        sizes: what is too large.
        whole_content_known: whether the case id of a NIfTI file rests on all of it.
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
    packed: tuple[Packed, ...] = ()
    sizes: Sizes = ORDINARY_SIZES
    whole_content_known: bool = True

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
        padding: HU, lowest and highest, that mean "no data" and look like bone; None where
            there is no such padding. What is darker than air needs no word.
    """

    image: NDArray[np.int16]
    affine: NDArray[np.float64]
    notes: tuple[str, ...]
    positions: NDArray[np.float64] | None = None
    padding: tuple[int, int] | None = None

    def without_padding(self) -> NDArray[np.int16]:
        """(X, Y, Z) HU, bright padding replaced by air: a network must not take it for bone."""
        if self.padding is None:
            return self.image
        low, high = self.padding
        padded = (self.image >= low) & (self.image <= high)
        return np.where(padded, np.int16(AIR_HU), self.image)


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
    with at_hand(scan.files, scan.packed):
        if scan.kind == "nifti":
            return Volume(*read_nifti(scan.files[0], scan.sizes))
        image, affine, notes = read_volume(scan.images)
    padding = bright_padding(scan.images)
    if padding:
        notes = (*notes, f"padding of {padding[0]} HU was taken for air")
    return Volume(image, affine, (*scan.notes, *notes), uneven_positions(scan.images), padding)
