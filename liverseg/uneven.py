"""Slices that are not evenly spaced: on a regular grid for the network, and the way back.

Vocabulary: the *positions* of the slices are their indices along the third axis of an affine whose
step is the mean spacing, so they run from 0 to Z - 1 but are no whole numbers in between.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

# The regular grid is as fine as the closest pair of slices, up to this many slices for each one.
MAX_REFINEMENT = 4


def local_thickness(positions: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """How much of the third axis each slice stands for, in mean spacings.

    Half of the gap on either side; an outermost slice reaches as far out as in, as a slice of an
    evenly spaced scan does.

    Args:
        positions: (Z,) ascending, two or more.

    Returns:
        (Z,) all 1 for evenly spaced slices.
    """
    gaps = np.diff(positions)
    around = np.concatenate([gaps[:1], gaps, gaps[-1:]])
    thickness: npt.NDArray[np.float64] = (around[:-1] + around[1:]) / 2
    return thickness


def even_slices(
    image: npt.NDArray[np.integer | np.floating],
    affine: npt.NDArray[np.float64],
    positions: npt.NDArray[np.float64],
    window: tuple[float, float],
) -> tuple[npt.NDArray[np.integer | np.floating], npt.NDArray[np.float64]]:
    """Interpolate to the finest regular grid that the slices give.

    Values are clipped before they are mixed, so that padding and metal cannot bleed into tissue.

    Args:
        image: (X, Y, Z) HU.
        affine: (4, 4) voxel to mm, its third column the mean step.
        positions: (Z,) of the slices.
        window: values outside are of no interest.

    Returns:
        (X, Y, Z') of the type of image, from the first slice to the last, and its affine.
    """
    low, high = math.floor(window[0]), math.ceil(window[1])
    finest = float(np.diff(positions).min())
    last = len(positions) - 1
    count = min(math.ceil(last / finest), last * MAX_REFINEMENT) + 1
    step = last / (count - 1)
    even = np.empty((count, *image.shape[1::-1]), image.dtype)
    for index in range(count):
        where = min(index * step, float(positions[-1]))
        above = min(max(int(np.searchsorted(positions, where)), 1), last)
        below, share = above - 1, (where - positions[above - 1]) / np.diff(positions)[above - 1]
        pair = [np.clip(image[:, :, at].astype(np.float32), low, high) for at in (below, above)]
        mixed = pair[0] + np.float32(share) * (pair[1] - pair[0])
        even[index] = (np.rint(mixed) if np.issubdtype(image.dtype, np.integer) else mixed).T
    return even.transpose(2, 1, 0), affine @ np.diag([1.0, 1.0, step, 1.0])


def slice_affines(
    affine: npt.NDArray[np.float64], positions: npt.NDArray[np.float64]
) -> list[npt.NDArray[np.float64]]:
    """The affine of every slice by itself: that of the scan, its origin moved to the slice."""
    affines = []
    for position in positions:
        moved = affine.copy()
        moved[:, 3] = affine @ [0, 0, position, 1]
        affines.append(moved)
    return affines
