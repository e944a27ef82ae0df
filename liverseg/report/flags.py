"""What a reader of a mask should look at: each rule in one place, with its sentence for people."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

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
UNEVEN = (
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


def flags_of(notes: Sequence[str]) -> tuple[Flag, ...]:
    """The flags of what discovery and reading said: a code of NOTED where there is one, or NOTE."""

    def code_of(sentence: str) -> str:
        return next((code for words, code in NOTED.items() if words in sentence), "NOTE")

    return tuple(Flag(code_of(sentence), sentence) for sentence in notes)


def judged(ml: float, mean_hu: float, sides: tuple[str, ...], found: Found) -> list[Flag]:
    """The flags of a liver.

    Args:
        ml: its volume.
        mean_hu: its mean.
        sides: of the field of view that it reaches, in patient terms.
        found: what else the pipeline knows.
    """
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
