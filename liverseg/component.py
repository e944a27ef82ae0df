"""The liver's own component of a mask, its holes filled."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage


def liver_component(mask: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.uint8], int]:
    """The largest component of a mask, faces touching, with its holes filled.

    Args:
        mask: (X, Y, Z) of 0 and 1.

    Returns:
        (X, Y, Z) uint8 mask, and the number of components there were; an empty mask stays empty.
    """
    kept = np.zeros_like(mask)
    boxes = ndimage.find_objects(mask)
    if not boxes:
        return kept, 0
    box = boxes[0]
    components, count = ndimage.label(mask[box])
    sizes = np.bincount(components.ravel())[1:]
    largest = components == int(sizes.argmax()) + 1
    # A hole is a part of the background that does not reach the rim of the box.
    background, _ = ndimage.label(np.pad(~largest, 1, constant_values=True))
    kept[box] = (background != background[0, 0, 0])[1:-1, 1:-1, 1:-1]
    return kept, int(count)
