"""Which images belong to one series, by their identifiers or, without, by where they lie."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from liverseg.dicom.geometry import ORIENTATION_TOLERANCE, heights_mm, is_even
from liverseg.dicom.image import Slice
from liverseg.dicom.images import CT_CLASSES

SPACING_TOLERANCE = 1e-3  # relative, between the pixel spacings of one series


def grouped(images: Iterable[Slice]) -> list[tuple[list[Slice], bool]]:
    """The images of each series, and whether it is torn.

    A series is what has one patient, study, series and kind. Without a series UID it is what lies
    in one folder and is alike in orientation, spacing and matrix.

    Args:
        images: of any number of files, in their order.

    Returns:
        Groups in order of their first image. A torn one is a scan whose slices name several
        patients or studies, its identifiers corrected while it was sent: it would be two halves
        without a word.
    """
    groups: dict[tuple[object, ...], list[Slice]] = defaultdict(list)
    kinds = _Kinds()
    for item in images:
        groups[_key(item, kinds)].append(item)
    return _torn_together(_joined(groups), kinds)


class _Kinds:
    """Numbers for orientations and spacings, one for those that differ by less than they may."""

    def __init__(self) -> None:
        self._known: list[tuple[np.ndarray, np.ndarray]] = []
        self._numbers: dict[tuple[object, ...], int] = {}

    def number(self, item: Slice) -> int:
        """Of an image's orientation and spacing; how they are written says nothing."""
        written = (item.orientation, item.spacing_mm)
        if written not in self._numbers:
            self._numbers[written] = self._alike(item)
        return self._numbers[written]

    def _alike(self, item: Slice) -> int:
        orientation, spacing_mm = np.array(item.orientation or ()), np.array(item.spacing_mm or ())
        for number, (direction, size_mm) in enumerate(self._known):
            if direction.shape != orientation.shape or size_mm.shape != spacing_mm.shape:
                continue
            turned = np.abs(direction - orientation) > ORIENTATION_TOLERANCE
            if not turned.any() and np.allclose(size_mm, spacing_mm, SPACING_TOLERANCE, 0):
                return number
        self._known.append((orientation, spacing_mm))
        return len(self._known) - 1


def _key(item: Slice, kinds: _Kinds) -> tuple[object, ...]:
    """What the images of one series have in common."""
    kind = "CT" if item.sop_class in CT_CLASSES else item.sop_class or item.modality
    if item.series_uid:
        return (item.patient_key, item.study_uid, item.series_uid, kind)
    layout = item.layout
    seen = (item.path.parent, kinds.number(item), layout.rows, layout.columns)
    return (item.patient_key, item.study_uid, kind, *seen)


def _joined(groups: Mapping[tuple[object, ...], list[Slice]]) -> list[list[Slice]]:
    """The groups; one without its patient or its study goes to the only one it may belong to."""
    joined = dict(groups)
    for key, group in groups.items():
        if not group[0].series_uid or all(key[:2]):
            continue
        alike = [
            other
            for other in joined
            if other != key
            and other[2:] == key[2:]
            and all(mine in ("", its) for mine, its in zip(key[:2], other[:2], strict=True))
        ]
        if len(alike) == 1:
            joined[alike[0]] = [*joined[alike[0]], *joined.pop(key)]
    return list(joined.values())


def _torn_together(groups: Iterable[list[Slice]], kinds: _Kinds) -> list[tuple[list[Slice], bool]]:
    """The groups, those that are one torn scan together.

    Two scans that share a UID show the same places, or lie in frames of reference of their own;
    without a frame of reference they do not make one even row.
    """
    alike: dict[tuple[object, ...], list[list[Slice]]] = defaultdict(list)
    for group in groups:
        first = group[0]
        named = first.series_uid and first.sop_class in CT_CLASSES
        # What has no such name is alike to nothing else.
        where = (first.series_uid, first.frame_of_reference, kinds.number(first))
        alike[where if named else (id(first),)].append(group)
    together = []
    for several in alike.values():
        if len(several) > 1 and _is_one_scan(several):
            together.append(([item for group in several for item in group], True))
        else:
            together.extend((group, False) for group in several)
    return together


def _is_one_scan(groups: Sequence[Sequence[Slice]]) -> bool:
    """Whether groups with one orientation and frame of reference, if any, hold no place twice."""
    slices = [item for group in groups for item in group]
    places = {item.position for item in slices}
    if None in places or len(places) < sum(len({item.position for item in g}) for g in groups):
        return False
    if slices[0].frame_of_reference:
        return True
    return slices[0].orientation is not None and is_even(heights_mm(slices))
