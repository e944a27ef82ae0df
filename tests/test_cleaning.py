"""What the networks hardly believe is no liver; what they believe stays as it is."""

from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor

from liverseg.cascade import OUTSIDE_LOGIT
from liverseg.cleaning import CertainLiverd, KeepLiverd
from liverseg.transforms import ToScanGridd


def answer(logit: float, elsewhere: float = -5.0) -> MetaTensor:
    """Two heads' logits with one body of the given one, and a hole in it."""
    logits = torch.full((2, 12, 11, 10), elsewhere, dtype=torch.float16)
    logits[:, 3:9, 3:9, 3:8] = logit
    logits[:, 5, 5, 5] = -90.0
    return MetaTensor(logits, affine=torch.diag(torch.tensor([2.0, 2, 2, 1])))


def test_certain_liver_stays_as_it_is_with_its_hole() -> None:
    given = answer(6.0)
    kept = CertainLiverd("pred", 3.0)({"pred": given})["pred"]
    assert torch.equal(kept, given)


def test_uncertain_one_becomes_nothing_on_the_same_grid() -> None:
    given = answer(2.0)
    gone = CertainLiverd("pred", 3.0)({"pred": given})["pred"]
    assert bool((gone == OUTSIDE_LOGIT).all())
    assert (gone.shape, gone.dtype) == (given.shape, given.dtype)
    assert torch.equal(gone.affine, given.affine)
    assert bool((given[0] > 0).any())  # the input is not changed


def test_the_largest_component_is_judged_alone() -> None:
    """A small bright thing beside makes no liver of it, and a small faint one takes none away."""
    bright_beside, faint_beside = answer(2.0), answer(6.0)
    bright_beside[:, 0, 0, 0:3] = 90.0
    faint_beside[:, 0, 0, 0:3] = 0.1
    certain = CertainLiverd("pred", 3.0)
    assert bool((certain({"pred": bright_beside})["pred"] == OUTSIDE_LOGIT).all())
    assert torch.equal(certain({"pred": faint_beside})["pred"], faint_beside)


def with_beside(logit: float, beside: float, size: int = 4) -> MetaTensor:
    """A body and a smaller one beside it, of another logit."""
    logits = answer(logit)
    logits[:, 10:12, 0:size, 0:size] = beside
    return logits


def test_larger_component_in_doubt_leaves_a_certain_one_beside_it() -> None:
    given = with_beside(2.0, 8.0)
    kept = CertainLiverd("pred", 3.0)({"pred": given})["pred"]
    assert torch.equal(kept[:, 10:], given[:, 10:])
    assert bool((kept[:, 3:9] <= OUTSIDE_LOGIT + 100).all())
    assert not bool((kept[:, :9] > 0).any())
    assert torch.equal(kept.affine, given.affine)


def test_nothing_is_left_of_two_in_doubt() -> None:
    given = with_beside(2.0, 1.0)
    assert bool((CertainLiverd("pred", 3.0)({"pred": given})["pred"] == OUTSIDE_LOGIT).all())


def test_what_was_in_doubt_is_told_of_by_the_cleaned_mask() -> None:
    """As removed as what is not the largest component: 179 voxels of 211, and then 2 of 34."""
    given = with_beside(2.0, 8.0)[:1]
    given[:, 0, 0, 0:2] = 9.0
    image = MetaTensor(
        torch.zeros(1, *given.shape[1:]),
        affine=given.affine,
        meta={"scan_shape": given.shape[1:], "scan_affine": given.affine.numpy()},
    )
    items = CertainLiverd("pred", 3.0)({"pred": given, "image": image})
    items = KeepLiverd("pred")(ToScanGridd("pred")(items))
    assert int(items["pred"].sum()) == 32
    assert items["pred"].meta["components"] == 3
    assert items["pred"].meta["removed_share"] == pytest.approx(1 - 32 / (179 + 34))


def test_nothing_found_stays_nothing() -> None:
    given = answer(-1.0)
    assert torch.equal(CertainLiverd("pred", 3.0)({"pred": given})["pred"], given)
