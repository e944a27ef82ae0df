"""Whether values are Hounsfield units, by what every CT of a body has: air, fat, soft tissue.

A lost intercept makes every value 1024 too high, in silence; it is the commonest damage of all.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

HU_MIN, HU_MAX = -32768, 32767  # int16
# What values that nobody calls HU must show to be taken as HU all the same.
PLAUSIBLE_AIR_HU = -900
PLAUSIBLE_LOW_HU = -200
PLAUSIBLE_LOW_PERCENTILE = 0.5
PLAUSIBLE_MIN_HU, PLAUSIBLE_MAX_HU = -1100, 3071  # what is outside is padding or metal
# Corners filled with -1024 are no air. Between air and water a body has fat, as much as the
# percentile says; a phantom may have none, but then it has no tissue where OFF_TISSUE_HU says.
PLAUSIBLE_FAT_HU = (-200, -20)
PLAUSIBLE_OFF_SHARE = 0.05  # of the values that are neither air nor lung
# Where soft tissue and contrast lie when values are 1024 too high. Of HU hardly any are there:
# dense bone. Air, which then lies at 24, has some noise below 0, but not as much as fat has.
OFF_TISSUE_HU = (824, 1324)
OFF_TISSUE_SHARE = 0.1  # of all values: more than any body has of dense bone
FAT_HU = (-150, -30)
DARK_HU = (-1100, -200)  # lung and air; no noise of air at 24 reaches that far
DARK_SHARE = 0.001
FAT_TO_TISSUE = 0.1  # less fat than this, for each value where tissue would be

# Where tissue and fat lie when values are 1024 too low, as when the intercept is applied twice.
# Air, which of HU lies there too, is then below; near 0 there is dense bone at most.
LOW_TISSUE_HU = (-1224, -924)
BELOW_AIR_HU = -1300  # no noise of air reaches that far
NEAR_WATER_HU = (-200, 200)
NEAR_WATER_SHARE = 0.02  # of the values that LOW_TISSUE_HU has

Counts = NDArray[np.int64]


def counted(slices: Iterable[NDArray[np.int16]]) -> Counts:
    """(65536,) how often each int16 is there, from the lowest up.

    Instead of a sort, slice by slice: no copy of the volume.
    """
    counts = np.zeros(1 << 16, dtype=np.int64)
    for values in slices:
        unsigned = values.ravel(order="K").view(np.uint16)
        counts += np.bincount(unsigned, minlength=1 << 16)
    return np.roll(counts, 1 << 15)


def between(counts: Counts, low: int, high: int) -> int:
    """How many values lie from low to high, both included."""
    return int(counts[low - HU_MIN : high - HU_MIN + 1].sum())


def looks_like_hu(counts: Counts) -> bool:
    """Whether values that are not declared as HU are HU beyond doubt; see PLAUSIBLE_AIR_HU."""
    body = counts[PLAUSIBLE_MIN_HU - HU_MIN : PLAUSIBLE_MAX_HU - HU_MIN + 1]
    rank = PLAUSIBLE_LOW_PERCENTILE / 100 * body.sum()
    below = np.cumsum(body)
    low_hu = PLAUSIBLE_MIN_HU + int(np.searchsorted(below, rank))
    fat = np.diff(below[[hu - PLAUSIBLE_MIN_HU for hu in PLAUSIBLE_FAT_HU]])[0]
    air = below[PLAUSIBLE_AIR_HU - PLAUSIBLE_MIN_HU]
    tissue = between(counts, PLAUSIBLE_LOW_HU, PLAUSIBLE_MAX_HU)
    is_off = fat <= rank and between(counts, *OFF_TISSUE_HU) > PLAUSIBLE_OFF_SHARE * tissue
    return bool(air > 0 and low_hu < PLAUSIBLE_LOW_HU and not is_off and not is_1024_low(counts))


def is_off_by_1024(counts: Counts) -> bool:
    """Whether values that are called HU are 1024 too high beyond doubt; see OFF_TISSUE_HU."""
    tissue = between(counts, *OFF_TISSUE_HU)
    enough = tissue > OFF_TISSUE_SHARE * counts.sum()
    # One value that stands for all that is outside, such as -1000, is no sign of lung or air.
    dark = counts[DARK_HU[0] - HU_MIN : DARK_HU[1] - HU_MIN + 1]
    lung = dark.sum() - dark.max() > DARK_SHARE * counts.sum()
    return bool(enough and not lung and between(counts, *FAT_HU) < FAT_TO_TISSUE * tissue)


def is_1024_low(counts: Counts) -> bool:
    """Whether values are 1024 too low beyond doubt; see LOW_TISSUE_HU."""
    tissue = between(counts, *LOW_TISSUE_HU)
    enough = tissue > OFF_TISSUE_SHARE * counts.sum()
    # Lung and the noise of air; one value that stands for all that is outside is neither.
    below = counts[: BELOW_AIR_HU - HU_MIN]
    air = below.sum() - below.max() > DARK_SHARE * counts.sum()
    return bool(enough and air and between(counts, *NEAR_WATER_HU) < NEAR_WATER_SHARE * tissue)


def some_slices(image: NDArray[Any], most: int = 32) -> Iterable[NDArray[Any]]:
    """Slices of (X, Y, Z), spread over the volume: enough to judge by and quick to look at."""
    for index in range(0, image.shape[2], max(1, image.shape[2] // most)):
        yield image[:, :, index]
