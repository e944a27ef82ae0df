"""How the values of slices become HU, as far as the headers say."""

from __future__ import annotations

import math
from collections.abc import Sequence

from liverseg.dicom.geometry import slice_name
from liverseg.dicom.image import Slice
from liverseg.errors import ScanRejected

UNSPECIFIED = {"": "HU", "US": "HU"}  # PS3.3 C.11.1.1.2; what the values are is looked at then


def require_one_rescale(slices: Sequence[Slice]) -> None:
    """Check that the slices say how their values become HU, by their headers alone.

    Raises:
        ScanRejected: NO_RESCALE for a rescale that some slices lack, or of another type, that is no
            number, a table, or makes every value the same; HU_IMPLAUSIBLE for one that makes none
            of a slice below 0.
    """
    if any(item.modality_lut for item in slices):
        raise ScanRejected(
            "NO_RESCALE", "a rescale should give HU; the images have a table (Modality LUT) instead"
        )
    for index, item in enumerate(slices):
        if math.isnan(item.slope or 0) or math.isnan(item.intercept or 0):
            name = slice_name(item.path, index, len(slices))
            raise ScanRejected(
                "NO_RESCALE", f"RescaleSlope and RescaleIntercept should be one number; in {name}"
            )
    for index, item in enumerate(slices):
        if _never_below_zero(item):
            name = slice_name(item.path, index, len(slices))
            raise ScanRejected(
                "HU_IMPLAUSIBLE",
                "HU should go below 0, as fat and air do; unsigned values with an intercept of "
                f"{item.intercept:g} cannot; in {name}",
            )
    types = [UNSPECIFIED.get(item.rescale_type.upper(), item.rescale_type) for item in slices]
    for index, item in enumerate(slices):
        if types[index] != types[0]:
            name = slice_name(item.path, index, len(slices))
            raise ScanRejected(
                "NO_RESCALE",
                f"slices should have one RescaleType; {name} has another than the first",
            )
    undeclared = [item.slope is None or item.intercept is None for item in slices]
    for index, item in enumerate(slices):
        name = slice_name(item.path, index, len(slices))
        if item.slope == 0:
            raise ScanRejected("NO_RESCALE", f"RescaleSlope should not be 0; it is in {name}")
        if item.slope is None and item.intercept is not None:
            # What the values would be without it may look like HU, and be half or twice as much.
            raise ScanRejected(
                "NO_RESCALE", f"RescaleSlope should be given with RescaleIntercept; not in {name}"
            )
        if undeclared[index] and not all(undeclared):
            raise ScanRejected(
                "NO_RESCALE",
                f"RescaleSlope and RescaleIntercept should be given in all slices; not in {name}",
            )


def is_undeclared(slices: Sequence[Slice]) -> bool:
    """Whether no header says that the values are HU, so that they have to look like it."""
    return any(
        item.intercept is None or item.slope is None or item.rescale_type not in ("", "HU")
        for item in slices
    )


def _never_below_zero(item: Slice) -> bool:
    """Whether what the image declares as HU has no air and no fat: the intercept was lost."""
    if item.slope is None or item.intercept is None or item.rescale_type not in ("", "HU"):
        return False
    return not item.layout.signed and item.slope > 0 and item.intercept >= 0
