"""What is known of one image before its pixels are read."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

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
        signed: two's complement; None where the file does not say.
        padding: stored values, lowest and highest, that mean "no data"; None when not given.
        start: where the value of the pixel data starts in the file, compressed or not; None where
            it has no place in the file.
        inflated_bytes: of the whole file when it is deflated, else 0.
        in_words: values of 8 bits lie in words of 16, the second one first (PS3.5 A.3, OW).
    """

    offset: int | None
    length: int | None
    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool | None
    padding: tuple[int, int] | None
    start: int | None = None
    inflated_bytes: int = 0
    in_words: bool = False


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
    modality_lut: bool = False  # stored values become others by a table, not by a rescale
    description: str = ""  # SeriesDescription, ASCII only; may hold a name: never shown
    hints: tuple[str, ...] = ()  # values of HINT_KEYWORDS; never shown
    refused: tuple[str, str] | None = None  # code and reason that condemn the series


def as_json(item: Slice) -> dict[str, Any]:
    """The slice in types that JSON has, without its path."""
    values = asdict(item)
    del values["path"]
    return values


def from_json(values: dict[str, Any], path: Path) -> Slice:
    """What `as_json` gave, sent as JSON, which has lists for tuples.

    Raises:
        KeyError: a field is missing.
    """
    named = {field.name: _tuples(values[field.name]) for field in fields(Slice)[1:]}
    layout = {field.name: _tuples(values["layout"][field.name]) for field in fields(Layout)}
    return Slice(path=path, **(named | {"layout": Layout(**layout)}))


def _tuples(value: Any) -> Any:
    """A value with tuples for lists."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
