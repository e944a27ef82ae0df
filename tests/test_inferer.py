"""Tiles give what one pass gives, whatever the size."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from liverseg.dsn import DSN
from liverseg.inferer import AutocastInferer, TiledInferer, tile_size, tiles

KERNELS = ((3, 3, 3), (3, 3, 1), (3, 3, 3), (3, 3, 1), (3, 3, 1), (1, 1, 1))


def small_network() -> DSN:
    torch.manual_seed(0)
    return DSN(channels=(2, 2, 3, 3, 4, 4), kernel_sizes=KERNELS, init="he").eval()


@pytest.mark.parametrize("shape", [(64, 48, 40), (67, 45, 41), (5, 70, 3), (1, 1, 1)])
@pytest.mark.parametrize("max_voxels", [30_000, 60_000])
def test_tiles_give_the_answer_of_one_pass(shape: tuple[int, ...], max_voxels: int) -> None:
    network = small_network()
    image = torch.rand(1, 1, *shape)
    with torch.no_grad():
        whole = network(image)
    tiled = TiledInferer(max_voxels=max_voxels, amp=False)(image, network)
    assert tiled.shape == whole.shape
    assert torch.allclose(tiled, whole, atol=1e-5)


def test_a_halo_that_is_too_small_is_found_out() -> None:
    """The comparison above can fail: with a halo of one stride the tiles differ."""
    network = small_network()
    image = torch.rand(1, 1, 64, 48, 40)
    with torch.no_grad():
        whole = network(image)
    tiled = TiledInferer(max_voxels=20_000, amp=False, halo=(4, 4, 4))(image, network)
    assert not torch.allclose(tiled, whole, atol=1e-3)


def test_large_volume_is_really_cut() -> None:
    sizes = []

    class Recorder(nn.Module):
        halo = (4, 4, 4)
        stride = 4

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            sizes.append(tuple(image.shape[2:]))
            return image

    image = torch.rand(1, 1, 32, 16, 16)
    answer = TiledInferer(max_voxels=24 * 16 * 16, amp=False)(image, Recorder())
    assert torch.equal(answer, image)
    assert sizes == [(20, 16, 16), (20, 16, 16)]


def test_tiles_cover_the_volume_once() -> None:
    covered = torch.zeros(10, 9, 5)
    for inner, outer, crop in tiles((10, 9, 5), (4, 8, 4), (2, 2, 2)):
        covered[inner] += 1
        block = covered[outer]
        assert block[crop].shape == covered[inner].shape
    assert torch.equal(covered, torch.ones(10, 9, 5))


def test_tile_size_is_the_whole_volume_where_it_fits() -> None:
    assert tile_size((30, 20, 10), (8, 8, 8), 4, 6000) == (32, 20, 12)


def test_no_room_for_a_tile_says_what_it_needs() -> None:
    # One stride of 4 and a halo of 8 on both sides: 20 voxels along each axis.
    with pytest.raises(ValueError, match=r"needs 8000 voxels .*max_voxels is 7000"):
        tile_size((100, 100, 100), (8, 8, 8), 4, 7000)


def test_network_without_a_halo_is_refused_where_tiles_are_needed() -> None:
    image = torch.rand(1, 1, 4, 4, 4)
    assert torch.equal(TiledInferer(max_voxels=64, amp=False)(image, nn.Identity()), image)
    with pytest.raises(ValueError, match=r"64 voxels .* Identity states none"):
        TiledInferer(max_voxels=63)(image, nn.Identity())


def test_network_whose_voxels_see_everything_is_not_cut_into_tiles() -> None:
    network = DSN(channels=(2, 2, 3, 3, 4, 4), kernel_sizes=KERNELS, norm="instance").eval()
    with pytest.raises(ValueError, match="DSN states none"):
        TiledInferer(max_voxels=4_000)(torch.rand(1, 1, 20, 20, 20), network)


def test_mixed_precision_agrees_with_single() -> None:
    network = small_network()
    image = torch.rand(1, 1, 32, 24, 16)
    with torch.no_grad():
        single = AutocastInferer(amp=False)(image, network)
        mixed = AutocastInferer(amp=True)(image, network)
    assert mixed.dtype == torch.bfloat16
    assert torch.allclose(mixed.float(), single, atol=0.05 * float(single.abs().max()))
