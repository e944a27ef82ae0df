"""What one image of a CT class is by its own words: a slice, a localizer, a projection, a page."""

from __future__ import annotations

import re
from itertools import pairwise

from liverseg.dicom.image import Slice

# Words of ImageType, which also holds VolumeBasedCalculationTechnique (PS3.3 C.8.15.2.1).
LOCALIZER_WORDS = frozenset(("LOCALIZER", "SCOUT", "TOPOGRAM", "SURVEY", "SCANOGRAM"))
PROJECTION_WORDS = frozenset(
    ("MIP", "MINIP", "MAXIP", "THICKMIP", "PROJECTION", "VRT", "VOLREN", "SSD")
)
PROJECTION_PAIRS = frozenset(
    (
        ("MIN", "IP"),
        ("MAX", "IP"),
        ("VOLUME", "RENDER"),
        ("SURFACE", "RENDER"),
        ("CURVED", "MPR"),
        ("MPR", "CURVED"),
    )
)
# Of derived images: what was taken of several values (PS3.3 C.8.16.1.4).
EXTREMES = frozenset(("MAXIMUM", "MINIMUM"))
# Words of SeriesDescription that say projection where ImageType says no more than derived.
DESCRIBED_WORDS = frozenset(("MIP", "MIPS", "MINIP", "MAXIP", "THICKMIP", "VRT"))
# Values of ImageType of what is computed from several energies or times and is no HU
# (PS3.3 C.8.15.2.1.1, multi-energy and perfusion).
MAP_VALUES = frozenset(
    ("MAT_SPECIFIC", "MAT_FRACTIONAL", "MAT_VALUE_BASED", "EFF_ATOMIC_NUM", "ELECTRON_DENSITY")
    + ("CBF", "CBV", "MTT", "TTP", "TMAX", "PERMEABILITY")
)
REFORMAT_WORDS = frozenset(("MPR", "REFORMATTED", "CPR"))
PAGE_WORDS = frozenset(("SCREEN", "OTHER", "DOSE", "PROTOCOL"))
NO_WORD = re.compile(r"[^A-Z0-9]+")
GREY = ("MONOCHROME1", "MONOCHROME2", "")


def is_localizer(item: Slice) -> bool:
    """Whether ImageType calls the image a scout."""
    return bool(LOCALIZER_WORDS.intersection(_words(item)))


def is_projection(item: Slice) -> bool:
    """Whether ImageType says that a slab was projected onto the image."""
    words = _words(item)
    derived = words[:1] == ["DERIVED"] and EXTREMES.intersection(words)
    described = words[:2] == ["DERIVED", "SECONDARY"] and DESCRIBED_WORDS.intersection(
        NO_WORD.split(item.description.upper())
    )
    return bool(derived or described or PROJECTION_WORDS.intersection(words) or _pairs(words))


def is_map(item: Slice) -> bool:
    """Whether ImageType says that the values are no HU: a material, a number, a flow."""
    return bool(MAP_VALUES.intersection(value.upper() for value in item.image_type))


def is_reformatted(item: Slice) -> bool:
    """Whether ImageType says that the image was cut out of a volume."""
    return bool(REFORMAT_WORDS.intersection(_words(item)))


def is_page(item: Slice) -> bool:
    """Whether the image is no slice but a page for people: in colour, or a screen without a place.

    A slice that has merely lost its position is none, nor is one that is cut within its header.
    """
    placeless = item.position is None and item.orientation is None
    screen = placeless and bool(PAGE_WORDS.intersection(_words(item)))
    return item.pixels == "whole" and (item.photometric.upper() not in GREY or screen)


def _words(item: Slice) -> list[str]:
    """The words of ImageType, in capitals; values are split at blanks, underscores and hyphens."""
    values = [value.upper().replace("_", " ").replace("-", " ") for value in item.image_type]
    return [word for value in values for word in value.split()]


def _pairs(words: list[str]) -> frozenset[tuple[str, str]]:
    """The neighbouring words that say projection."""
    return PROJECTION_PAIRS.intersection(pairwise(words))
