"""What a part of a series must be to make a volume of its own."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import numpy as np

from liverseg.dicom.geometry import SAME_POSITION_MM, SPACING_TOLERANCE, heights_mm, is_even
from liverseg.dicom.image import Slice
from liverseg.dicom.phases import MIN_SLICES
from liverseg.errors import ScanRejected


def require_single(slices: Sequence[Slice]) -> None:
    """Check that every position holds one slice.

    Raises:
        ScanRejected: AMBIGUOUS_POSITIONS when positions repeat, since no tag separates them.
    """
    heights = heights_mm(slices)
    places = place_numbers(heights)
    most = int(np.bincount(places).max())
    if most > 1:
        repeated = int(np.bincount(places).argmax())
        where = heights[places == repeated][0] - heights.min()
        raise ScanRejected(
            "AMBIGUOUS_POSITIONS",
            f"every position should hold one slice; {most} at {where:.3f} mm above the lowest, and "
            "no acquisition, phase, kernel, kVp, type or time tells them apart",
        )


def require_apart(parts: Sequence[Sequence[Slice]]) -> None:
    """Check that no part of a stack goes on where another one ends, as pieces of one scan would.

    Raises:
        ScanRejected: AMBIGUOUS_POSITIONS.
    """
    rows = []
    for part in parts:
        if is_volume(part):
            low, high = range_mm(part, parts[0][0])
            rows.append((low, high, (high - low) / (len(part) - 1)))
    for first, second in permutations(rows, 2):
        gap = second[0] - first[1]
        steps = (first[2], second[2])
        if max(abs(gap - step) for step in steps) <= SPACING_TOLERANCE * gap:
            raise ScanRejected(
                "AMBIGUOUS_POSITIONS",
                f"volumes under one SeriesInstanceUID should be whole; two of {len(parts)} go on "
                f"where another one ends, {gap:.3f} mm from it, and may be pieces of one scan",
            )


def is_volume(slices: Sequence[Slice]) -> bool:
    """Whether slices are enough, at even steps, no place twice."""
    return len(slices) >= MIN_SLICES and is_even(slices)


def range_mm(group: Sequence[Slice], reference: Slice) -> tuple[float, float]:
    """The lowest and the highest slice, along the normal of the reference, in mm."""
    heights = heights_mm([reference, *group])[1:]
    return float(heights.min()), float(heights.max())


def place_numbers(
    heights: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """(N,) the rank of each slice's position; one rank for positions that are the same."""
    order = np.argsort(heights, kind="stable")
    ranks = np.cumsum(np.diff(heights[order], prepend=heights[order[:1]]) > SAME_POSITION_MM)
    places = np.empty(len(heights), dtype=np.int64)
    places[order] = ranks
    return places
