"""Two looks answer what one look at the whole scan answers, wherever the liver lies."""

from __future__ import annotations

import math

import pytest
import torch
from monai.data import MetaTensor
from torch import nn

from liverseg.cascade import (
    LEAST_SHARE,
    OUTSIDE_LOGIT,
    CascadeInferer,
    coarse_image,
    guidance,
    with_coarse,
)
from liverseg.component import without_small
from liverseg.dsn import DSN
from liverseg.heads import LiverHeads
from liverseg.inferer import TiledInferer

SHAPE = (46, 41, 38)  # no multiples of 3 or 4
KERNELS = ((3, 3, 3), (3, 3, 1), (3, 3, 3), (3, 3, 1), (3, 3, 1), (1, 1, 1))


class Bright(nn.Module):
    """Liver is what is brighter than the middle; sees one voxel at a time.

    Args:
        looked_at: where the sizes of what it is given are noted.
    """

    halo = (4, 4, 4)
    stride = 4

    def __init__(self, looked_at: list[tuple[int, ...]] | None = None, in_channels: int = 1):
        super().__init__()
        self.looked_at = [] if looked_at is None else looked_at
        self.in_channels = in_channels

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.looked_at.append(tuple(image.shape[1:]))
        return (image[:, :1] - 0.5) * 10


class Nowhere(Bright):
    """Sees a liver nowhere."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return super().forward(torch.zeros_like(image))


class Corner(Bright):
    """Sees nothing but the low third of the bright along the first axis."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        seen = super().forward(image).clone()
        seen[:, :, seen.shape[2] // 3 :] = -5
        return seen


def bright_box(*ends: tuple[int, int], shape: tuple[int, int, int] = SHAPE) -> torch.Tensor:
    """(1, 1, X, Y, Z): 0.9 in a box, 0.1 elsewhere."""
    image = torch.full((1, 1, *shape), 0.1)
    x, y, z = (slice(*pair) for pair in ends)
    image[:, :, x, y, z] = 0.9
    return image


def network(in_channels: int = 2) -> LiverHeads:
    """A random network whose main head is positive in about half of the voxels."""
    torch.manual_seed(1)
    dsn = DSN(in_channels, channels=(2, 2, 3, 3, 4, 4), kernel_sizes=KERNELS, init="he").eval()
    return LiverHeads(dsn)


def whole_answer(image: torch.Tensor, fine: nn.Module, coarse: nn.Module) -> torch.Tensor:
    """The fine network on the whole scan, in one pass."""
    with torch.no_grad():
        guide = guidance(coarse(coarse_image(image, 3))[:, :1], tuple(image.shape[2:]), 3)
        return fine(torch.cat([image, guide], dim=1) if fine.in_channels == 2 else image)


LIVERS = {
    "inside": ((12, 30), (9, 25), (10, 22)),
    "at a low border": ((0, 14), (5, 20), (0, 9)),
    "at a high border": ((30, 46), (20, 41), (25, 38)),
    "everywhere": ((0, 46), (0, 41), (0, 38)),
}


@pytest.mark.parametrize("in_channels", [1, 2])
@pytest.mark.parametrize("liver", LIVERS.values(), ids=LIVERS)
def test_in_the_box_the_answer_is_that_of_the_whole_scan(
    liver: tuple[tuple[int, int], ...], in_channels: int
) -> None:
    image, fine, coarse = bright_box(*liver), network(in_channels), Bright()
    # Tiles too, of the box and its halo.
    inferer = CascadeInferer(coarse, tiles=TiledInferer(max_voxels=60_000, amp=False))
    answer = inferer(image, fine)
    wanted = whole_answer(image, fine, coarse)
    assert answer.shape == wanted.shape
    looked_at = answer[0, 0] != OUTSIDE_LOGIT
    assert looked_at[image[0, 0] > 0.5].all()
    assert torch.allclose(answer[:, :, looked_at], wanted[:, :, looked_at], atol=1e-5)
    # No face of the box inside the scan holds what may be liver: nothing that is kept is cut.
    mask = torch.from_numpy(without_small((answer[0, 0] > 0).numpy(), LEAST_SHARE))
    for axis in range(3):
        for number in range(1, mask.shape[axis] - 1):
            layer = looked_at.select(axis, number)
            beside = looked_at.select(axis, number - 1) & looked_at.select(axis, number + 1)
            assert not (mask.select(axis, number) & layer & ~beside).any()


@pytest.mark.parametrize("shape", [(46, 41, 38), (5, 70, 3), (1, 1, 1), (2, 3, 4)])
def test_any_size_gives_the_mask_of_the_whole_scan(shape: tuple[int, int, int]) -> None:
    ends = [(length // 4, max(1, length * 3 // 4)) for length in shape]
    image = bright_box(*ends, shape=shape)
    answer = CascadeInferer(Bright(), threshold=0.01)(image, Bright())
    assert torch.equal(answer[0, 0] > 0, image[0, 0] > 0.5)


def test_box_grows_until_the_mask_does_not_touch_it() -> None:
    image = bright_box((6, 44), (10, 20), (10, 20))
    sizes: list[tuple[int, ...]] = []
    answer = CascadeInferer(Corner(), margin=4)(image, Bright(sizes))
    assert torch.equal(answer[0, 0] > 0, image[0, 0] > 0.5)
    assert len(sizes) > 1
    # Only along the axis that was touched.
    assert {size[2:] for size in sizes} == {sizes[0][2:]}
    # 46 voxels in all, each answered for once; a halo of 4 and up to 3 for the stride at each end.
    assert sum(size[1] for size in sizes) <= 46 + 2 * (4 + 3) * len(sizes)


@pytest.mark.parametrize(("width", "followed"), [(4, False), (20, True)])
def test_box_grows_after_another_piece_only_if_that_is_not_small(
    width: int, followed: bool
) -> None:
    # The coarse look sees the low piece only, 20 x 24 x 20 voxels; the other one goes on to the
    # end of the scan, up to the box's face and beyond.
    image = bright_box((2, 22), (10, 34), (10, 30), shape=(72, 41, 38))
    image[:, :, 24:70, 10 : 10 + width, 10 : 10 + width] = 0.9
    sizes: list[tuple[int, ...]] = []
    answer = CascadeInferer(Corner(), margin=8)(image, Bright(sizes))
    assert (len(sizes) > 1) is followed
    assert bool(answer[0, 0, 69, 10, 10] > 0) is followed
    assert (answer[0, 0, 2:22, 10:34, 10:30] > 0).all()


def test_small_pieces_of_the_coarse_look_are_not_looked_at() -> None:
    image = bright_box((2, 22), (10, 34), (10, 30), shape=(72, 41, 38))
    image[:, :, 60:66, 10:16, 10:16] = 0.9
    sizes: list[tuple[int, ...]] = []
    CascadeInferer(Bright(), margin=2)(image, Bright(sizes))
    assert len(sizes) == 1
    assert sizes[0][1] < 40


def test_no_coarse_liver_is_no_liver_and_no_fine_pass() -> None:
    sizes: list[tuple[int, ...]] = []
    answer = CascadeInferer(Nowhere())(bright_box((5, 9), (5, 9), (5, 9)), Bright(sizes))
    assert (answer == OUTSIDE_LOGIT).all()
    assert answer.shape == (1, 1, *SHAPE)
    assert sizes == []


def test_fine_network_looks_at_the_box_and_its_halo_only() -> None:
    sizes: list[tuple[int, ...]] = []
    CascadeInferer(Bright(), margin=2)(bright_box((18, 24), (12, 18), (15, 21)), Bright(sizes))
    # The probability is above a half from voxel 17 to 24 or so: 6 + 2 * (1 + 2 margin + 4 halo),
    # rounded outwards to the stride.
    assert len(sizes) == 1
    assert max(sizes[0]) <= 24


def test_guidance_is_the_second_channel_where_there_are_two() -> None:
    image, coarse = bright_box((12, 30), (9, 25), (10, 22)), Bright()
    given: list[torch.Tensor] = []

    class Keeper(Bright):
        halo = (48, 48, 48)  # so that the box with its halo is the whole scan

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            given.append(image)
            return image[:, :1] - 0.5

    CascadeInferer(coarse)(image, Keeper(in_channels=2))
    wanted = guidance(coarse(coarse_image(image, 3)), SHAPE, 3)
    assert torch.equal(given[0], torch.cat([image, wanted], dim=1))


def test_both_networks_answers_are_added_where_the_fine_one_is_guided() -> None:
    image, coarse = bright_box((12, 30), (9, 25), (10, 22)), Bright()

    class Indifferent(Bright):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return image[:, :1] * 0 + 0.25

    guide = guidance(coarse(coarse_image(image, 3)), SHAPE, 3)
    fine = Indifferent(in_channels=2)
    alone = CascadeInferer(coarse)(image, fine)
    both = CascadeInferer(coarse, coarse_weight=0.5)(image, fine)
    assert bool((alone > OUTSIDE_LOGIT).all())  # all is liver to it: the box is the whole scan
    inside = both > OUTSIDE_LOGIT
    coarse_logit = torch.logit(guide, eps=1e-6)  # below 8 in this image
    wanted = 0.25 + 0.5 * coarse_logit.sign() * (coarse_logit.abs() - 2).clamp(min=0)
    assert torch.allclose(both[inside], wanted[inside], atol=1e-5)
    assert bool((both[guide > 0.9] > 0.25).all())
    unguided = CascadeInferer(coarse, coarse_weight=0.5)(image, Indifferent())
    assert torch.equal(unguided, CascadeInferer(coarse)(image, Indifferent()))


def test_coarse_logit_counts_where_it_is_sure_and_up_to_a_limit() -> None:
    """Beyond 2, which is a probability of 0.88, and up to 8; the weight is a half."""
    probability = torch.tensor([0.0, 1e-6, 0.02, 0.15, 0.5, 0.85, 0.99, 1 - 1e-6, 1.0])
    guide = probability.reshape(1, 1, -1, 1, 1)
    both = with_coarse(torch.full((1, 2, 9, 1, 1), 0.25), guide, 0.5)
    no, yes = (2 - math.log(49)) / 2, (math.log(99) - 2) / 2
    wanted = torch.tensor([-3, -3, no, 0, 0, 0, yes, 3, 3]) + 0.25
    for head in both[0]:
        assert torch.allclose(head.flatten(), wanted, atol=1e-3)


def test_meta_data_and_half_precision_come_through() -> None:
    image = MetaTensor(bright_box((12, 30), (9, 25), (10, 22)), affine=torch.eye(4) * 2)
    tiles = TiledInferer(amp=False, dtype=torch.float16)
    answer = CascadeInferer(Bright(), tiles=tiles)(image, network())
    assert answer.dtype == torch.float16
    assert isinstance(answer, MetaTensor)
    assert torch.equal(answer.affine, image.affine)


def test_coarse_voxel_is_the_mean_of_its_fine_ones_and_the_end_is_repeated() -> None:
    image = torch.arange(4.0).reshape(1, 1, 4, 1, 1)
    # 0 1 2 | 3 3 3
    assert coarse_image(image, 3).flatten().tolist() == [1.0, 3.0]
    assert coarse_image(torch.rand(2, 1, 7, 6, 5), 3).shape == (2, 1, 3, 2, 2)


def test_guidance_is_interpolated_between_the_centres_of_coarse_voxels() -> None:
    # Probabilities 0.5 and 1; their centres are the fine voxels 1 and 4.
    logit = torch.tensor([0.0, 100.0]).reshape(1, 1, 2, 1, 1)
    fine = guidance(logit, (5, 2, 1), 3)
    assert fine.shape == (1, 1, 5, 2, 1)
    assert torch.allclose(fine[0, 0, :, 0, 0], torch.tensor([3, 3, 4, 5, 6]) / 6)


def test_coarse_of_a_ramp_comes_back_without_a_shift() -> None:
    ramp = torch.linspace(-2, 2, 30).reshape(1, 1, 30, 1, 1).expand(1, 1, 30, 6, 6)
    back = guidance(coarse_image(ramp, 3), (30, 6, 6), 3)
    wanted = torch.sigmoid(ramp)
    assert torch.allclose(back[:, :, 3:-3], wanted[:, :, 3:-3], atol=0.01)


@pytest.mark.parametrize(
    "wrong", [{"factor": 0}, {"margin": 0}, {"threshold": 1.0}, {"coarse_weight": -1.0}]
)
def test_impossible_numbers_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="are wanted"):
        CascadeInferer(Bright(), **wrong)  # type: ignore[arg-type]


def test_more_than_one_image_is_refused() -> None:
    with pytest.raises(ValueError, match=r"one image \(1, 1, X, Y, Z\) is wanted; got \[2, 1"):
        CascadeInferer(Bright())(torch.zeros(2, 1, 8, 8, 8), Bright())
