"""The values of a volume at the voxels of another grid, slice after slice, within a box only."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from liverseg.interpolation import between, mixed, trilinear

# From and to of each axis, in voxels.
Box: TypeAlias = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
Ends: TypeAlias = tuple[tuple[float, float], tuple[float, float], tuple[float, float]]


def ends_of(above: torch.Tensor) -> Ends | None:
    """How far interpolation carries what is above a threshold.

    Args:
        above: (X', Y', Z') bool, where a volume is above it.

    Returns:
        Along each axis the indices of the voxels around the first and the last one that is above;
        None where none is.
    """
    ends = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        hit = torch.nonzero(above.any(dim=others[1]).any(dim=others[0]))
        if hit.numel() == 0:
            return None
        # At the rim the interpolation is constant, so the box reaches half a voxel past it too.
        ends.append((float(hit.min()) - 1, float(hit.max()) + 1))
    return ends[0], ends[1], ends[2]


def reachable_box(
    ends: Ends, scan_to_grid: npt.NDArray[np.float64], shape: tuple[int, int, int]
) -> Box:
    """The part of a scan that interpolation can bring above a threshold.

    Args:
        ends: of `ends_of`.
        scan_to_grid: (4, 4) from indices of the scan to those of the volume.
        shape: (X, Y, Z) of the scan.

    Returns:
        The ranges of indices whose neighbours in the volume hold a voxel that is above.
    """
    corners = np.array(np.meshgrid(*ends, indexing="ij")).reshape(3, -1)
    grid_to_scan = np.linalg.inv(scan_to_grid)
    corners = grid_to_scan[:3, :3] @ corners + grid_to_scan[:3, 3:]
    box = []
    for axis in range(3):
        low = max(0, math.floor(corners[axis].min()))
        high = min(shape[axis], math.ceil(corners[axis].max()) + 1)
        box.append((low, max(low, high)))
    return box[0], box[1], box[2]


def resampler(
    volume: torch.Tensor, scan_to_grid: npt.NDArray[np.float64], box: Box, sheared: bool
) -> Callable[[int, int], torch.Tensor]:
    """What gives the volume's values in a box of the scan.

    Args:
        volume: (X', Y', Z') float.
        scan_to_grid: (4, 4) from indices of the scan to those of the volume.
        box: of the scan.
        sheared: whether the axes of the two are not parallel.

    Returns:
        A function of two slice numbers: the trilinear values (z, y, x) in the box from the first
        to before the second, float32.
    """
    if sheared:
        whole = volume.float()

        def sampled(low: int, high: int) -> torch.Tensor:
            offset = np.eye(4)
            offset[:3, 3] = [box[0][0], box[1][0], low]
            size = (box[0][1] - box[0][0], box[1][1] - box[1][0], high - low)
            values = trilinear(whole, scan_to_grid @ offset, size, padding="border")
            return values.permute(2, 1, 0)

        return sampled

    places = []
    for axis, (low, high) in enumerate(box):
        steps = torch.arange(low, high, device=volume.device, dtype=torch.float64)
        index = steps * float(scan_to_grid[axis, axis]) + float(scan_to_grid[axis, 3])
        places.append(between(index, volume.shape[axis]))
        # Only the part of the volume that is looked at goes on.
        first, last = int(places[axis].below.min()), int(places[axis].above.max())
        volume = volume.narrow(axis, first, last + 1 - first)
        places[axis] = places[axis].shifted(first)
    # Axis after axis, the smallest result first; index_select is slow unless it is contiguous.
    in_plane = volume.permute(2, 1, 0).float().contiguous()
    for axis in (0, 1):
        in_plane = mixed(in_plane, 2 - axis, places[axis])
    first_slice = box[2][0]
    return lambda low, high: mixed(
        in_plane, 0, places[2].part(low - first_slice, high - first_slice)
    )
