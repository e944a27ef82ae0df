"""Phases under one SeriesInstanceUID that only their times tell apart."""

from __future__ import annotations

import datetime
import math
import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from liverseg.dicom.geometry import heights_mm
from liverseg.dicom.image import Slice
from liverseg.dicom.values import PART_KEYWORDS, PHASE_KEYWORDS

MIN_SLICES = 8  # a scan of fewer is no volume (intake.md)
MOST_PHASES = 100  # that are told apart by pauses
CLEARLY = 1.1  # times another pause
DATED = re.compile(r"\d{8}(?=\d{4})")  # a date before a time
TIME = re.compile(r"(\d{8})?(\d\d)(?:(\d\d)(\d\d(?:\.\d*)?)?)?")
MOST_BETWEEN = 4  # phases whose slices lie between one another


def by_time(slices: Sequence[Slice], places: Sequence[int], index: int) -> list[list[Slice]]:
    """The slices as phases that follow one another in time; [] when they do not.

    Phases may differ in length: they end where the longest pauses are, as few of them as leave no
    place twice in a phase. Where pauses are alike, the first image of every place makes the first
    phase, and so on.

    Args:
        slices: some at the place of others.
        places: the number of each one's place.
        index: of the time among the phase values.
    """
    said = [item.phase[index].replace(":", "") for item in slices]  # ACR-NEMA's have colons
    if not all(DATED.match(text) for text in said):
        said = [DATED.sub("", text) for text in said]
    times = [seconds_of(text) for text in said]
    if any(math.isnan(time) for time in times):
        return []
    order = sorted(range(len(slices)), key=lambda number: times[number])
    pauses = [times[after] - times[before] for before, after in pairwise(order)]
    for parts in (_at_pauses(order, pauses, places), _rounds(order, times, places)):
        if len(parts) > 1 and min(map(len, parts)) >= MIN_SLICES:
            return [[slices[number] for number in part] for part in parts]
    return []


def seconds_of(time: str) -> float:
    """Seconds of a phase value, HHMMSS.F with or without YYYYMMDD before it; NaN for no time."""
    found = TIME.fullmatch(time.partition("+")[0].strip())
    if not found:
        return math.nan
    date, hours, minutes, seconds = found.groups()
    days = datetime.date.fromisoformat(date).toordinal() if date and _is_date(date) else 0
    return 86400.0 * days + 3600 * int(hours) + 60 * int(minutes or 0) + float(seconds or 0)


def _is_date(text: str) -> bool:
    try:
        return bool(datetime.date.fromisoformat(text))
    except ValueError:
        return False


def _at_pauses(
    order: Sequence[int], pauses: Sequence[float], places: Sequence[int]
) -> list[list[int]]:
    """Cut at the longest pauses until no place is twice in a part; [] where others are as long."""
    ranked = sorted(range(len(pauses)), key=lambda number: -pauses[number])
    for count in range(1, min(MOST_PHASES, len(ranked))):
        cuts = sorted(number + 1 for number in ranked[:count])
        parts = [list(order[a:b]) for a, b in pairwise([0, *cuts, len(order)])]
        if all(len({places[number] for number in part}) == len(part) for part in parts):
            clear = pauses[ranked[count - 1]] > CLEARLY * pauses[ranked[count]]
            return parts if clear else []
    return []


def _rounds(order: Sequence[int], times: Sequence[float], places: Sequence[int]) -> list[list[int]]:
    """The n-th images of all places make the n-th part; [] unless the parts are apart in time."""
    rounds: list[list[int]] = []
    seen: Counter[int] = Counter()
    for number in order:
        turn = seen[places[number]]
        seen[places[number]] += 1
        if turn == len(rounds):
            rounds.append([])
        rounds[turn].append(number)
    inside = [times[b] - times[a] for part in rounds for a, b in pairwise(part)]
    between = [times[after[0]] - times[before[-1]] for before, after in pairwise(rounds)]
    # A pause between phases is no shorter than one within.
    apart = min(between, default=0) > 0 and min(between) * CLEARLY >= max(inside, default=0)
    return rounds if apart else []


def numbered_in_place(slices: Sequence[Slice]) -> bool:
    """Whether InstanceNumber runs through the slices in the order of their places, or back."""
    heights = heights_mm(slices)
    ranked = [slices[number] for number in heights.argsort(kind="stable").tolist()]
    numbers = [item.instance for item in ranked if item.instance is not None]
    steps = {(after > before) - (after < before) for before, after in pairwise(numbers)}
    return len(numbers) == len(ranked) and steps in ({1}, {-1})


def turn_by_turn(slices: Sequence[Slice], places: Sequence[int]) -> list[list[Slice]]:
    """The slices as volumes that lie between one another and follow one another in time; or [].

    Phases whose tables stopped a part of a step apart: of two every second slice belongs to the
    first, and all of those were taken before all of the others. Images that are numbered one after
    the other are one volume, whatever their times.
    """
    ranked = [item for _, item in sorted(zip(places, slices, strict=True), key=lambda one: one[0])]
    if numbered_in_place(ranked):
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
