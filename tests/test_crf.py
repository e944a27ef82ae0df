"""The CRF against the sum over all pairs, and by numbers a pencil can check."""

from __future__ import annotations

import math

import pytest
import torch

from liverseg.crf import CrfParameters, mixed_logit, refine

SPACING_MM = (2.0, 1.5, 3.0)
PARAMETERS = CrfParameters(
    bilateral_weight=3.0,
    bilateral_mm=4.0,
    bilateral_hu=25.0,
    gaussian_weight=1.0,
    gaussian_mm=2.5,
    iterations=5,
)


def direct(
    logit: torch.Tensor, image: torch.Tensor, spacing_mm: tuple[float, ...], wanted: CrfParameters
) -> torch.Tensor:
    """Mean field with every pair summed in double precision, label by label as in the paper."""
    axes = [torch.arange(n) * mm for n, mm in zip(logit.shape, spacing_mm, strict=True)]
    places = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3).double()
    hu = image.reshape(-1).double()
    far = ((places[:, None] - places) ** 2).sum(-1)
    unlike = (hu[:, None] - hu) ** 2
    bilateral = torch.exp(
        -far / (2 * wanted.bilateral_mm**2) - unlike / (2 * wanted.bilateral_hu**2)
    )
    gaussian = torch.exp(-far / (2 * wanted.gaussian_mm**2))
    pairwise = torch.zeros_like(far)
    for weight, kernel in (
        (wanted.bilateral_weight, bilateral),
        (wanted.gaussian_weight, gaussian),
    ):
        scale = kernel.sum(1).rsqrt()
        pairwise += weight * kernel * scale[:, None] * scale
    pairwise.fill_diagonal_(0)
    liver = torch.sigmoid(logit.reshape(-1).double())
    unary = torch.stack([1 - liver, liver])
    q = unary
    for _ in range(wanted.iterations):
        # Potts: a label pays for every neighbour that has the other one.
        energy = -unary.log() + pairwise.matmul(q.flip(0).T).T
        q = torch.softmax(-energy, dim=0)
    return q[1].view_as(logit)


def volume(
    shape: tuple[int, int, int], seed: int, spread_hu: float = 60.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """A block of liver in other tissue, noisy; a logit that knows it badly."""
    generator = torch.Generator().manual_seed(seed)
    inside = torch.zeros(shape)
    inside[shape[0] // 3 :, : 2 * shape[1] // 3] = 1
    image = 40 + spread_hu * inside + 12 * torch.randn(shape, generator=generator)
    logit = 2 * (inside - 0.5) + 1.5 * torch.randn(shape, generator=generator)
    return logit, image


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("shape", [(9, 8, 7), (12, 5, 6), (1, 9, 8), (7, 1, 1)])
def test_probabilities_are_those_of_the_sum_over_all_pairs(
    shape: tuple[int, int, int], seed: int
) -> None:
    logit, image = volume(shape, seed)
    found = torch.sigmoid(refine(logit, image, SPACING_MM, PARAMETERS))
    expected = direct(logit, image, SPACING_MM, PARAMETERS)
    assert (found - expected).abs().max() < 0.005


@pytest.mark.parametrize(
    "wanted",
    [
        CrfParameters(8.0, 30.0, 10.0, 0.0, 1.0),
        CrfParameters(5.0, 1.0, 60.0, 0.0, 1.0, iterations=10),
        CrfParameters(0.0, 1.0, 1.0, 4.0, 3.0),
        CrfParameters(10.0, 3.0, 5.0, 3.0, 1.0, iterations=1),
    ],
    ids=["wide and selective", "narrow", "no bilateral", "very selective"],
)
def test_probabilities_hold_for_other_parameters(wanted: CrfParameters) -> None:
    logit, image = volume((10, 9, 6), 7)
    found = torch.sigmoid(refine(logit, image, SPACING_MM, wanted))
    assert (found - direct(logit, image, SPACING_MM, wanted)).abs().max() < 0.02


def test_slabs_give_what_one_piece_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    logit, image = volume((12, 8, 7), 1)
    whole = refine(logit, image, SPACING_MM, PARAMETERS)
    monkeypatch.setattr("liverseg.crf.CPU_SLAB_VOXELS", 2 * 8 * 7 + 1)  # two planes of x at once
    assert torch.allclose(refine(logit, image, SPACING_MM, PARAMETERS), whole, atol=1e-4)


def test_two_voxels_move_as_a_pencil_says() -> None:
    # Equal HU, 2 mm apart, both sigmas 2 mm: k = exp(-1/2), n = 1 + k, so k / n is a voxel's share.
    k = math.exp(-0.5)
    wanted = CrfParameters(2.0, 2.0, 20.0, 1.0, 2.0, iterations=1)
    logit = torch.tensor([2.0, -1.0]).view(2, 1, 1)
    found = refine(logit, torch.full((2, 1, 1), 50.0), (2.0, 1.0, 1.0), wanted).flatten()
    share = 3.0 * k / (1 + k)
    expected = [2.0 + share * math.tanh(-0.5), -1.0 + share * math.tanh(1.0)]
    assert found.tolist() == pytest.approx(expected, abs=1e-3)


def test_axes_in_another_order_or_direction_give_the_same() -> None:
    logit, image = volume((9, 8, 7), 4)
    straight = refine(logit, image, SPACING_MM, PARAMETERS)
    turned = refine(
        logit.permute(2, 0, 1).flip(0).contiguous(),
        image.permute(2, 0, 1).flip(0).contiguous(),
        (3.0, 2.0, 1.5),
        PARAMETERS,
    )
    assert torch.allclose(turned.flip(0).permute(1, 2, 0), straight, atol=1e-3)


def test_voxel_size_does_not_change_what_a_weight_means() -> None:
    # A block of liver sampled at 3 and at 1.5 mm; its middle is moved by nearly the same.
    moved = []
    for factor in (1, 2):
        logit = torch.full((8 * factor,) * 3, 0.5)
        image = torch.full_like(logit, 100.0)
        wanted = CrfParameters(2.0, 6.0, 20.0, 1.0, 4.5, iterations=1)
        refined = refine(logit, image, (3.0 / factor,) * 3, wanted)
        moved.append(float(refined[(4 * factor,) * 3] - 0.5))
    assert moved[0] == pytest.approx(moved[1], rel=0.1)


def test_an_island_vanishes_and_a_hole_of_liver_hu_fills() -> None:
    image = torch.full((20, 20, 20), 40.0)
    image[6:14, 6:14, 6:14] = 110.0
    logit = torch.full_like(image, -2.0)
    logit[6:14, 6:14, 6:14] = 2.0
    logit[9:11, 9:11, 9:11] = -0.5  # doubted inside the liver
    logit[1:3, 1:3, 1:3] = 0.5  # thought to be liver where nothing looks like it
    refined = refine(logit, image, SPACING_MM, PARAMETERS)
    assert bool(((refined > 0) == (image > 100)).all())


def test_no_weight_changes_nothing() -> None:
    logit, image = volume((5, 4, 3), 0)
    unchanged = refine(logit, image, SPACING_MM, CrfParameters(0, 1, 1, 0, 1))
    assert torch.equal(unchanged, logit)


def test_mixed_precision_and_gradients_around_it_change_nothing() -> None:
    logit, image = volume((9, 8, 7), 3)
    plain = refine(logit, image, SPACING_MM, PARAMETERS)
    with torch.autocast("cpu", torch.bfloat16):
        found = refine(logit.requires_grad_(), image, SPACING_MM, PARAMETERS)
    assert torch.equal(found, plain)
    assert not found.requires_grad


def test_volume_of_one_value_and_an_empty_one_are_fine() -> None:
    logit = torch.ones(3, 4, 5)
    assert torch.isfinite(refine(logit, torch.zeros(3, 4, 5), SPACING_MM, PARAMETERS)).all()
    empty = torch.empty(0, 4, 5)
    assert refine(empty, empty, SPACING_MM, PARAMETERS).shape == (0, 4, 5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("slab", [1 << 20, 3 * 40 * 20], ids=["one slab", "ten slabs"])
def test_a_gpu_gives_what_the_cpu_gives(slab: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("liverseg.crf.GPU_SLAB_VOXELS", slab)
    logit, image = volume((30, 40, 20), 2)
    on_gpu = refine(logit.cuda(), image.cuda(), SPACING_MM, PARAMETERS)
    assert on_gpu.device.type == "cuda"
    on_cpu = refine(logit, image, SPACING_MM, PARAMETERS)
    assert (torch.sigmoid(on_gpu.cpu()) - torch.sigmoid(on_cpu)).abs().max() < 0.01


def test_mixed_heads_are_a_mean_of_probabilities() -> None:
    logits = torch.tensor([2.0, 0.0, -1.0]).view(3, 1, 1, 1)
    p = 0.5 / (1 + math.exp(-2)) + 0.3 * 0.5 + 0.2 / (1 + math.exp(1))
    expected = math.log(p / (1 - p))
    assert float(mixed_logit(logits, (0.3, 0.2))) == pytest.approx(expected, abs=1e-5)
    assert float(mixed_logit(logits, (0.0, 0.0))) == 2.0
    assert float(mixed_logit(logits[:1], (0.3, 0.2))) == 2.0


@pytest.mark.parametrize("tau", [(0.7, 0.4), (-0.1, 0.2), (math.nan, 0.2)])
def test_shares_that_are_none_are_refused(tau: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="at most 1 in all"):
        mixed_logit(torch.zeros(3, 2, 2, 2), tau)


def test_heads_without_an_axis_are_refused() -> None:
    with pytest.raises(ValueError, match=r"should be \(heads, X, Y, Z\); got \[2, 2, 2\]"):
        mixed_logit(torch.zeros(2, 2, 2), ())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bilateral_weight": -1.0}, "bilateral_weight should be at least 0; got -1"),
        ({"gaussian_mm": 0.0}, "gaussian_mm should be above 0; got 0"),
        ({"bilateral_hu": math.nan}, "bilateral_hu should be above 0; got nan"),
        ({"iterations": 0}, "iterations should be above 0; got 0"),
        ({"iterations": 2.5}, "iterations should be a whole number; got 2.5"),
    ],
)
def test_parameters_that_are_none_are_named(change: dict[str, float], message: str) -> None:
    values = {name: getattr(PARAMETERS, name) for name in PARAMETERS.__dataclass_fields__}
    with pytest.raises(ValueError, match=message):
        CrfParameters(**{**values, **change})


def test_grids_that_differ_are_both_named() -> None:
    with pytest.raises(ValueError, match=r"one grid; got \[4, 4, 4\] and \[4, 4, 3\]"):
        refine(torch.zeros(4, 4, 4), torch.zeros(4, 4, 3), SPACING_MM, PARAMETERS)


def test_nan_and_spacing_0_are_named() -> None:
    zero = torch.zeros(4, 4, 4)
    with pytest.raises(ValueError, match="the image should hold finite numbers"):
        refine(zero, zero.log() - zero.log(), SPACING_MM, PARAMETERS)
    with pytest.raises(ValueError, match=r"three lengths above 0 mm; got \[2\.0, 0\.0, 1\.0\]"):
        refine(zero, zero, (2.0, 0.0, 1.0), PARAMETERS)


def test_an_image_that_was_not_windowed_is_refused() -> None:
    image = torch.tensor([-1024.0, 3071.0]).view(2, 1, 1)
    with pytest.raises(ValueError, match="span at most 100 times bilateral_hu, 2500 HU; it spans"):
        refine(torch.zeros(2, 1, 1), image, SPACING_MM, PARAMETERS)
