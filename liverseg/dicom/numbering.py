"""What the numbers of the images say about slices that positions cannot show to be missing."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from liverseg.dicom.geometry import heights_mm
from liverseg.dicom.image import Slice
from liverseg.dicom.values import counted

THINNED = 1.9  # gaps of so many slice thicknesses may be those of every second slice
MAX_NUMBER = (1 << 31) - 1  # of the type IS (PS3.5 6.2)


def numbering_notes(slices: Sequence[Slice]) -> list[str]:
    """Sentences on images that were numbered by the scanner and are not here.

    A gap between positions is refused elsewhere. At the ends of a scan there is no gap to see, but
    InstanceNumber (PS3.3 C.7.6.1) and ImagesInAcquisition (C.7.6.1) may tell. Both are only hints:
    a scanner may number several series through, so this is a note and no reason to refuse.

    Args:
        slices: all images of one series, localizers too.

    Returns:
        No sentence, or one; none where images have no number, or share one.
    """
    found = [item.instance for item in slices if item.frame is None and item.instance is not None]
    if any(abs(number) > MAX_NUMBER for number in found):
        return []
    numbers = np.unique(np.array(found, dtype=np.int64))
    if len(numbers) < 2 or len(numbers) < len({item.path for item in slices}):
        return []
    steps = np.diff(numbers)
    if np.median(steps) == 1 and steps.max() > 1:
        skipped = int((steps - 1).sum())
        said = counted(skipped, "image number is", "image numbers are")
        return [f"{said} skipped: images may be missing"]
    acquired = {item.acquired for item in slices}
    total = acquired.pop() if len(acquired) == 1 else None
    # Only where the numbers count the images of the acquisition from 1, all steps alike.
    if total is None or steps.max() > 1 or numbers[0] < 1 or numbers[-1] > total:
        return []
    before, after = int(numbers[0]) - 1, total - int(numbers[-1])
    if before + after == 0:
        return []
    return [
        f"of {total} images of the acquisition the first {before} and the last {after} are not "
        "here: slices may be missing at an end of the scan"
    ]


def thinned_notes(slices: Sequence[Slice]) -> list[str]:
    """Sentences on slices that were taken out evenly, so that no gap stands out.

    Args:
        slices: of one accepted volume, sorted by position.

    Returns:
        No sentence, or one where the gaps and the image numbers both say so.
    """
    thickness_mm = slices[0].thickness_mm
    found = [item.instance for item in slices if item.frame is None and item.instance is not None]
    if not thickness_mm or len(found) < len(slices):
        return []
    gap_mm = float(np.median(np.diff(heights_mm(slices))))
    steps = {abs(after - before) for before, after in pairwise(found)}
    if gap_mm < THINNED * thickness_mm or len(steps) != 1 or steps.pop() < 2:
        return []
    return [
        f"slices of {thickness_mm:g} mm lie {gap_mm:.3f} mm apart and their numbers have gaps: "
        "slices may be missing throughout"
    ]
