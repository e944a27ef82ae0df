"""Interpolation, with numbers a pencil can check."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from liverseg.interpolation import antialiased, between, mixed, trilinear


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_between_two_voxels_lies_their_weighted_mean(axis: int) -> None:
    shape = [1, 1, 1]
    shape[axis] = 3
    values = torch.tensor([10.0, 20.0, 40.0]).reshape(shape)
    index = torch.tensor([-0.5, 0.0, 0.25, 1.5, 2.0, 2.5])
    place = between(index, 3)
    assert mixed(values, axis, place).flatten().tolist() == [10, 10, 12.5, 30, 40, 40]


def test_shrinking_averages_and_the_same_size_is_left_alone() -> None:
    image = torch.tensor([[[0.0, 4.0, 0.0, 4.0, 0.0, 4.0, 0.0, 4.0]]])
    assert antialiased(image, (1, 8)) is image
    # A triangle of half-width 4 around the middle: weights 1 3 5 7 7 5 3 1 over 32.
    assert antialiased(image, (1, 1)).item() == pytest.approx(2.0, abs=0.3)


def test_affine_of_indices_is_followed_along_its_own_axes() -> None:
    """X is shifted by half a voxel, y doubled, z sheared by x."""
    image = torch.arange(4.0 * 6 * 5).reshape(4, 6, 5)  # image[x, y, z] = 30 x + 5 y + z
    to_image = np.array([[1, 0, 0, 0.5], [0, 2, 0, 0], [1, 0, 1, 1], [0, 0, 0, 1.0]])
    values = trilinear(image, to_image, (2, 3, 2), padding="zeros")
    for x, y, z in np.ndindex(2, 3, 2):
        expected = 30 * (x + 0.5) + 5 * (2 * y) + (z + x + 1)
        assert float(values[x, y, z]) == pytest.approx(expected, abs=1e-3)


def test_outside_is_zero_or_the_nearest_voxel() -> None:
    image = torch.full((2, 2, 2), 3.0)
    away = np.eye(4)
    away[0, 3] = 7.0
    assert float(trilinear(image, away, (1, 1, 1), padding="zeros")) == 0
    assert float(trilinear(image, away, (1, 1, 1), padding="border")) == 3
