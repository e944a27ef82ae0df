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
# Below this on a scan without contrast the liver has some 30 % of fat or more (Kodama et al. 2007,
# AJR 188:1307; Boyce et al. 2010, AJR 194:623). With contrast it means little.
LOW_ATTENUATION_HU = 40.0
# Pieces that cleaning removes are flagged from this share of the mask on: less does not change the
# volume by more than two readers differ. A convention of ours, not of the literature.
REMOVED_NOTED = 0.01
MM3_PER_ML = 1000.0
MM2_PER_CM2 = 100.0
# Decimals of ml, HU and mm in every file that this package writes.
DECIMALS = 2
# Of shares of 1.
SHARE_DECIMALS = 4

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
        code: NO_LIVER, CUT_BY_FIELD_OF_VIEW, IMPLAUSIBLE_VOLUME, SEVERAL_COMPONENTS,
            LOW_ATTENUATION, IRREGULAR_SPACING, a value of NOTED, or NOTE.
        sentence: one sentence, without identifiers of any kind.
    """

    code: str
    sentence: str


@dataclass(frozen=True)
class Found:
    """What the pipeline knows of a mask that the mask does not show.

    Args:
        components: connected components before cleaning, None when unknown.
        removed_share: of the mask before cleaning that cleaning removed, None when unknown.
        disagreement: of the network's heads, NaN when unknown.
    """

    components: int | None = None
    removed_share: float | None = None
    disagreement: float = math.nan


NOTHING_FOUND = Found()


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
        noted = (Flag("IRREGULAR_SPACING", _UNEVEN.format(voxel_sizes(affine)[2])), *noted)
    box = bounding_box(mask)
    if box is None:
        nan = math.nan
        flags = (Flag("NO_LIVER", "No liver was found in this scan."), *noted)
        return Quality(
            0.0,
            nan,
            nan,
            nan,
            (0.0, 0.0, 0.0),
            found.components,
            (),
            flags,
            removed_share=found.removed_share,
            disagreement=found.disagreement,
        )
    inside = image[box][mask[box] > 0].astype(np.float64)
    spacing_mm = voxel_sizes(affine)
    lengths = [(s.stop - s.start) * float(mm) for s, mm in zip(box, spacing_mm, strict=True)]
    voxels: float = inside.size
    if thickness is not None:
        voxels = float((mask > 0).sum(axis=(0, 1)) @ thickness)
        lengths[2] = float(thickness[box[2]].sum() * spacing_mm[2])
    ml = volume_ml(voxels, affine)
    contact = _border_contact(mask, affine)
    sides = tuple(side for side, _ in contact)
    mean_hu = float(inside.mean())
    return Quality(
        volume_ml=ml,
        mean_hu=mean_hu,
        median_hu=float(np.median(inside)),
        std_hu=float(inside.std()),
        extent_mm=(lengths[0], lengths[1], lengths[2]),
        components=found.components,
        touches_border=sides,
        flags=(*_judged(ml, mean_hu, sides, found), *noted),
        removed_share=found.removed_share,
        border_contact_cm2=contact,
        disagreement=found.disagreement,
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


def _judged(ml: float, mean_hu: float, sides: tuple[str, ...], found: Found) -> list[Flag]:
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
    removed, components = found.removed_share or 0.0, found.components or 0
    if components > 1 and removed >= REMOVED_NOTED:
        sentence = (
            f"The network found {components} separate pieces; the largest one was kept, "
            f"{removed:.1%} of the mask was not: see that it is the liver and that it is whole."
        )
        flags.append(Flag("SEVERAL_COMPONENTS", sentence))
    if mean_hu < LOW_ATTENUATION_HU:
        sentence = (
            f"The mean is {mean_hu:.0f} HU. On a scan without contrast less than "
            f"{LOW_ATTENUATION_HU:.0f} HU suggests a fatty liver (Kodama et al. 2007); whether "
            "contrast was given is not known here, and other causes are possible."
        )
        flags.append(Flag("LOW_ATTENUATION", sentence))
    return flags
