"""The liver's own component of a mask, its holes filled."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Box = tuple[slice, slice, slice]


def liver_component(mask: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.uint8], int]:
    """The largest component of a mask, faces touching, with its holes filled.

    Args:
        mask: (X, Y, Z) of 0 and 1.

    Returns:
        (X, Y, Z) uint8 mask, and the number of components there were; an empty mask stays empty.
    """
    kept = np.zeros_like(mask)
    box = bounding_box(mask)
    if box is None:
        return kept, 0
    # Labelling runs along rows that lie in memory one after the other: along others it takes
    # three times as long. Scans have their slices outermost, and their first axis innermost.
    components, count = ndimage.label(np.ascontiguousarray(mask[box].T))
    sizes = np.bincount(components.ravel())[1:]
    largest = components == int(sizes.argmax()) + 1
    del components
    # A hole is a part of the background that does not reach the rim of the box.
    background, parts = ndimage.label(np.pad(~largest, 1, constant_values=True))
    inside = slice(1, -1)
    if parts > 1:
        largest = background[inside, inside, inside] != background[0, 0, 0]
    kept[box] = largest.T
    return kept, int(count)


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
