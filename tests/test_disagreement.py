"""How far heads disagree, on logits that a pencil can check."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from liverseg.disagreement import Disagreementd, disagreement

# Probabilities 1 and 0, to the precision of floats.
SURE, NO = 40.0, -40.0


def heads(*livers: slice) -> torch.Tensor:
    """(heads, 10, 2, 1): each head is sure of these columns and of nothing else."""
    logits = torch.full((len(livers), 10, 2, 1), NO)
    for head, liver in enumerate(livers):
        logits[head, liver] = SURE
    return logits


def test_heads_that_agree_have_nothing_to_show() -> None:
    there, number = disagreement(heads(slice(2, 6), slice(2, 6), slice(2, 6)))
    assert number == pytest.approx(0.0)
    assert there.max() == 0


def test_number_is_one_minus_the_soft_dice_of_main_and_branches() -> None:
    # Main: columns 2 to 5, 8 voxels. Branches: 2 to 5 and 4 to 7; their mean is 1 in columns 4
    # and 5, 0.5 in 2, 3, 6 and 7: 8 voxels in sum. In common: 2 x 0.5 + 2 x 1 columns = 6 voxels.
    there, number = disagreement(heads(slice(2, 6), slice(2, 6), slice(4, 8)))
    assert number == pytest.approx(1 - 2 * 6 / (8 + 8))
    # The second branch says no in columns 2 and 3, and liver in 6 and 7.
    assert there[:, 0, 0].tolist() == pytest.approx([0, 0, 1, 1, 0, 0, 1, 1, 0, 0])


def test_heads_without_anything_in_common_disagree_fully() -> None:
    assert disagreement(heads(slice(0, 4), slice(6, 10)))[1] == pytest.approx(1.0)


@pytest.mark.parametrize(
    "logits", [heads(slice(2, 6)), heads(slice(0), slice(0))], ids=["one head", "no liver"]
)
def test_number_is_undefined_without_branches_or_liver(logits: torch.Tensor) -> None:
    there, number = disagreement(logits)
    assert math.isnan(number)
    assert there.max() < 1e-6


def test_half_precision_and_the_large_negative_outside_are_no_trouble() -> None:
    logits = heads(slice(2, 6), slice(4, 8)).half()
    logits[:, :2] = -6e4
    assert disagreement(logits)[1] == pytest.approx(0.5)


def test_logits_of_another_shape_are_an_error() -> None:
    with pytest.raises(ValueError, match="heads, X, Y, Z"):
        disagreement(torch.zeros(3, 4, 5))


def test_transform_keeps_the_map_on_the_networks_grid() -> None:
    affine = torch.diag(torch.tensor([2.0, 2.0, 2.0, 1.0], dtype=torch.float64))
    data = {
        "image": MetaTensor(torch.zeros(1, 10, 2, 1), affine=affine),
        "pred": heads(slice(2, 6), slice(4, 8)),
    }
    found = Disagreementd("pred")(data)
    assert found["pred"] is data["pred"]
    assert found["disagreement"].shape == (1, 10, 2, 1)
    assert np.array_equal(found["disagreement"].affine, affine)
    assert found["disagreement"].meta["disagreement"] == pytest.approx(0.5)
