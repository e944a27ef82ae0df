"""Measure a liver mask: its volume in ml, its Hounsfield units, where it touches the border."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from nibabel.affines import voxel_sizes
from nibabel.orientations import aff2axcodes

from liverseg.report.flags import NOTHING_FOUND, UNEVEN, Flag, Found, flags_of, judged
from liverseg.report.tally import Tally

MM3_PER_ML = 1000.0
# What was not scanned has one value, as low as scanners go, for so many voxels from the liver on.
PADDING_HU = -1024
PADDING_VOXELS = 3
PADDING_CM2 = 5.0  # less of it may be gas in the bowel
PADDED = "padded"  # beside the sides of the field of view
MM2_PER_CM2 = 100.0
# Decimals of ml, HU and mm in every file that this package writes.
DECIMALS = 2
# Of shares of 1.
SHARE_DECIMALS = 4

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
        removed_share: of the mask before cleaning that cleaning removed, None when unknown.
        border_contact_cm2: per touched side, how much of the liver's surface lies on the border.
        disagreement: of the network's heads, see liverseg.disagreement; NaN when unknown.
    """

    volume_ml: float
    mean_hu: float
    median_hu: float
    std_hu: float
    extent_mm: tuple[float, float, float]
    components: int | None
    touches_border: tuple[str, ...]
    flags: tuple[Flag, ...]
    removed_share: float | None = None
    border_contact_cm2: tuple[tuple[str, float], ...] = ()
    disagreement: float = math.nan

    def as_json(self) -> dict[str, Any]:
        """The keys of report.json: rounded, NaN as None (null)."""
        return {
            "volume_ml": rounded(self.volume_ml),
            "mean_hu": rounded(self.mean_hu),
            "median_hu": rounded(self.median_hu),
            "std_hu": rounded(self.std_hu),
            "extent_mm": [rounded(length) for length in self.extent_mm],
            "components": self.components,
            "removed_share": None
            if self.removed_share is None
            else round(self.removed_share, SHARE_DECIMALS),
            "touches_border": list(self.touches_border),
            "border_contact_cm2": {side: rounded(area) for side, area in self.border_contact_cm2},
            "disagreement": None
            if math.isnan(self.disagreement)
            else round(self.disagreement, SHARE_DECIMALS),
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
    found: Found = NOTHING_FOUND,
    notes: Sequence[str] = (),
    thickness: npt.NDArray[np.float64] | None = None,
) -> Quality:
    """Measure a liver mask and flag what a reader should look at.

    Args:
        image: (X, Y, Z) int16, HU.
        mask: (X, Y, Z) uint8, liver = 1, on the grid of image.
        affine: (4, 4), voxel to RAS mm.
        found: what else the pipeline knows of the mask.
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
        noted = (Flag("IRREGULAR_SPACING", UNEVEN.format(voxel_sizes(affine)[2])), *noted)
    box = bounding_box(mask)
    if box is None:
        return _without_liver(found, noted)
    tally = Tally.of(image[box], mask[box])
    voxels = tally.voxels if thickness is None else float((mask > 0).sum(axis=(0, 1)) @ thickness)
    ml, mean_hu = volume_ml(voxels, affine), tally.mean_hu
    contact = (*_border_contact(mask, affine), *_padding_contact(image, mask, box, affine))
    sides = tuple(side for side, _ in contact)
    return Quality(
        volume_ml=ml,
        mean_hu=mean_hu,
        median_hu=tally.median_hu,
        std_hu=tally.std_hu,
        extent_mm=_extent_mm(box, affine, thickness),
        components=found.components,
        touches_border=sides,
        flags=(*judged(ml, mean_hu, sides, found), *noted),
        removed_share=found.removed_share,
        border_contact_cm2=contact,
        disagreement=found.disagreement,
    )


def _without_liver(found: Found, noted: tuple[Flag, ...]) -> Quality:
    """What is measured on an empty mask."""
    return Quality(
        volume_ml=0.0,
        mean_hu=math.nan,
        median_hu=math.nan,
        std_hu=math.nan,
        extent_mm=(0.0, 0.0, 0.0),
        components=found.components,
        touches_border=(),
        flags=(Flag("NO_LIVER", "No liver was found in this scan."), *noted),
        removed_share=found.removed_share,
        disagreement=found.disagreement,
    )


def _extent_mm(
    box: tuple[slice, ...],
    affine: npt.NDArray[np.float64],
    thickness: npt.NDArray[np.float64] | None,
) -> tuple[float, float, float]:
    """Size of a box of voxels along the three array axes, in mm; thickness as for `measure`."""
    spacing_mm = voxel_sizes(affine)
    x, y, z = ((s.stop - s.start) * float(mm) for s, mm in zip(box, spacing_mm, strict=True))
    if thickness is not None:
        z = float(thickness[box[2]].sum() * spacing_mm[2])
    return x, y, z


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


def _border_contact(
    mask: npt.NDArray[np.uint8], affine: npt.NDArray[np.float64]
) -> tuple[tuple[str, float], ...]:
    """The sides of the field of view that the mask reaches, in patient terms, and how much, cm2."""
    area_cm2 = {}
    for axis, towards in enumerate(aff2axcodes(affine)):
        one, other = (affine[:3, edge] for edge in range(mask.ndim) if edge != axis)
        voxel_cm2 = float(np.linalg.norm(np.cross(one, other))) / MM2_PER_CM2
        for side, index in ((_OPPOSITE[towards], 0), (towards, -1)):
            voxels = int(np.count_nonzero(np.moveaxis(mask, axis, 0)[index]))
            if voxels:
                area_cm2[_SIDES[side]] = voxels * voxel_cm2
    return tuple((side, area_cm2[side]) for side in _SIDES.values() if side in area_cm2)


def _padding_contact(
    image: npt.NDArray[np.int16],
    mask: npt.NDArray[np.uint8],
    box: tuple[slice, ...],
    affine: npt.NDArray[np.float64],
) -> tuple[tuple[str, float], ...]:
    """How much of the mask borders on what was not scanned, in cm2; () where that is little.

    What lies outside the circle of a reconstruction, and slices that were left blank, have one
    value, the lowest of all, over several voxels.
    """
    lowest = int(image.min())
    if lowest > PADDING_HU:
        return ()
    around = tuple(
        slice(max(0, part.start - PADDING_VOXELS), part.stop + PADDING_VOXELS) for part in box
    )
    liver, empty = mask[around] > 0, image[around] == lowest
    area_cm2 = 0.0
    for axis in range(mask.ndim):
        one, other = (affine[:3, edge] for edge in range(mask.ndim) if edge != axis)
        voxel_cm2 = float(np.linalg.norm(np.cross(one, other))) / MM2_PER_CM2
        inside, outside = np.moveaxis(liver, axis, 0), np.moveaxis(empty, axis, 0)
        for step in (1, -1):
            inner, outer = inside[::step], outside[::step]
            faces = inner[:-1] & outer[1:]
            if not faces.any():
                continue
            at, first, second = np.nonzero(faces)
            padded = np.ones(at.size, dtype=bool)
            for further in range(2, PADDING_VOXELS + 1):
                # Beyond the image there is nothing either.
                there = np.minimum(at + further, len(outer) - 1)
                padded &= outer[there, first, second]
            area_cm2 += int(np.count_nonzero(padded)) * voxel_cm2
    return ((PADDED, area_cm2),) if area_cm2 >= PADDING_CM2 else ()
