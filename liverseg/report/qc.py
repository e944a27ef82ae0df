"""Judge a liver mask: its volume in ml, its Hounsfield units, and what a reader should look at."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from nibabel.affines import voxel_sizes
from nibabel.orientations import aff2axcodes

# A mask outside these limits is worth a look; it is flagged, never refused. Below: the smallest of
# 369 healthy adults measured 594 ml (Feng et al. 2017, World J Gastroenterol 23:4968). Above:
# enlarged polycystic livers of men measured 2022 +- 749 ml (HALT-PKD, PMC4267913), mean + 2.6 SD.
LOWEST_PLAUSIBLE_ML = 500.0
HIGHEST_PLAUSIBLE_ML = 4000.0
MM3_PER_ML = 1000.0
# Decimals of ml, HU and mm in every file that this package writes.
DECIMALS = 2

_UNEVEN = (
    "The slices are unevenly spaced: the volume counts each with its own thickness; the affine of "
    "the files has their mean spacing, {:.2f} mm."
)
# What reading says of a scan, by the words it says it with, and the code that a list can hold.
NOTED = {
    "were compressed with loss": "LOSSY",
    "may have been compressed with loss": "MAYBE_LOSSY",
    "reformatted series": "REFORMATTED",
    "gantry tilt": "TILTED",
    "no DICOM SEG": "NO_UIDS",
}
_SIDES = {
    "L": "left",
    "R": "right",
    "A": "anterior",
    "P": "posterior",
    "I": "inferior",
    "S": "superior",
}
_OPPOSITE = {"L": "R", "R": "L", "A": "P", "P": "A", "I": "S", "S": "I"}


@dataclass(frozen=True)
class Flag:
    """Something a reader should look at.

    Args:
        code: NO_LIVER, CUT_BY_FIELD_OF_VIEW, IMPLAUSIBLE_VOLUME, IRREGULAR_SPACING, a value of
            NOTED, or NOTE.
        sentence: one sentence, without identifiers of any kind.
    """

    code: str
    sentence: str


@dataclass(frozen=True)
class Quality:
    """What is measured on one mask; exact, to be rounded by `rounded` when written.

    Args:
        volume_ml: 0.0 where no liver was found.
        mean_hu: NaN where no liver was found; so are the two below.
        median_hu: as mean_hu.
        std_hu: population standard deviation.
        extent_mm: size of the bounding box along the three array axes; zeros without a liver.
        components: connected components before cleaning, None when unknown.
        touches_border: sides of the field of view that the liver touches, in patient terms.
        flags: what a reader should look at.
    """

    volume_ml: float
    mean_hu: float
    median_hu: float
    std_hu: float
    extent_mm: tuple[float, float, float]
    components: int | None
    touches_border: tuple[str, ...]
    flags: tuple[Flag, ...]

    def as_json(self) -> dict[str, Any]:
        """The keys of report.json: rounded, NaN as None (null)."""
        return {
            "volume_ml": rounded(self.volume_ml),
            "mean_hu": rounded(self.mean_hu),
            "median_hu": rounded(self.median_hu),
            "std_hu": rounded(self.std_hu),
            "extent_mm": [rounded(length) for length in self.extent_mm],
            "components": self.components,
            "touches_border": list(self.touches_border),
            "flags": [{"code": flag.code, "sentence": flag.sentence} for flag in self.flags],
        }


def rounded(value: float) -> float | None:
    """A number as every file of this package shows it: two decimals, None where undefined."""
    return None if math.isnan(value) else round(float(value), DECIMALS)


def volume_ml(voxels: float, affine: npt.NDArray[np.float64]) -> float:
    """Volume of a number of voxels, in ml.

    Args:
        voxels: how many; unevenly spaced ones count as their thickness says.
        affine: (4, 4), voxel to mm. Its determinant is right for tilted (sheared) grids too, where
            the product of the three spacings is not.
    """
    return voxels * abs(float(np.linalg.det(affine[:3, :3]))) / MM3_PER_ML


def measure(
    image: npt.NDArray[np.int16],
    mask: npt.NDArray[np.uint8],
    affine: npt.NDArray[np.float64],
    *,
    components: int | None = None,
    notes: Sequence[str] = (),
    thickness: npt.NDArray[np.float64] | None = None,
) -> Quality:
    """Measure a liver mask and flag what a reader should look at.

    Args:
        image: (X, Y, Z) int16, HU.
        mask: (X, Y, Z) uint8, liver = 1, on the grid of image.
        affine: (4, 4), voxel to RAS mm.
        components: connected components before cleaning, if known.
        notes: sentences from discovery and reading, each becomes a flag.
        thickness: (Z,) of unevenly spaced slices, in steps of the affine; the volume is then the
            sum of area times thickness.

    Returns:
        The measurements. An empty mask is a result, not an error: 0.0 ml, HU and spread NaN, flag
        NO_LIVER.

    Raises:
        ValueError: image and mask differ in shape.
    """
    if image.shape != mask.shape:
        raise ValueError(f"mask should have the image's shape {image.shape}; got {mask.shape}")
    noted = flags_of(notes)
    if thickness is not None:
        noted = (Flag("IRREGULAR_SPACING", _UNEVEN.format(voxel_sizes(affine)[2])), *noted)
    box = bounding_box(mask)
    if box is None:
        nan = math.nan
        flags = (Flag("NO_LIVER", "No liver was found in this scan."), *noted)
        return Quality(0.0, nan, nan, nan, (0.0, 0.0, 0.0), components, (), flags)
    inside = image[box][mask[box] > 0].astype(np.float64)
    spacing_mm = voxel_sizes(affine)
    lengths = [(s.stop - s.start) * float(mm) for s, mm in zip(box, spacing_mm, strict=True)]
    voxels: float = inside.size
    if thickness is not None:
        voxels = float((mask > 0).sum(axis=(0, 1)) @ thickness)
        lengths[2] = float(thickness[box[2]].sum() * spacing_mm[2])
    ml = volume_ml(voxels, affine)
    sides = _touched_sides(box, mask.shape, affine)
    return Quality(
        volume_ml=ml,
        mean_hu=float(inside.mean()),
        median_hu=float(np.median(inside)),
        std_hu=float(inside.std()),
        extent_mm=(lengths[0], lengths[1], lengths[2]),
        components=components,
        touches_border=sides,
        flags=(*_judged(ml, sides), *noted),
    )


def flags_of(notes: Sequence[str]) -> tuple[Flag, ...]:
    """The flags of what discovery and reading said: a code of NOTED where there is one, or NOTE."""

    def code_of(sentence: str) -> str:
        return next((code for words, code in NOTED.items() if words in sentence), "NOTE")

    return tuple(Flag(code_of(sentence), sentence) for sentence in notes)


def bounding_box(mask: npt.NDArray[np.uint8]) -> tuple[slice, ...] | None:
    """The smallest box that holds the mask, as slices of the array's axes; None for an empty mask.

    Args:
        mask: array of any dimension, nonzero inside.
    """
    box = []
    for axis in range(mask.ndim):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        occupied = np.flatnonzero(mask.any(axis=others))
        if occupied.size == 0:
            return None
        box.append(slice(int(occupied[0]), int(occupied[-1]) + 1))
    return tuple(box)


def _touched_sides(
    box: tuple[slice, ...], shape: tuple[int, ...], affine: npt.NDArray[np.float64]
) -> tuple[str, ...]:
    """Names of the sides of the field of view that the box reaches, in patient terms."""
    codes = aff2axcodes(affine)
    sides = []
    for extent, length, towards in zip(box, shape, codes, strict=True):
        if extent.start == 0:
            sides.append(_SIDES[_OPPOSITE[towards]])
        if extent.stop == length:
            sides.append(_SIDES[towards])
    return tuple(side for side in _SIDES.values() if side in sides)


def _judged(ml: float, sides: tuple[str, ...]) -> list[Flag]:
    flags = []
    if sides:
        sentence = (
            f"The liver reaches the {', '.join(sides)} border of the scan: "
            "the volume is of the part that was scanned."
        )
        flags.append(Flag("CUT_BY_FIELD_OF_VIEW", sentence))
    if not LOWEST_PLAUSIBLE_ML <= ml <= HIGHEST_PLAUSIBLE_ML:
        sentence = (
            f"The volume is {ml:.2f} ml; adult livers measure "
            f"{LOWEST_PLAUSIBLE_ML:.0f} to {HIGHEST_PLAUSIBLE_ML:.0f} ml."
        )
        flags.append(Flag("IMPLAUSIBLE_VOLUME", sentence))
    return flags
