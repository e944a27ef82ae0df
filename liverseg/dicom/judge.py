"""Judge the images of one CT series: which volumes they make, and why some make none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from liverseg.dicom.duplicates import Decoded, without_duplicates, without_resent
from liverseg.dicom.geometry import (
    ORIENTATION_TOLERANCE,
    SAME_POSITION_MM,
    heights_mm,
    require_even_gaps,
    require_position,
    slice_name,
    sorted_by_position,
)
from liverseg.dicom.grouping import PIXEL_TOLERANCE
from liverseg.dicom.image import Slice
from liverseg.dicom.kind import is_localizer, is_map, is_page, is_projection
from liverseg.dicom.numbering import numbering_notes
from liverseg.dicom.parts import require_apart, require_single
from liverseg.dicom.phases import MIN_SLICES
from liverseg.dicom.pixels import require_decoder, stored_dtype
from liverseg.dicom.remarks import remarks
from liverseg.dicom.rescale import require_one_rescale
from liverseg.dicom.split import by_frame_of_reference, parts_of
from liverseg.dicom.values import counted
from liverseg.errors import ScanRejected
from liverseg.sizes import Sizes

ORIENTATION_DIGITS = 3  # decimals that tell one orientation from another
MAX_EXCESS_BYTES = 4096  # of native pixel data beyond the matrix, and less than the matrix again


@dataclass(frozen=True)
class Judged:
    """Slices that make a volume, or the code and the reason why they do not."""

    slices: tuple[Slice, ...]
    code: str
    reason: str
    notes: tuple[str, ...]


def judge(slices: Sequence[Slice], irregular: bool, sizes: Sizes, decoded: Decoded) -> list[Judged]:
    """Judge the CT images of one series; call it inside `quiet_pydicom`.

    Args:
        slices: images of CT classes under one series UID, in the order of their files.
        irregular: accept uneven spacing.
        sizes: what is too large.
        decoded: digest of an image's pixels, for copies that were compressed in several ways.

    Returns:
        One entry a volume, accepted or refused; one in all when the series is refused as a whole.
    """
    notes: list[str] = []
    try:
        scan = _without_pages(_without_localizers(slices, notes), notes)
        scan = _without_projections(scan, notes)
        _require_images(scan)
        _require_pixels(scan)
        scan, copies = without_duplicates(scan, decoded)
        if copies:
            notes.append(
                counted(copies, "file was a copy", "files were copies") + " of others and left out"
            )
        require_position(scan)
        scan, resent = without_resent(scan, decoded)
        if resent:
            notes.append(
                counted(resent, "image was", "images were")
                + " sent again under new identifiers and left out"
            )
        stacks = _by_orientation(scan, notes)
        parts = []
        for frame in (frame for stack in stacks for frame in by_frame_of_reference(stack)):
            found = parts_of(frame)
            require_apart(found)
            parts.extend(found)
    except ScanRejected as error:
        return [Judged(tuple(slices), error.code, error.detail, tuple(notes))]
    notes.extend(numbering_notes(slices))
    if len(parts) > 1:
        notes.append(f"one of {len(parts)} volumes under one SeriesInstanceUID")
    return [_judged_part(part, notes, irregular, sizes) for part in parts]


def _judged_part(
    part: Sequence[Slice], notes: Sequence[str], irregular: bool, sizes: Sizes
) -> Judged:
    """The verdict on slices that should be one volume."""
    part = sorted_by_position(part)
    try:
        _require_one_matrix(part)
        _require_size(part, sizes)
        require_one_rescale(part)
        require_single(part)
        require_even_gaps(part, irregular)
        for index, item in enumerate(part):
            require_decoder(item)
            stored_dtype(item.layout, slice_name(item.path, index, len(part)))
    except ScanRejected as error:
        return Judged(tuple(part), error.code, error.detail, tuple(notes))
    return Judged(tuple(part), "", "", (*notes, *remarks(part)))


def _require_images(slices: Sequence[Slice]) -> None:
    """Refuse what has the class of a CT but is no grey image of it."""
    if all(item.pixels == "absent" for item in slices):
        raise ScanRejected("NOT_CT", "a CT series should have pixel data; no file has any")
    if any(map(is_page, slices)):
        raise ScanRejected("NOT_CT", "a CT should be grey slices; the images are pages or colour")
    if any(item.samples not in (None, 1) for item in slices):
        raise ScanRejected("CORRUPT", "a grey image should have one sample a pixel; one has more")
    for item in slices:
        if item.frame is None and (item.frames or 1) > 1:
            raise ScanRejected(
                "UNSUPPORTED_MULTIFRAME",
                f"a CT image should be one frame; got {item.frames} without a place for each",
            )
    maps = sum(map(is_map, slices))
    if maps:
        raise ScanRejected(
            "HU_IMPLAUSIBLE", f"values should be HU; {maps} images are maps of something else"
        )
    projections = sum(map(is_projection, slices))
    if projections:
        raise ScanRejected(
            "PROJECTION", f"a volume should be slices; {projections} images are projections"
        )


def _without_localizers(slices: Sequence[Slice], notes: list[str]) -> list[Slice]:
    """The slices that ImageType does not call a scout."""
    kept = [item for item in slices if not is_localizer(item)]
    if not kept:
        images = counted(len(slices), "localizer image", "localizer images")
        raise ScanRejected("LOCALIZER", f"{images} and no other")
    if len(kept) < len(slices):
        notes.append(
            counted(len(slices) - len(kept), "localizer image was", "localizer images were")
            + " left out"
        )
    return kept


def _without_pages(slices: Sequence[Slice], notes: list[str]) -> list[Slice]:
    """The slices without pages that were sent with them, when enough slices remain."""
    kept = [item for item in slices if not is_page(item)]
    if len(kept) == len(slices) or len(kept) < MIN_SLICES:
        return list(slices)
    notes.append(
        counted(len(slices) - len(kept), "image that is no slice", "images that are no slices")
        + " left out (in colour, or without a place)"
    )
    return kept


def _without_projections(slices: Sequence[Slice], notes: list[str]) -> list[Slice]:
    """The slices without a few projections that were sent with them, which are no part of them.

    What lies beyond the others may be a part of the scan that is called a projection.
    """
    kept = [item for item in slices if not is_projection(item)]
    projections = [item for item in slices if is_projection(item)]
    if not projections or len(kept) < max(MIN_SLICES, len(projections)):
        return list(slices)
    if any(item.position is None or item.orientation is None for item in kept):
        return list(slices)
    normal = np.array(kept[0].orientation)
    beside = [
        item
        for item in projections
        if item.position is not None
        and item.orientation is not None
        and _near(np.array([item.orientation]), normal, 1)[0]
    ]
    heights = heights_mm([*kept, *beside])
    inside, others = heights[: len(kept)], heights[len(kept) :]
    beyond = np.clip(others, inside.min(), inside.max()) - others
    if (np.abs(beyond) > SAME_POSITION_MM).any():
        return list(slices)
    notes.append(counted(len(projections), "projection was", "projections were") + " left out")
    return kept


def _by_orientation(slices: Sequence[Slice], notes: list[str]) -> list[list[Slice]]:
    """The stacks of one orientation that are large enough; few slices askew are localizers."""
    directions = np.array([item.orientation for item in slices])
    keys = [tuple(row) for row in np.round(directions, ORIENTATION_DIGITS)]
    left = np.arange(len(slices))
    stacks: list[list[Slice]] = []
    while left.size:
        common = Counter(keys[index] for index in left).most_common(1)[0][0]
        # Rounding puts close orientations into two bins: gather by distance from the commonest,
        # and then from the middle of those, since any one of them may be off itself.
        middle = np.median(directions[left][_near(directions[left], np.array(common), 2)], axis=0)
        near = _near(directions[left], middle, 1)
        if not near.any():
            near = np.array([keys[index] == common for index in left])
        stacks.append([slices[index] for index in left[near]])
        left = left[~near]
    stacks.sort(key=len, reverse=True)
    large = [stack for stack in stacks if len(stack) >= MIN_SLICES] or stacks[:1]
    askew = sum(map(len, stacks)) - sum(map(len, large))
    if askew:
        notes.append(
            counted(askew, "image of another orientation was", "images of another orientation were")
            + " left out, as localizers"
        )
    return large


def _near(
    directions: NDArray[np.float64], wanted: NDArray[np.float64], times: int
) -> NDArray[np.bool_]:
    """(N,) which of (N, 6) orientations are within some tolerances of the one wanted."""
    near: NDArray[np.bool_] = (
        np.abs(directions - wanted).max(axis=1) <= times * ORIENTATION_TOLERANCE
    )
    return near


def _require_pixels(slices: Sequence[Slice]) -> None:
    """Refuse a series with a file that ends before its pixels do, or has pixels for more."""
    for index, item in enumerate(slices):
        layout = item.layout
        needed = layout.rows * layout.columns * (layout.bits_allocated // 8) * (item.frames or 1)
        length = needed if layout.length is None else layout.length
        name = slice_name(item.path, index, len(slices)).replace("slice", "file")
        if item.pixels != "whole" or length < needed:
            raise ScanRejected("TRUNCATED", f"the pixel data should be whole in {name}")
        if length > needed + min(needed - 1, MAX_EXCESS_BYTES):
            raise ScanRejected(
                "CORRUPT",
                f"{layout.rows} rows and {layout.columns} columns should take {needed} bytes; "
                f"{length} in {name}",
            )


def _require_one_matrix(slices: Sequence[Slice]) -> None:
    """Refuse slices of different rows, columns or pixel spacing."""
    checks: tuple[tuple[str, Callable[[Slice], tuple[float, ...]]], ...] = (
        ("rows and columns", lambda item: (item.layout.rows, item.layout.columns)),
        ("pixel spacing", lambda item: item.spacing_mm or ()),
    )
    first = slices[0]
    for index, item in enumerate(slices):
        for what, of in checks:
            if of(item) == of(first):
                continue
            if not np.allclose(of(item), of(first), rtol=PIXEL_TOLERANCE, atol=0):
                wanted, got = " x ".join(f"{v:g}" for v in of(first)), of(item)
                raise ScanRejected(
                    "MIXED_MATRIX",
                    f"slices should have one {what}; {wanted} at first, "
                    f"{' x '.join(f'{v:g}' for v in got)} in "
                    f"{slice_name(item.path, index, len(slices))}",
                )


def _require_size(slices: Sequence[Slice], sizes: Sizes) -> None:
    """Refuse a volume that is too small or too large."""
    count = len(slices)
    if count < MIN_SLICES:
        raise ScanRejected(
            "TOO_FEW_SLICES", f"at least {MIN_SLICES} slices are needed; got {count}"
        )
    layout = slices[0].layout
    if min(layout.rows, layout.columns) < 1:
        raise ScanRejected("CORRUPT", "rows and columns should be positive")
    if count > sizes.slices:
        raise ScanRejected("TOO_LARGE", f"at most {sizes.slices} slices are read; got {count}")
    voxels = count * layout.rows * layout.columns
    if voxels > sizes.voxels:
        raise ScanRejected("TOO_LARGE", f"at most {sizes.voxels} voxels are read; got {voxels}")
