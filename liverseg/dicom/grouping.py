"""Which images belong to one series, by their identifiers or, without, by where they lie."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from liverseg.dicom.geometry import ORIENTATION_TOLERANCE, is_even
from liverseg.dicom.image import Slice
from liverseg.dicom.images import CT_CLASSES

PIXEL_TOLERANCE = 1e-3  # relative, between the pixel spacings of one series
Key = tuple[object, ...]
Value = TypeVar("Value", bound=Hashable)


def grouped(images: Iterable[Slice]) -> list[tuple[list[Slice], bool]]:
    """The images of each series, and whether it is torn.

    A series is what has one patient, study, series and kind. Without a series UID it is what lies
    in one folder and is alike in orientation, spacing and matrix.

    Args:
        images: of any number of files, in their order.

    Returns:
        Groups. A torn one is a scan whose slices name several patients or studies, its identifiers
        corrected while it was sent: it would be two halves without a word.
    """
    groups: dict[Key, list[Slice]] = defaultdict(list)
    for item in images:
        groups[_key(item)].append(item)
    series: list[list[Slice]] = []
    for group in _joined(groups):
        series.extend([group] if group[0].series_uid else _alike(group))
    return _torn_together(series)


def _key(item: Slice) -> Key:
    """What the images of one series have in common."""
    kind = "CT" if item.sop_class in CT_CLASSES else item.sop_class or item.modality
    if item.series_uid:
        return (item.patient_key, item.study_uid, item.series_uid, kind)
    seen = (item.path.parent, item.layout.rows, item.layout.columns)
    return (item.patient_key, item.study_uid, kind, *seen)


def _joined(groups: Mapping[Key, list[Slice]]) -> list[list[Slice]]:
    """The groups; one without its patient or its study goes to the only one it may belong to."""
    joined = dict(groups)
    others: dict[Key, list[Key]] = defaultdict(list)
    for key in groups:
        others[key[2:]].append(key)
    for key, group in groups.items():
        if not group[0].series_uid or all(key[:2]):
            continue
        alike = [
            other
            for other in others[key[2:]]
            if other != key
            and other in joined
            and all(mine in ("", its) for mine, its in zip(key[:2], other[:2], strict=True))
        ]
        if len(alike) == 1:
            joined[alike[0]] = [*joined[alike[0]], *joined.pop(key)]
    return list(joined.values())


def _alike(group: Sequence[Slice]) -> list[list[Slice]]:
    """The images that are alike in orientation and spacing; how these are written says nothing.

    Roughly, by twice what they may differ: what they are exactly is judged later.
    """
    unsaid = ((np.inf,) * 6, (np.inf,) * 2)
    said = np.array([[*(i.orientation or unsaid[0]), *(i.spacing_mm or unsaid[1])] for i in group])
    places: dict[tuple[float, ...], list[int]] = defaultdict(list)
    for index, values in enumerate(map(tuple, said.tolist())):
        places[values].append(index)
    left = np.ones(len(group), dtype=bool)
    found = []
    for common in sorted(places, key=lambda values: len(places[values]), reverse=True):
        if not left[places[common][0]]:
            continue
        allowed = [ORIENTATION_TOLERANCE] * 6 + [PIXEL_TOLERANCE * size for size in common[6:]]
        with np.errstate(invalid="ignore"):
            apart = np.abs(said - common)
        # Equal also where nothing is said, which is infinite.
        near = left & ((said == common) | (apart <= 2 * np.array(allowed))).all(axis=1)
        found.append([group[index] for index in np.flatnonzero(near).tolist()])
        left &= ~near
    return found


def _torn_together(groups: Iterable[list[Slice]]) -> list[tuple[list[Slice], bool]]:
    """The groups, those that are one torn scan together.

    Two scans that share a UID show the same places, or lie in frames of reference of their own;
    without a frame of reference they do not make one even row.
    """
    sharing: dict[Key, list[list[Slice]]] = defaultdict(list)
    for group in groups:
        first = group[0]
        named = first.series_uid and first.sop_class in CT_CLASSES
        # What has no such name shares it with nothing else.
        sharing[(first.series_uid,) if named else (id(first),)].append(group)
    together: list[tuple[list[Slice], bool]] = []
    for several in sharing.values():
        frames: dict[str, list[list[Slice]]] = defaultdict(list)
        for group in several:
            frames[_commonest([item.frame_of_reference for item in group])].append(group)
        if len(frames) == 2 and "" in frames:  # lost in a part of the files
            frames = {"": several}
        for frame, those in frames.items():
            if len(those) > 1 and _is_one_scan(those, frame):
                together.append(([item for group in those for item in group], True))
            else:
                together.extend((group, False) for group in those)
    return together


def _is_one_scan(groups: Sequence[Sequence[Slice]], frame_of_reference: str) -> bool:
    """Whether the slices of several groups make one scan: no place is held twice.

    Localizers, which lie askew, do not count.
    """
    main = _commonest([item.orientation for group in groups for item in group])
    if main is None:
        return False
    slices = []
    for group in groups:
        ours = [item for item in group if item.orientation and item.position]
        ours = [item for item in ours if _turned(item, main) <= 2 * ORIENTATION_TOLERANCE]
        if not ours:
            return False
        slices.append(ours)
    every = [item for ours in slices for item in ours]
    if len({item.position for item in every}) < sum(len({i.position for i in o}) for o in slices):
        return False
    return bool(frame_of_reference) or is_even(every)


def _turned(item: Slice, main: Sequence[float]) -> float:
    """The largest difference between the direction cosines of an image and others."""
    return float(np.abs(np.subtract(item.orientation or (), main)).max())


def _commonest(values: Sequence[Value]) -> Value:
    """The value that is there most often."""
    return Counter(values).most_common(1)[0][0]
