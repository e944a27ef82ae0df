"""What the networks hardly believe is no liver; what they believe stays as it is."""

from __future__ import annotations

import torch
from monai.data import MetaTensor

from liverseg.cascade import OUTSIDE_LOGIT
from liverseg.cleaning import CertainLiverd


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


def test_nothing_found_stays_nothing() -> None:
    given = answer(-1.0)
    assert torch.equal(CertainLiverd("pred", 3.0)({"pred": given})["pred"], given)
