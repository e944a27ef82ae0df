"""Keep one of each image that was sent several times."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TypeAlias

from liverseg.dicom.content import content_digest, pixel_digest
from liverseg.dicom.geometry import slice_name
from liverseg.dicom.image import Slice
from liverseg.errors import ScanRejected

# A digest of an image's pixels, decoded where a crash does no harm; raises ScanRejected.
Decoded: TypeAlias = Callable[[Slice], str]


def without_duplicates(slices: Sequence[Slice], decoded: Decoded) -> tuple[list[Slice], int]:
    """Keep one of every image that is there several times.

    Args:
        slices: of one series; call it inside `quiet_pydicom`.
        decoded: digest of an image's pixels, for those that were compressed in several ways.

    Returns:
        The slices left, in their order, and how many were left out.

    Raises:
        ScanRejected: DUPLICATE_CONFLICT when images of one SOPInstanceUID differ in their pixels,
            position or rescale; as `decoded` where copies have to be decoded.
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
            continue
        try:
            is_copy = _same_image(first, item, digest, decoded)
        except ScanRejected as error:
            name = slice_name(first.path, left.index(first), len(slices))
            reason = f"{name} has a copy, and they cannot be compared: {error.detail}"
            raise ScanRejected(error.code, reason) from error
        if not is_copy:
            name = slice_name(first.path, left.index(first), len(slices))
            raise ScanRejected(
                "DUPLICATE_CONFLICT",
                f"images of one SOPInstanceUID should be equal; {name} has a copy that differs",
            )
    return left, len(slices) - len(left)


def without_resent(slices: Sequence[Slice], decoded: Decoded) -> tuple[list[Slice], int]:
    """Keep one of the images that differ in nothing but their SOPInstanceUID.

    An archive that anonymises twice, or sends again, makes new identifiers. Phases differ in
    their tags, their pixels or both; a slice of air may be the same in two.

    Args:
        slices: with positions; call it inside `quiet_pydicom`.
        decoded: as `without_duplicates` takes it.

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
        seen: set[object] = set()
        look = pixel_digest if _one_compression(group) else decoded
        for item in group if len(group) > 1 else ():
            digest = look(item)
            if digest in seen:
                copies.add(id(item))
            seen.add(digest)
    return [item for item in slices if id(item) not in copies], len(copies)


def _place(item: Slice) -> tuple[object, ...]:
    """Where an image lies and what its values mean."""
    return item.position, item.orientation, item.spacing_mm, item.slope, item.intercept


def _same_image(
    first: Slice, second: Slice, digest: Callable[[Path], str], decoded: Decoded
) -> bool:
    """Whether two images have equal pixels at one place; equal files are."""
    if first.path == second.path:
        return first.frame == second.frame
    sizes = {item.path.stat().st_size for item in (first, second)}
    if len(sizes) == 1 and digest(first.path) == digest(second.path):
        return True
    if _place(first) != _place(second):
        return False
    # What differs in its bytes may be packed otherwise, or hold other bits beside the pixels.
    return pixel_digest(first) == pixel_digest(second) or decoded(first) == decoded(second)


def _one_compression(group: Sequence[Slice]) -> bool:
    """Whether equal pixels are equal bytes."""
    packed = [item.layout.offset is None and item.transfer_syntax for item in group]
    return len(set(packed)) == 1
