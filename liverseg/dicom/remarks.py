"""What a reader of the report should know of a volume that is accepted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from liverseg.dicom.geometry import heights_mm, uneven_positions
from liverseg.dicom.image import Slice
from liverseg.dicom.kind import is_reformatted
from liverseg.dicom.numbering import thinned_notes
from liverseg.dicom.pixels import LOSSY_SYNTAXES, MAYBE_LOSSY_SYNTAXES
from liverseg.dicom.rescale import is_undeclared
from liverseg.dicom.split import RECONSTRUCTION_KEYWORDS, natural
from liverseg.dicom.values import PHASE_KEYWORDS


def remarks(slices: Sequence[Slice]) -> list[str]:
    """Sentences for the reader of a report.

    Args:
        slices: of one accepted volume, sorted by position.
    """
    found = thinned_notes(slices)
    if is_undeclared(slices):
        found.append(
            "the headers do not say that the values are HU: read only if they look like it"
        )
    if uneven_positions(slices) is not None:
        gaps = np.diff(heights_mm(slices))
        found.append(f"unevenly spaced slices, {gaps.min():.3f} to {gaps.max():.3f} mm apart")
    if any(item.lossy or item.transfer_syntax in LOSSY_SYNTAXES for item in slices):
        found.append("the images were compressed with loss")
    elif any(item.transfer_syntax in MAYBE_LOSSY_SYNTAXES for item in slices):
        found.append("the images may have been compressed with loss")
    if any(map(is_reformatted, slices)):
        found.append("a reformatted series (MPR)")
    for keyword in RECONSTRUCTION_KEYWORDS:
        number = PHASE_KEYWORDS.index(keyword)
        if len({natural(item.phase[number]) for item in slices if item.phase[number]}) > 1:
            found.append(f"not all slices have the same {keyword}")
    if any(item.frame_of_reference == "" for item in slices):
        found.append("no frame of reference: no DICOM SEG")
    if any("" in (item.sop_uid, item.series_uid, item.study_uid) for item in slices):
        found.append("blank identifiers: no DICOM SEG")
    return found
