"""The transform around the CRF: windows, spacing, heads and the box that is looked at."""

from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor

from liverseg.crf import CrfParameters, mixed_logit, refine
from liverseg.refinement import MARGIN_MM, RefineD

WINDOW = (-100.0, 250.0)
SPACING_MM = (2.0, 4.0, 5.0)
PARAMETERS = CrfParameters(3.0, 8.0, 25.0, 1.0, 4.0)


def network_image(shape: tuple[int, int, int]) -> MetaTensor:
    """A windowed image with axes that are turned in the world, so that the diagonal misleads."""
    affine = torch.zeros(4, 4, dtype=torch.float64)
    affine[1, 0], affine[2, 1], affine[0, 2], affine[3, 3] = 2.0, 4.0, -5.0, 1.0
    values = torch.rand(1, *shape, generator=torch.Generator().manual_seed(0))
    return MetaTensor(values, affine=affine)


def test_heads_are_mixed_refined_in_mm_and_hu_and_kept() -> None:
    image = network_image((8, 7, 6))
    heads = torch.randn(3, 8, 7, 6, generator=torch.Generator().manual_seed(1))
    step = RefineD("pred", WINDOW, PARAMETERS, tau=(0.3, 0.2))
    found = step({"image": image, "pred": heads})["pred"]
    hounsfield = image.as_tensor()[0] * 350 - 100
    expected = refine(mixed_logit(heads, (0.3, 0.2)), hounsfield, SPACING_MM, PARAMETERS)
    assert torch.allclose(found[0], expected, atol=1e-5)
    assert torch.equal(found[1:], heads[1:])


def test_only_the_box_of_what_may_be_liver_is_touched() -> None:
    image = network_image((60, 20, 16))
    logit = torch.full((1, 60, 20, 16), -20.0)
    logit[0, 30:33, 4:9, 5:8] = 2.0
    found = RefineD("pred", WINDOW, PARAMETERS)({"image": image, "pred": logit})["pred"]
    touched = torch.nonzero((found != logit)[0].any(-1).any(-1)).flatten()
    margin = int(MARGIN_MM / SPACING_MM[0])
    assert touched.min() >= 30 - margin
    assert touched.max() <= 32 + margin
    assert len(touched) > 3


def test_scan_without_a_liver_is_left_alone() -> None:
    logit = torch.full((3, 6, 5, 4), -9.0)
    found = RefineD("pred", WINDOW, PARAMETERS)({"image": network_image((6, 5, 4)), "pred": logit})
    assert torch.equal(found["pred"], logit)


def test_half_precision_and_meta_data_stay() -> None:
    image = network_image((6, 5, 4))
    logit = MetaTensor(torch.zeros(1, 6, 5, 4, dtype=torch.float16), meta={"a": 1})
    found = RefineD("pred", WINDOW, PARAMETERS)({"image": image, "pred": logit})["pred"]
    assert found.dtype == torch.float16
    assert found.meta["a"] == 1


def test_grids_that_differ_are_both_named() -> None:
    with pytest.raises(ValueError, match=r"one grid; got \[6, 5, 3\] and \[6, 5, 4\] voxels"):
        RefineD("pred", WINDOW, PARAMETERS)(
            {"image": network_image((6, 5, 4)), "pred": torch.zeros(1, 6, 5, 3)}
        )


def test_logits_that_are_nan_are_refused_not_handed_on() -> None:
    logits = torch.full((2, 6, 5, 4), -9.0)
    logits[1, 0, 0, 0] = float("nan")
    with pytest.raises(ValueError, match="the logits pred should hold finite numbers"):
        RefineD("pred", WINDOW, PARAMETERS)({"image": network_image((6, 5, 4)), "pred": logits})


def test_a_voxel_of_0_mm_is_named() -> None:
    image = network_image((6, 5, 4))
    image.affine = image.affine * torch.tensor([1.0, 0.0, 1.0, 1.0])
    with pytest.raises(ValueError, match=r"three lengths above 0 mm; got \[2\.0, 0\.0, 5\.0\]"):
        RefineD("pred", WINDOW, PARAMETERS)({"image": image, "pred": torch.zeros(1, 6, 5, 4)})


@pytest.mark.parametrize("window", [(250.0, -100.0), (0.0, 0.0), (float("nan"), 250.0)])
def test_a_window_that_does_not_rise_is_refused(window: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="the window should rise; got"):
        RefineD("pred", window, PARAMETERS)
