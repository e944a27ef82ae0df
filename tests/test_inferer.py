"""Tiles give what one pass gives, whatever the size."""

from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor
from torch import nn

from liverseg.dsn import DSN
from liverseg.heads import LiverHeads
from liverseg.inferer import AutocastInferer, TiledInferer

KERNELS = ((3, 3, 3), (3, 3, 1), (3, 3, 3), (3, 3, 1), (3, 3, 1), (1, 1, 1))


def small_network() -> DSN:
    torch.manual_seed(0)
    return DSN(channels=(2, 2, 3, 3, 4, 4), kernel_sizes=KERNELS, init="he").eval()


@pytest.mark.parametrize("shape", [(64, 48, 40), (67, 45, 41), (5, 70, 3), (1, 1, 1)])
@pytest.mark.parametrize("max_voxels", [45_000, 60_000])
def test_tiles_give_the_answer_of_one_pass(shape: tuple[int, ...], max_voxels: int) -> None:
    network = small_network()
    image = torch.rand(1, 1, *shape)
    with torch.no_grad():
        whole = network(image)
    tiled = TiledInferer(max_voxels=max_voxels, amp=False)(image, network)
    assert tiled.shape == whole.shape
    assert torch.allclose(tiled, whole, atol=1e-5)


@pytest.mark.parametrize("box", [((12, 40), (3, 30), (5, 9)), ((0, 7), (40, 45), (38, 41))])
@pytest.mark.parametrize("max_voxels", [30_000, 1_000_000])
def test_part_of_a_volume_is_answered_for_as_in_the_whole(
    box: tuple[tuple[int, int], ...], max_voxels: int
) -> None:
    network = LiverHeads(small_network())
    image = torch.rand(1, 1, 67, 45, 41)
    x, y, z = (slice(*ends) for ends in box)
    with torch.no_grad():
        whole = network(image)[:, :, x, y, z]
    part = TiledInferer(max_voxels=max_voxels, amp=False).region(image, network, (x, y, z))
    assert part.shape == whole.shape
    assert part.shape[1] == 3  # heads
    assert torch.allclose(part, whole, atol=1e-5)


class Greedy(nn.Module):
    """Needs more memory than there is for more than so many voxels."""

    halo = (4, 4, 4)
    stride = 4

    def __init__(self, room: int, message: str = "can't allocate memory: you tried") -> None:
        super().__init__()
        self.room, self.message = room, message

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        if image.numel() > self.room:
            raise RuntimeError(self.message)
        return image


@pytest.mark.parametrize("max_voxels", [None, 40_000])
def test_smaller_tiles_are_tried_where_memory_is_short(max_voxels: int | None) -> None:
    image = torch.rand(1, 1, 32, 32, 32)
    answer = TiledInferer(max_voxels=max_voxels, amp=False)(image, Greedy(9_000))
    assert torch.equal(answer, image)


def test_not_enough_memory_for_the_smallest_tile_is_said_in_one_line() -> None:
    # One stride of 4 and a halo of 4 on both sides: 12 voxels along each axis.
    with pytest.raises(MemoryError, match=r"a tile needs 1728 voxels") as caught:
        TiledInferer(amp=False)(torch.rand(1, 1, 32, 32, 32), Greedy(1_000))
    assert "\n" not in str(caught.value)


def test_other_errors_of_a_network_are_not_taken_for_want_of_memory() -> None:
    with pytest.raises(RuntimeError, match="wrong size"):
        TiledInferer(amp=False)(torch.rand(1, 1, 9, 9, 9), Greedy(0, "wrong size"))


def test_answer_in_half_precision_is_that_in_single_rounded() -> None:
    network, image = small_network(), torch.rand(1, 1, 40, 24, 16)
    single = TiledInferer(amp=False)(image, network)
    half = TiledInferer(max_voxels=14_000, amp=False, dtype=torch.float16)(image, network)
    assert half.dtype == torch.float16
    assert torch.allclose(half.float(), single, rtol=1e-3, atol=1e-3)


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


def test_tiles_keep_the_meta_data_that_one_pass_keeps() -> None:
    network = nn.Conv3d(1, 2, 3, padding=1)
    image = MetaTensor(torch.rand(1, 1, 24, 24, 24), torch.diag(torch.tensor([2.0, 2, 2, 1])))
    image.meta["a"] = 1
    for most in (None, 8_000):
        logits = TiledInferer(most, amp=False, halo=(4, 4, 4), stride=4)(image, network)
        assert torch.equal(logits.affine, image.affine)
        assert logits.meta["a"] == 1
