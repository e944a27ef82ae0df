"""Keep one of each image that was sent several times."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from liverseg.dicom.content import content_digest, pixel_digest
from liverseg.dicom.geometry import slice_name
from liverseg.dicom.image import Slice
from liverseg.errors import ScanRejected


def without_duplicates(slices: Sequence[Slice]) -> tuple[list[Slice], int]:
    """Keep one of every image that is there several times.

    Args:
        slices: of one series; call it inside `quiet_pydicom`.

    Returns:
        The slices left, in their order, and how many were left out.

    Raises:
        ScanRejected: DUPLICATE_CONFLICT when images of one SOPInstanceUID differ in their pixels,
            position or rescale.
    """
    digest = cache(content_digest)  # the frames of one file ask for the same
    kept: dict[str, Slice] = {}
    left: list[Slice] = []
    for item in slices:
        # Without identifiers only equal files are the same image.
        identity = item.sop_uid or f"{digest(item.path)}#{item.frame}"
        first = kept.setdefault(identity, item)
        if first is item:
            left.append(item)
        elif not _same_image(first, item, digest):
            index = left.index(first)
            differs = "has a copy that differs"
            if item.transfer_syntax != first.transfer_syntax:
                differs = "has a copy in another compression, which is not compared"
            raise ScanRejected(
                "DUPLICATE_CONFLICT",
                "images of one SOPInstanceUID should be equal; "
                f"{slice_name(first.path, index, len(slices))} {differs}",
            )
    return left, len(slices) - len(left)


def without_resent(slices: Sequence[Slice]) -> tuple[list[Slice], int]:
    """Keep one of the images that differ in nothing but their SOPInstanceUID.

    An archive that anonymises twice, or sends again, makes new identifiers. Phases differ in
    their tags, their pixels or both; a slice of air may be the same in two.

    Args:
        slices: with positions; call it inside `quiet_pydicom`.

    Returns:
        The slices left, in their order, and how many were left out.

    Raises:
        ScanRejected: CORRUPT or UNREADABLE when one that may be a copy cannot be looked at.
    """
    alike: dict[tuple[object, ...], list[Slice]] = defaultdict(list)
    for item in slices:
        alike[_place(item), item.image_type, item.phase, item.hints, item.frame].append(item)
    copies: set[int] = set()
    for group in alike.values():
        seen: set[tuple[object, ...]] = set()
        for item in group if len(group) > 1 else ():
            digest = pixel_digest(item)
            if digest in seen:
                copies.add(id(item))
            seen.add(digest)
    return [item for item in slices if id(item) not in copies], len(copies)


def _place(item: Slice) -> tuple[object, ...]:
    """Where an image lies and what its values mean."""
    return item.position, item.orientation, item.spacing_mm, item.slope, item.intercept


def _same_image(first: Slice, second: Slice, digest: Callable[[Path], str]) -> bool:
    """Whether two images have equal pixels at one place; equal files are."""
    if first.path == second.path:
        return first.frame == second.frame
    sizes = {item.path.stat().st_size for item in (first, second)}
    if len(sizes) == 1 and digest(first.path) == digest(second.path):
        return True
    return _place(first) == _place(second) and pixel_digest(first) == pixel_digest(second)
