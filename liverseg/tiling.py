"""Boxes of a volume: tiles with their halo, a box that grows, the faces that a mask touches.

Vocabulary: a *box* is three slices with a start and a stop, in voxels of the volume. The *halo* is
how many voxels around a tile its answer depends on; the *stride* is what its corners must be
multiples of for that answer to be the whole volume's.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

import torch

Shape: TypeAlias = tuple[int, int, int]
Box: TypeAlias = tuple[slice, slice, slice]
# Of the low and the high end of each axis.
Faces: TypeAlias = tuple[tuple[bool, bool], tuple[bool, bool], tuple[bool, bool]]


class Tile(NamedTuple):
    """A part of a volume and where its answer comes from.

    Attributes:
        inner: the part of the volume that the tile answers for.
        outer: that part with its halo: what the network is given.
        crop: where inner lies in outer.
    """

    inner: Box
    outer: Box
    crop: Box


def whole(shape: Shape) -> Box:
    """The box that is a whole volume."""
    x, y, z = (slice(0, length) for length in shape)
    return x, y, z


def sides(box: Box) -> Shape:
    """Voxels of a box along each axis."""
    x, y, z = (part.stop - part.start for part in box)
    return x, y, z


def tile_size(
    shape: Shape, halo: Shape, stride: int, max_voxels: int, volume: Shape | None = None
) -> Shape:
    """The largest tile, halved along its longest axis until it and its halo fit.

    Args:
        shape: voxels of the box that is cut into tiles.
        halo: voxels around a tile.
        stride: a tile's sides are multiples of it.
        max_voxels: limit for a tile with its halo.
        volume: voxels of the volume that the box is part of; the box is all of it by default.

    Returns:
        Sides of a tile without the halo; at least shape where one pass fits.

    Raises:
        ValueError: if not even a tile of one stride fits.
    """
    size = [stride * math.ceil(length / stride) for length in shape]

    def voxels() -> int:
        parts = zip(size, halo, volume or shape, strict=True)
        return math.prod(min(side + 2 * rim, length) for side, rim, length in parts)

    while voxels() > max_voxels:
        if max(size) == stride:
            raise ValueError(
                f"a tile needs {voxels()} voxels with its halo of {halo}; there is room for "
                f"{max_voxels}"
            )
        longest = size.index(max(size))
        size[longest] = stride * math.ceil(size[longest] / (2 * stride))
    return size[0], size[1], size[2]


def tiles(volume: Shape, box: Box, size: Shape, halo: Shape, stride: int) -> Iterator[Tile]:
    """The tiles of a box, each voxel of it in one.

    Args:
        volume: voxels of the volume.
        box: the part of the volume that is cut into tiles.
        size: sides of a tile without its halo.
        halo: voxels around a tile.
        stride: what the corners of a tile's outer box are multiples of, or the volume's end.

    Yields:
        Tiles, along the last axis first.
    """
    starts = [range(part.start, part.stop, side) for part, side in zip(box, size, strict=True)]
    for corner in itertools.product(*starts):
        inner, outer, crop = [], [], []
        for axis, start in enumerate(corner):
            stop = min(start + size[axis], box[axis].stop)
            low = max(0, stride * ((start - halo[axis]) // stride))
            high = min(volume[axis], stride * math.ceil((stop + halo[axis]) / stride))
            inner.append(slice(start, stop))
            outer.append(slice(low, high))
            crop.append(slice(start - low, stop - low))
        yield Tile(_box(inner), _box(outer), _box(crop))


def bounding_box(mask: torch.Tensor) -> Box | None:
    """The smallest box around the True of a mask (X, Y, Z), or None where there is none."""
    box = []
    for axis in range(mask.dim()):
        others = [other for other in range(mask.dim()) if other != axis]
        hit = torch.nonzero(mask.amax(dim=others))
        if hit.numel() == 0:
            return None
        box.append(slice(int(hit[0]), int(hit[-1]) + 1))
    return _box(box)


def touched_faces(mask: torch.Tensor, box: Box) -> Faces:
    """Which faces of a box hold True in their outermost layer; those at the volume's border count.

    Args:
        mask: (X, Y, Z) bool, the volume.
        box: part of it.

    Returns:
        For each axis whether the low and the high face is touched.
    """
    part = mask[box]
    x, y, z = (
        (bool(part.select(axis, 0).any()), bool(part.select(axis, -1).any())) for axis in range(3)
    )
    return x, y, z


def extended(box: Box, by: Shape, faces: Faces, volume: Shape) -> Box:
    """A box moved outwards at some of its faces, within the volume.

    Args:
        box: the box.
        by: voxels along each axis.
        faces: which of its faces move.
        volume: voxels of the volume.

    Returns:
        The larger box; the same one where every such face is the volume's border.
    """
    grown = []
    for part, step, (low, high), length in zip(box, by, faces, volume, strict=True):
        start = max(0, part.start - step) if low else part.start
        stop = min(length, part.stop + step) if high else part.stop
        grown.append(slice(start, stop))
    return _box(grown)


def difference(small: Box, large: Box) -> Iterator[Box]:
    """Boxes that together are the large box without the small one inside it, each voxel once."""
    box = list(small)
    for axis in range(3):
        start, stop = large[axis].start, large[axis].stop
        for slab in (slice(start, box[axis].start), slice(box[axis].stop, stop)):
            if slab.start < slab.stop:
                yield _box([slab if other == axis else box[other] for other in range(3)])
        box[axis] = slice(start, stop)


def _box(slices: list[slice]) -> Box:
    x, y, z = slices
    return x, y, z
