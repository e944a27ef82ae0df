"""Phases under one SeriesInstanceUID that only their times tell apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from liverseg.dicom.image import Slice
from liverseg.dicom.values import PART_KEYWORDS, PHASE_KEYWORDS

MIN_SLICES = 8  # a scan of fewer is no volume (intake.md)
MOST_BETWEEN = 4  # phases whose slices lie between one another


def by_time(slices: Sequence[Slice], places: Sequence[int], index: int) -> list[list[Slice]]:
    """The slices as phases that follow one another in time; [] when they do not."""
    rounds: list[list[Slice]] = []
    seen: Counter[int] = Counter()
    order = sorted(range(len(slices)), key=lambda i: slices[i].phase[index])
    for number in order:
        if not slices[number].phase[index]:
            return []
        turn = seen[places[number]]
        seen[places[number]] += 1
        if turn == len(rounds):
            rounds.append([])
        rounds[turn].append(slices[number])
    times = [[item.phase[index] for item in part] for part in rounds]
    apart = all(max(a) < min(b) for a, b in pairwise(times))
    return rounds if apart and all(len(part) >= MIN_SLICES for part in rounds) else []


def turn_by_turn(slices: Sequence[Slice], places: Sequence[int]) -> list[list[Slice]]:
    """The slices as volumes that lie between one another and follow one another in time; or [].

    Phases whose tables stopped a part of a step apart: of two every second slice belongs to the
    first, and all of those were taken before all of the others. Images that are numbered one after
    the other are one volume, whatever their times.
    """
    ranked = [item for _, item in sorted(zip(places, slices, strict=True), key=lambda one: one[0])]
    numbers = [item.instance for item in ranked if item.instance is not None]
    steps = {(after > before) - (after < before) for before, after in pairwise(numbers)}
    if len(numbers) == len(ranked) and steps in ({1}, {-1}):
        return []
    for index in range(len(PART_KEYWORDS), len(PHASE_KEYWORDS)):
        for count in range(2, MOST_BETWEEN + 1):
            turns = [ranked[first::count] for first in range(count)]
            if len(turns[-1]) < MIN_SLICES or not all(item.phase[index] for item in slices):
                break
            turns.sort(key=lambda turn: min(item.phase[index] for item in turn))
            times = [[item.phase[index] for item in turn] for turn in turns]
            if all(max(before) < min(after) for before, after in pairwise(times)):
                return turns
    return []
