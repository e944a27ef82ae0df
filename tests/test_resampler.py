"""Values of one grid in a box of another, with numbers a pencil can check."""

from __future__ import annotations

import numpy as np
import torch

from liverseg.resampler import ends_of, reachable_box, resampler

# The scan's voxels are half as long as the volume's, and start at the same corner.
HALVED = np.diag([0.5, 0.5, 0.5, 1.0])
HALVED[:3, 3] = -0.25


def test_box_reaches_from_the_voxel_before_to_the_one_after() -> None:
    above = torch.zeros(10, 8, 6, dtype=torch.bool)
    above[4, 3, 5] = True
    # Volume index 3 is scan index 6.5, 5 is 10.5; 2 is 4.5, 4 is 8.5; 4 is 8.5, the end is 12.
    ends = ends_of(above)
    assert ends == ((3, 5), (2, 4), (4, 6))
    assert reachable_box(ends, HALVED, (20, 16, 12)) == ((6, 12), (4, 10), (8, 12))
    assert ends_of(torch.zeros_like(above)) is None


def test_values_of_a_box_are_those_of_the_whole() -> None:
    volume = torch.rand(7, 6, 5, generator=torch.Generator().manual_seed(0))
    everything = ((0, 14), (0, 12), (0, 10))
    box = ((3, 9), (0, 5), (4, 10))
    for sheared in (False, True):
        whole = resampler(volume, HALVED, everything, sheared)(0, 10)
        part = resampler(volume, HALVED, box, sheared)(5, 8)
        torch.testing.assert_close(part, whole[5:8, 0:5, 3:9])


def test_values_are_linear_between_voxels_and_constant_beyond_the_outermost() -> None:
    volume = torch.tensor([0.0, 4.0]).reshape(2, 1, 1)
    values = resampler(volume, HALVED, ((0, 4), (0, 2), (0, 2)), sheared=False)(0, 1)
    assert values.tolist() == [[[0.0, 1.0, 3.0, 4.0]] * 2]
