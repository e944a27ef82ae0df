"""The liver's own component of a mask, its holes filled; and what else of a mask may be liver.

A *run* is a row of equal voxels along the first axis, as long as it goes. A liver of thirty million
voxels has a hundred thousand of them, and what belongs together is found among those.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

Box = tuple[slice, slice, slice]
_Indices = npt.NDArray[np.int64]


class Component(NamedTuple):
    """The largest component of a mask.

    Attributes:
        mask: (X, Y, Z) uint8, its holes filled.
        components: that there were; 0 for an empty mask.
        removed_share: of the voxels of the mask, those that are no longer in it.
    """

    mask: npt.NDArray[np.uint8]
    components: int
    removed_share: float


class _Runs(NamedTuple):
    """Runs of a volume (Z, Y, X) as stretches of its flat indices, in their order.

    Attributes:
        start: (N,) the first voxel.
        stop: (N,) one past the last.
        label: (N,) which component a run belongs to, from 0 in the order of their first voxels.
        components: how many.
    """

    start: _Indices
    stop: _Indices
    label: _Indices
    components: int

    def voxels(self, chosen: npt.NDArray[np.bool_]) -> _Indices:
        """The flat indices of all voxels of the chosen runs."""
        start, length = self.start[chosen], (self.stop - self.start)[chosen]
        first = np.cumsum(length) - length  # of each run in what is returned
        return np.repeat(start - first, length) + np.arange(length.sum())

    def sizes(self) -> npt.NDArray[np.float64]:
        """(components,) voxels of each."""
        lengths = (self.stop - self.start).astype(np.float64)
        return np.asarray(np.bincount(self.label, weights=lengths), np.float64)


def liver_component(mask: npt.NDArray[np.uint8]) -> Component:
    """The largest component of a mask, faces touching, with its holes filled.

    Args:
        mask: (X, Y, Z) of 0 and 1.

    Returns:
        The component; where two are equally large, the one that comes first in memory. An empty
        mask stays empty, and nothing of it is removed.
    """
    # Laid out as the mask is: scans have their slices outermost, and their first axis innermost.
    kept = np.zeros_like(mask)
    box = bounding_box(mask)
    if box is None:
        return Component(kept, 0, 0.0)
    inside, within = _rimmed(mask[box])
    voxels = inside.reshape(-1)
    runs = _components(inside)
    sizes = runs.sizes()
    others = runs.voxels(runs.label != sizes.argmax())
    voxels[others] = 0
    around = inside ^ np.uint8(1)
    around[:, -1] = around[:, :, -1] = 0
    background = _components(around)
    voxels[background.voxels(background.label != 0)] = 1
    before = int(sizes.sum())
    # What lies in a hole of the largest is filled with it.
    left = before - others.size + int(np.count_nonzero(voxels[others]))
    kept[box] = inside[within].T
    return Component(kept, runs.components, 1 - left / before)


def without_small(mask: npt.NDArray[np.bool_], share: float) -> npt.NDArray[np.bool_]:
    """A mask without the components that are small beside its largest one, faces touching.

    Args:
        mask: (X, Y, Z).
        share: of the voxels of the largest; components below it go.

    Returns:
        (X, Y, Z); an empty mask stays empty.
    """
    kept = np.zeros_like(mask)
    box = bounding_box(mask.view(np.uint8))
    if box is None:
        return kept
    inside, within = _rimmed(mask[box])
    runs = _components(inside)
    sizes = runs.sizes()
    inside.reshape(-1)[runs.voxels((sizes < share * sizes.max())[runs.label])] = 0
    kept[box] = inside[within].T
    return kept


def bounding_box(mask: npt.NDArray[np.uint8]) -> Box | None:
    """The smallest box around what is not 0 in a mask (X, Y, Z); None where all is 0."""
    box = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        hit = np.flatnonzero(mask.view(bool).any(axis=others))
        if hit.size == 0:
            return None
        box.append(slice(int(hit[0]), int(hit[-1]) + 1))
    return box[0], box[1], box[2]


def _rimmed(
    mask: npt.NDArray[np.uint8] | npt.NDArray[np.bool_],
) -> tuple[npt.NDArray[np.uint8], Box]:
    """A mask (X, Y, Z) as (Z, Y, X) with a rim of background, and where it lies therein.

    A hole is a part of the background that does not reach the rim. The last row and column are
    neither mask nor background, as `_components` wants it.
    """
    x, y, z = mask.shape
    inside = np.zeros((z + 2, y + 3, x + 3), np.uint8)
    within = (slice(1, z + 1), slice(1, y + 1), slice(1, x + 1))
    inside[within] = mask.T
    return inside, within


def _components(volume: npt.NDArray[np.uint8]) -> _Runs:
    """The runs of 1 in a volume, faces touching.

    Args:
        volume: (Z, Y, X) of 0 and 1, contiguous; 0 in the last row and column of every slice, so
            that no row goes on in the next one.
    """
    flat = volume.reshape(-1)
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    if flat[0]:
        edges = np.concatenate([[0], edges])
    start, stop = edges[::2], edges[1::2]
    _, height, width = volume.shape
    count, label = _joined(start, stop, (width, width * height))
    return _Runs(start, stop, label, count)


def _joined(start: _Indices, stop: _Indices, steps: tuple[int, ...]) -> tuple[int, _Indices]:
    """Number and labels of what runs that overlap make when they are moved by the steps."""
    pairs = []
    for step in steps:
        # Of the runs, which are in order, those that begin before a moved one ends and end after
        # it has begun.
        low = np.searchsorted(stop, start + step, side="right")
        many = np.searchsorted(start, stop + step, side="left") - low
        first = np.cumsum(many) - many
        moved = np.repeat(np.arange(start.size), many)
        pairs.append((moved, np.repeat(low - first, many) + np.arange(moved.size)))
    one, other = (np.concatenate(ends) for ends in zip(*pairs, strict=True))
    touching = sparse.coo_array(
        (np.ones(one.size, np.int8), (one, other)), shape=(start.size, start.size)
    )
    count, label = sparse.csgraph.connected_components(touching, directed=False)
    return int(count), label
