"""Boxes are cut, grown and taken apart so that each voxel is there once."""

from __future__ import annotations

import pytest
import torch

from liverseg.tiling import (
    bounding_box,
    difference,
    extended,
    tile_size,
    tiles,
    touched_faces,
    whole,
)

VOLUME = (10, 9, 5)


def box(*ends: tuple[int, int]) -> tuple[slice, slice, slice]:
    x, y, z = (slice(*pair) for pair in ends)
    return x, y, z


@pytest.mark.parametrize("part", [whole(VOLUME), box((3, 10), (0, 8), (1, 4))])
def test_tiles_cover_a_box_once(part: tuple[slice, slice, slice]) -> None:
    covered = torch.zeros(VOLUME)
    for tile in tiles(VOLUME, part, (4, 8, 4), (2, 2, 2), 4):
        covered[tile.inner] += 1
        assert covered[tile.outer][tile.crop].shape == covered[tile.inner].shape
    wanted = torch.zeros(VOLUME)
    wanted[part] = 1
    assert torch.equal(covered, wanted)


def test_a_tile_begins_and_ends_at_the_stride() -> None:
    (tile,) = tiles((40, 40, 40), box((13, 19), (0, 40), (6, 8)), (8, 40, 4), (5, 5, 5), 4)
    # 13 - 5 = 8; 19 + 5 = 24; 6 - 5 = 1, down to 0; 8 + 5 = 13, up to 16.
    assert tile.outer == box((8, 24), (0, 40), (0, 16))
    assert tile.crop == box((5, 11), (0, 40), (6, 8))


def test_tile_size_is_the_whole_volume_where_it_fits() -> None:
    assert tile_size((30, 20, 10), (8, 8, 8), 4, 6000) == (32, 20, 12)


def test_tile_of_a_box_counts_the_halo_that_the_volume_has() -> None:
    # 8 + 2 * 8 = 24 along each axis of a large volume; alone the box has no halo.
    assert tile_size((8, 8, 8), (8, 8, 8), 4, 8**3) == (8, 8, 8)
    assert tile_size((8, 8, 8), (8, 8, 8), 4, 24**3, (90, 90, 90)) == (8, 8, 8)
    assert tile_size((8, 8, 8), (8, 8, 8), 4, 24**3 - 1, (90, 90, 90)) == (4, 8, 8)


def test_no_room_for_a_tile_says_what_it_needs() -> None:
    # One stride of 4 and a halo of 8 on both sides: 20 voxels along each axis.
    with pytest.raises(ValueError, match=r"needs 8000 voxels .* room for 7000"):
        tile_size((100, 100, 100), (8, 8, 8), 4, 7000)


def test_bounding_box_holds_every_true() -> None:
    mask = torch.zeros(VOLUME, dtype=torch.bool)
    assert bounding_box(mask) is None
    mask[2, 8, 1] = mask[6, 3, 1] = True
    assert bounding_box(mask) == box((2, 7), (3, 9), (1, 2))


def test_only_faces_that_the_mask_touches_move() -> None:
    mask = torch.zeros(VOLUME, dtype=torch.bool)
    start = box((2, 7), (3, 8), (1, 3))
    mask[6, 5, 1] = True
    faces = touched_faces(mask, start)
    assert faces == ((False, True), (False, False), (True, False))
    assert extended(start, (2, 2, 2), faces, VOLUME) == box((2, 9), (3, 8), (0, 3))
    assert extended(start, (9, 9, 9), faces, VOLUME) == box((2, 10), (3, 8), (0, 3))


def test_what_a_box_gains_is_cut_into_parts_that_do_not_overlap() -> None:
    small, large = box((2, 7), (3, 8), (1, 3)), box((0, 9), (3, 9), (0, 5))
    covered = torch.zeros(VOLUME)
    covered[small] += 1
    for part in difference(small, large):
        covered[part] += 1
    wanted = torch.zeros(VOLUME)
    wanted[large] = 1
    assert torch.equal(covered, wanted)
    assert list(difference(large, large)) == []
