"""Rows of the catalogue: a delivery and its outcome, and the scans that outcomes are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import deliveries as d
import numpy as np
from conftest import AFFINE, small_ct

from liverseg.dicom.write import write_ct_series


class Truth(NamedTuple):
    """A scan that is read: (X, Y, Z) int16 HU and (4, 4) voxel to RAS mm."""

    image: np.ndarray
    affine: np.ndarray


@dataclass(frozen=True)
class Case:
    """One delivery.

    Attributes:
        make: changes a folder with the clean slices of `start`.
        outcome: of each scan, in any order: what is read, or the code of the refusal.
        start: what the folder holds at first.
    """

    make: d.Change
    outcome: Sequence[Truth | str]
    start: Truth

    def write(self, folder: Path) -> None:
        """Write the delivery into a new folder."""
        write_ct_series(self.start.image, self.start.affine, folder)
        self.make(folder)


EXACT = Truth(*small_ct())
COUNT = EXACT.image.shape[2]
NOISE = Truth(
    np.random.default_rng(5).integers(-32768, 32768, size=(40, 32, 12)).astype(np.int16), AFFINE
)


def case(make: d.Change, *outcome: Truth | str, start: Truth = EXACT) -> Case:
    """A row; without an outcome the scan is read exactly."""
    return Case(make, outcome or (start,), start)


def lying(columns: Sequence[int], signs: Sequence[int]) -> Truth:
    """The scan with its axes along other directions of the patient."""
    affine = AFFINE.copy()
    affine[:3, :3] = affine[:3, list(columns)] * signs
    return Truth(EXACT.image, affine)


def tilted(degrees: float) -> Truth:
    """The scan from a tilted gantry: y moves with z."""
    affine = AFFINE.copy()
    affine[1, 2] = 3 * np.tan(np.radians(degrees))
    return Truth(EXACT.image, affine)


def long_scan() -> Truth:
    """The scan four times one after the other."""
    return Truth(np.concatenate([EXACT.image] * 4, axis=2), AFFINE)


def oblique() -> Truth:
    """The scan turned by 0.3 rad about z."""
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]]
    return Truth(EXACT.image, turn @ AFFINE)


def between() -> Truth:
    """The scan half a slice further up."""
    affine = AFFINE.copy()
    affine[2, 3] += 1.5
    return Truth(EXACT.image, affine)


def start_of(count: int) -> Truth:
    """The first slices of the scan."""
    return Truth(EXACT.image[:, :, :count], AFFINE)


def above() -> Truth:
    """The scan once more, where it would go on."""
    affine = AFFINE.copy()
    affine[2, 3] += 3 * COUNT
    return Truth(EXACT.image, affine)


def with_low_values() -> Truth:
    """The scan with a round field of view: -2000 in the corners."""
    image = EXACT.image.copy()
    image[:5, :5] = -2000
    return Truth(image, AFFINE)


def scaled(slope: float, intercept: float) -> Truth:
    """`small_ct` cut to bytes and scaled."""
    stored = (EXACT.image + 1024) % 200
    return Truth((stored * slope + intercept).astype(np.int16), AFFINE)
