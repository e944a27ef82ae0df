"""What is known of one image before its pixels are read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Pixels = Literal["whole", "absent", "short"]


@dataclass(frozen=True)
class Layout:
    """How the stored values of one file lie in its pixel data (PS3.5 8).

    Attributes:
        offset: where native pixel data starts in the file, in bytes; None when it must be decoded.
        length: of native pixel data as declared, in bytes; None when it must be decoded.
        rows: values along a column of the image.
        columns: values along a row of the image.
        bits_allocated: of a stored value.
        bits_stored: of a stored value, the others may hold anything.
        high_bit: the highest of the stored bits.
        signed: two's complement.
        padding: stored values, lowest and highest, that mean "no data"; None when not given.
    """

    offset: int | None
    length: int | None
    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    padding: tuple[int, int] | None


@dataclass(frozen=True)
class Slice:
    """One image: a file, or a frame of a multi-frame file.

    Texts are "" and numbers None where the file does not say. Positions, directions and spacing
    are in mm in the patient's LPS system, as in the file.
    """

    path: Path
    frame: int | None
    sop_class: str
    sop_uid: str
    study_uid: str
    series_uid: str
    patient_key: str
    modality: str
    image_type: tuple[str, ...]
    transfer_syntax: str
    photometric: str
    frame_of_reference: str
    spacing_mm: tuple[float, float] | None
    orientation: tuple[float, ...] | None
    position: tuple[float, ...] | None
    slope: float | None
    intercept: float | None
    rescale_type: str
    phase: tuple[str, ...]
    lossy: bool
    frames: int | None
    pixels: Pixels
    layout: Layout
    instance: int | None = None  # InstanceNumber
    acquired: int | None = None  # ImagesInAcquisition
    samples: int | None = None  # SamplesPerPixel
    thickness_mm: float | None = None
    refused: tuple[str, str] | None = None  # code and reason that condemn the series
