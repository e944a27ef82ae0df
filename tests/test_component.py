"""The largest component of a mask, against scipy's own labels and by hand."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage

from liverseg.component import bounding_box, liver_component, without_small


def by_labels(mask: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.bool_], int]:
    """The largest component with its holes filled, and how many there were, voxel by voxel."""
    labels, count = ndimage.label(mask)
    sizes = np.bincount(labels.ravel())[1:]
    return ndimage.binary_fill_holes(labels == sizes.argmax() + 1), count


def test_largest_component_is_kept_and_its_holes_are_filled() -> None:
    mask = np.zeros((20, 18, 16), np.uint8)
    mask[2:12, 2:12, 2:12] = 1
    mask[5:7, 5:7, 5:7] = 0  # a hole inside
    mask[2, 6, 6] = 0  # a dent at the rim stays
    mask[15:18, 15:18, 12:15] = 1  # an island, 27 voxels
    liver = liver_component(mask)
    expected = np.zeros_like(mask)
    expected[2:12, 2:12, 2:12] = 1
    expected[2, 6, 6] = 0
    assert liver.components == 2
    assert np.array_equal(liver.mask, expected)
    assert liver.removed_share == pytest.approx(27 / (1000 - 8 - 1 + 27))


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("order", ["C", "F"])
def test_components_are_those_of_scipy_in_either_memory_order(
    share: float, order: Literal["C", "F"]
) -> None:
    chance = np.random.default_rng(int(100 * share))
    for shape in ((1, 1, 2), (7, 5, 9), (1, 12, 4), (16, 3, 11)):
        noise = (chance.random(shape) < share).astype(np.uint8)
        mask = np.zeros(shape, np.uint8, order=order)
        mask[...] = noise
        mask[0, 0, 0] = 1
        # One piece is the largest: of equal ones either may be kept.
        mask[:, -1] = 1
        expected, count = by_labels(mask)
        liver = liver_component(mask)
        assert np.array_equal(liver.mask, expected)
        assert liver.components == count


def test_an_island_in_a_hole_is_filled_with_it_and_not_removed() -> None:
    mask = np.zeros((9, 9, 9), np.uint8)
    mask[1:8, 1:8, 1:8] = 1
    mask[3:6, 3:6, 3:6] = 0
    mask[4, 4, 4] = 1
    liver = liver_component(mask)
    assert (liver.components, liver.removed_share) == (2, 0.0)
    assert liver.mask.sum() == 7**3


def test_pieces_that_meet_at_the_end_of_rows_only_are_apart() -> None:
    mask = np.zeros((4, 3, 2), np.uint8)
    mask[3, 0, 0] = mask[0, 1, 0] = 1  # one after the other in memory, not in space
    mask[3, 2, 0] = mask[3, 2, 1] = 1
    assert liver_component(mask).components == 3


def test_empty_mask_stays_empty() -> None:
    liver = liver_component(np.zeros((3, 4, 5), np.uint8))
    assert (liver.components, liver.removed_share) == (0, 0.0)
    assert not liver.mask.any()


def test_bounding_box_holds_all_that_is_not_0() -> None:
    mask = np.zeros((5, 6, 7), np.uint8)
    assert bounding_box(mask) is None
    mask[1, 2, 3] = mask[3, 4, 3] = 1
    assert bounding_box(mask) == (slice(1, 4), slice(2, 5), slice(3, 4))


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_components_that_are_small_beside_the_largest_go(share: float) -> None:
    mask = np.random.default_rng(3).random((13, 17, 11)) < 0.3
    labels, _ = ndimage.label(mask)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    expected = mask & (sizes >= share * sizes.max())[labels]
    assert np.array_equal(without_small(mask, share), expected)
    assert np.array_equal(without_small(mask.T, share), expected.T)


def test_empty_mask_has_no_small_components() -> None:
    assert not without_small(np.zeros((4, 5, 6), bool), 0.1).any()
