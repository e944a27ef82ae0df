"""Take apart the volumes that share a SeriesInstanceUID: phases and reconstructions."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain, pairwise
from typing import Any

import numpy as np

from liverseg.dicom.geometry import SAME_POSITION_MM, heights_mm, is_even
from liverseg.dicom.image import Slice
from liverseg.dicom.parts import is_volume, place_numbers, range_mm
from liverseg.dicom.phases import (
    MIN_SLICES,
    MOST_BETWEEN,
    by_time,
    numbered_in_place,
    turn_by_turn,
)
from liverseg.dicom.values import HINT_KEYWORDS, PART_KEYWORDS, PHASE_KEYWORDS
from liverseg.errors import ScanRejected

INTERLEAVING_KEYWORDS = ("AcquisitionNumber", "TemporalPositionIdentifier")
THICKNESS_TOLERANCE = 0.02  # of SliceThickness: gaps this close to it leave nothing out
RECONSTRUCTION_KEYWORDS = ("ConvolutionKernel", "KVP")  # one volume has one of each
ROW_TOLERANCE = 0.05  # of the step of a row of slices
MOST_STEPS = 3  # from slice to slice of a row: more are a space between two scans
LEAST_OF_LONGEST = 0.9  # slices of a volume that has no value, of those of the longest
SPACING_DIGITS = 4  # of mm
HINT_DIGITS = 2
Key = Callable[[Slice], object]


def by_frame_of_reference(slices: Sequence[Slice]) -> list[list[Slice]]:
    """Split slices whose positions do not refer to the same origin (PS3.3 C.7.4.1).

    Args:
        slices: of one orientation; without a frame of reference they are in that of the others.

    Returns:
        One list a frame of reference; one when there is nothing to split.

    Raises:
        ScanRejected: AMBIGUOUS_POSITIONS when a frame of reference has too few slices to be a
            volume of its own.
    """
    groups: dict[str, list[Slice]] = defaultdict(list)
    for item in slices:
        groups[item.frame_of_reference].append(item)
    if len(groups) < 2 or (len(groups) == 2 and "" in groups):
        return [list(slices)]
    fewest = min(map(len, groups.values()))
    if fewest < MIN_SLICES:
        raise ScanRejected(
            "AMBIGUOUS_POSITIONS",
            f"slices should share a frame of reference; {len(groups)} found, one of them for "
            f"{fewest} slices",
        )
    return list(groups.values())


def parts_of(slices: Sequence[Slice]) -> list[list[Slice]]:
    """Split a series that holds several volumes.

    Reconstructions (kernel, kVp) are split unless they are stretches of one row, and
    acquisitions, phases and what else names a volume where they interleave, unless together they
    lie slice by slice, or are numbered one after the other; otherwise only when positions repeat or
    a phase lies between the slices of another. Times that run on from slice to slice are no reason:
    by time, parts end where the longest pauses are (`by_time`).

    Args:
        slices: with positions, of one orientation.

    Returns:
        One list a volume: one when there is nothing to split. One that holds a position twice is
        what no tag separates: `require_single`.
    """
    for keyword in RECONSTRUCTION_KEYWORDS:
        by_value = _by_value(slices, PHASE_KEYWORDS.index(keyword))
        if len(by_value) > 1 and not _runs_on(slices, by_value):
            return [part for group in by_value for part in parts_of(group)]
    counted = is_even(slices) and numbered_in_place(slices)
    if len(slices) >= 2 * MIN_SLICES and not _is_contiguous(slices) and not counted:
        hinted = [_grouped(slices, key, blank_joins=True) for key in (*HINTS, _kind)]
        for groups in hinted:
            if len(groups) > 1 and _overlap(groups) and all(is_volume(one) for one in groups):
                return [part for group in groups for part in parts_of(group)]
        named = (_by_value(slices, PHASE_KEYWORDS.index(name)) for name in INTERLEAVING_KEYWORDS)
        for groups in chain(named, _few_times(slices), hinted):
            if len(groups) > 1 and _interleave(groups):
                # A phase may have been scanned in several acquisitions.
                whole = _whole_phases(slices, fewer_than=len(groups))
                return whole or [part for group in groups for part in parts_of(group)]

    places = place_numbers(heights_mm(slices))
    if int(np.bincount(places).max()) == 1:
        turns = turn_by_turn(slices, places.tolist())
        if not turns or _is_contiguous(slices):
            return [list(slices)]
        return [part for turn in turns for part in parts_of(turn)]
    for index in range(len(PART_KEYWORDS)):
        by_value = _by_value(slices, index)
        volumes = [group for group in by_value if _is_single(group)]
        others = [group for group in by_value if group not in volumes]
        if len(by_value) > 1 and volumes and all(_is_within(one, volumes) for one in others):
            return by_value
    for groups in _by_what_else_differs(slices):
        if len(groups) > 1 and all(map(_is_single, groups)):
            return groups
    for index in range(len(PART_KEYWORDS), len(PHASE_KEYWORDS)):
        in_time = by_time(slices, places.tolist(), index)
        if in_time:
            return in_time
    return [list(slices)]


def _by_what_else_differs(slices: Sequence[Slice]) -> Iterator[list[list[Slice]]]:
    """Ways to part slices whose acquisition and phase do not: each alone, then all together."""
    parting: list[Key] = []
    for key in (*PARTS, _image_type, _rescale_type, _field_of_view, *HINTS):
        groups = _grouped(slices, key)
        yield groups
        # What has a value of its own for some slices parts no volumes.
        if len(groups) > 1 and min(map(len, groups)) >= MIN_SLICES:
            parting.append(key)
    yield _grouped(slices, lambda item: tuple(key(item) for key in parting))


def _grouped(slices: Sequence[Slice], key: Key, *, blank_joins: bool = False) -> list[list[Slice]]:
    """The slices by a value, in the order of the values.

    Args:
        slices: any.
        key: gives the value.
        blank_joins: a slice without the value goes with the others where they have only one.
    """
    groups: dict[object, list[Slice]] = defaultdict(list)
    for item in slices:
        groups[key(item)].append(item)
    if blank_joins and len(groups) == 2 and "" in groups and not all(map(is_even, groups.values())):
        return [list(slices)]
    # Alike in type nearly always: numbers in their order, or texts.
    alike = len({type(value) for value in groups}) == 1
    ranked: list[Any] = list(groups)
    return [groups[value] for value in (sorted(ranked) if alike else sorted(ranked, key=str))]


def _image_type(item: Slice) -> object:
    """Energies that were computed differ in nothing else."""
    return item.image_type


def _kind(item: Slice) -> object:
    """What ImageType says but for its first two values, which an archive changes now and then."""
    return item.image_type[2:]


def _rescale_type(item: Slice) -> object:
    """Maps of a material, or others, may differ in nothing else from the CT."""
    return item.rescale_type


def _field_of_view(item: Slice) -> object:
    """Reconstructions of one acquisition may differ in nothing else."""
    spacing = tuple(round(value, SPACING_DIGITS) for value in item.spacing_mm or ())
    return (*spacing, item.layout.rows, item.layout.columns)


def _hint(number: int, item: Slice) -> object:
    """A value of HINT_KEYWORDS, numbers to HINT_DIGITS."""
    text = item.hints[number] if item.hints else ""
    try:
        return round(float(text), HINT_DIGITS)
    except (ValueError, OverflowError):
        return text


def _part(number: int, item: Slice) -> object:
    """A value of PART_KEYWORDS."""
    return natural(item.phase[number])


def _by_value(slices: Sequence[Slice], index: int) -> list[list[Slice]]:
    """The slices by one of their phase values, in the order of the values.

    A slice without the value goes with the others where they have only one.
    """
    groups: dict[tuple[float, str], list[Slice]] = defaultdict(list)
    reconstruction = PHASE_KEYWORDS[index] in RECONSTRUCTION_KEYWORDS
    for item in slices:
        value = item.phase[index]
        # Of a kernel the first value names it, in whatever letters.
        groups[natural(value.partition("\\")[0].casefold() if reconstruction else value)].append(
            item
        )
    blank = groups.get(natural(""), [])
    volumes = not reconstruction and all(map(is_even, groups.values()))
    if blank and len(groups) == 2 and not volumes:
        return [list(slices)]
    # A few slices that lack what tells two volumes apart may be the rest of either.
    if blank and len(groups) > 2 and len(blank) < LEAST_OF_LONGEST * max(map(len, groups.values())):
        return [list(slices)]
    return [groups[value] for value in sorted(groups)]


def natural(value: str) -> tuple[float, str]:
    """Numbers in their order, however they are written, then texts."""
    try:
        number = float(value)
    except ValueError:
        return float("inf"), value
    return (number, "") if math.isfinite(number) else (float("inf"), value)


def _is_single(slices: Sequence[Slice]) -> bool:
    """Whether a part is a volume by itself: enough slices, no position twice."""
    places = place_numbers(heights_mm(slices))
    return len(slices) >= MIN_SLICES and int(np.bincount(places).max()) == 1


def _is_within(group: Sequence[Slice], volumes: Sequence[Sequence[Slice]]) -> bool:
    """Whether slices only repeat what lies within the volumes, or watch one place for contrast.

    They are a part of their own, which is refused alone. What lies beyond one of the volumes may be
    the rest of that one.
    """
    low, high = range_mm(group, group[0])
    ranges = [range_mm(volume, group[0]) for volume in volumes]
    if len(group) > 1 and high - low <= SAME_POSITION_MM:
        return True
    return all(start <= low and high <= end for start, end in ranges)


def _whole_phases(slices: Sequence[Slice], fewer_than: int) -> list[list[Slice]]:
    """The slices as fewer, evenly spaced volumes that follow one another in time; [] if none."""
    places = place_numbers(heights_mm(slices)).tolist()
    for index in range(len(PART_KEYWORDS), len(PHASE_KEYWORDS)):
        rounds = by_time(slices, places, index)
        if 1 < len(rounds) < fewer_than and all(map(is_even, rounds)):
            return rounds
    return []


def _few_times(slices: Sequence[Slice]) -> list[list[list[Slice]]]:
    """The slices by their acquisition time, where that is one for each of a few volumes."""
    groups = _by_value(slices, PHASE_KEYWORDS.index("Acquisition"))
    return [groups] if len(groups) <= MOST_BETWEEN and all(map(is_volume, groups)) else []


def _runs_on(slices: Sequence[Slice], groups: Sequence[Sequence[Slice]]) -> bool:
    """Whether groups are stretches of one row of slices, of which some may be missing."""
    group_of = {id(item): number for number, group in enumerate(groups) for item in group}
    heights = heights_mm(slices)
    order = np.argsort(heights, kind="stable")
    along = [group_of[id(slices[number])] for number in order.tolist()]
    changes = sum(before != after for before, after in pairwise(along))
    gaps = np.diff(heights[order])
    steps = gaps / max(float(np.median(gaps)), SAME_POSITION_MM)
    whole = np.rint(steps)
    even = np.abs(steps - whole).max() <= ROW_TOLERANCE and whole.min() >= 1
    return bool(even and whole.max() <= MOST_STEPS and changes * MIN_SLICES <= len(slices))


def _interleave(groups: Sequence[Sequence[Slice]]) -> bool:
    """Whether two volumes of enough slices reach into each other's range."""
    return all(len(group) >= MIN_SLICES for group in groups) and _overlap(groups)


def _overlap(groups: Sequence[Sequence[Slice]]) -> bool:
    """Whether two groups reach into each other's range."""
    ranges = sorted(range_mm(group, groups[0][0]) for group in groups)
    return any(after[0] < before[1] for before, after in pairwise(ranges))


def _is_contiguous(slices: Sequence[Slice]) -> bool:
    """Whether each slice begins where the one before ends: one scan, whatever its parts say."""
    thickness_mm = slices[0].thickness_mm
    if thickness_mm is None or any(item.thickness_mm != thickness_mm for item in slices):
        return False
    gaps = np.diff(np.sort(heights_mm(slices)))
    allowed = THICKNESS_TOLERANCE * thickness_mm + SAME_POSITION_MM
    return bool(np.abs(gaps - thickness_mm).max() <= allowed)


PARTS: tuple[Key, ...] = tuple(partial(_part, number) for number in range(len(PART_KEYWORDS)))
HINTS: tuple[Key, ...] = tuple(partial(_hint, number) for number in range(len(HINT_KEYWORDS)))
