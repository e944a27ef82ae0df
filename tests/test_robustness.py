"""Scans made worse for the robustness table: image and reference stay one scan."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.robustness import painted, row_of, thick, worse
from liverseg.pipeline import Pipeline

AFFINE = np.diag([2.0, 1.5, 3.0, 1.0])
IMAGE = np.zeros((6, 5, 40), np.int16)
IMAGE[1:5, 1:4, 11:31] = 60  # both ends of the liver lie within a pair of slices
MASK = IMAGE > 0


class _Above:
    """A pipeline's parts that take for liver what is above 20 HU."""

    def before(self, data: dict[str, Any]) -> dict[str, Any]:
        return {"image": torch.from_numpy(data["image"].image[None].astype(np.float32))}

    def infer(self, image: torch.Tensor, network: Any) -> torch.Tensor:
        return image

    def after(self, data: dict[str, Any]) -> dict[str, Any]:
        return {"pred": (data["pred"] > 20).to(torch.uint8)}


@pytest.fixture
def pipeline() -> Pipeline:
    parts = _Above()
    return Pipeline(parts.before, None, parts.infer, parts.after, torch.device("cpu"), "0" * 64)  # type: ignore[arg-type]


def test_thick_slices_are_scored_against_the_thin_reference(pipeline: Pipeline) -> None:
    """What is half liver at both ends is found whole: two thin slices too many of twenty."""
    row = row_of(pipeline, *thick(IMAGE, MASK, AFFINE))
    voxel_ml = abs(np.linalg.det(AFFINE[:3, :3])) / 1000
    assert row.name == "slices of 6.0 mm"
    assert row.reference_ml == pytest.approx(MASK.sum() * voxel_ml)
    assert row.found_ml == pytest.approx(MASK.sum() * voxel_ml * 22 / 20)
    assert row.dice == pytest.approx(2 * 20 / 42)


def test_every_worse_scan_has_a_reference_that_fits(pipeline: Pipeline) -> None:
    rows = [row_of(pipeline, *one) for one in worse(IMAGE, MASK, AFFINE)]
    names = {row.name: row for row in rows}
    assert names["as it is"].dice == 1
    assert names["upper half of the liver"].dice == 1
    assert names["lower half of the liver"].dice == 1
    halves = [names[f"{half} half of the liver"].reference_ml for half in ("upper", "lower")]
    assert sum(halves) == pytest.approx(names["as it is"].reference_ml)


def test_lesions_are_balls_of_their_size_within_the_liver() -> None:
    everywhere = np.ones((60, 80, 40), bool)
    ball = painted(everywhere, AFFINE, 1, (9.0, 9.0))
    voxel_mm3 = abs(np.linalg.det(AFFINE[:3, :3]))
    reach = np.ptp(np.argwhere(ball), axis=0) * np.diag(AFFINE)[:3]
    assert ball.sum() * voxel_mm3 <= 4 / 3 * np.pi * 9**3 * 1.1
    assert (reach <= 18).all()
    assert reach.max() > 12
    assert not (painted(MASK, AFFINE, 5, (3.0, 9.0)) & ~MASK).any()
    assert painted(MASK, AFFINE, 5, (3.0, 9.0)).any()
