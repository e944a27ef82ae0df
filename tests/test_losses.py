"""The loss of a head, by pencil."""

from __future__ import annotations

import math

import pytest
import torch

from liverseg.losses import LiverDiceCELoss


def target(*classes: int, number: int = 3) -> torch.Tensor:
    """(1, number, voxels, 1, 1), one class a voxel."""
    one_hot = torch.nn.functional.one_hot(torch.tensor(classes), number).float()
    return one_hot.T.reshape(1, number, -1, 1, 1)


def test_certain_and_right_is_almost_nothing() -> None:
    truth = target(0, 1, 1, 1, 2, 2, 2)
    assert float(LiverDiceCELoss()(truth * 100 - 50, truth)) == pytest.approx(0, abs=1e-4)


def test_value_of_an_undecided_network() -> None:
    """All thirds over 4 liver and 4 other voxels: CE ln 3; sums 8/3, overlap 4/3 each.

    Dice of a class 1 - (8/3 + 1) / (8/3 + 4 + 1).
    """
    truth = target(1, 1, 1, 1, 2, 2, 2, 2)
    dice = 1 - (8 / 3 + 1) / (8 / 3 + 4 + 1)
    expected = math.log(3) + dice + 0.5 * dice
    assert float(LiverDiceCELoss()(torch.zeros_like(truth), truth)) == pytest.approx(expected)


def test_dice_of_an_absent_class_does_not_count() -> None:
    truth = target(0, 0, 0, 2, 2)
    logits = torch.zeros_like(truth)
    dice = 1 - (2 * 2 / 3 + 1) / (5 / 3 + 2 + 1)
    expected = math.log(3) + 0.5 * dice
    assert float(LiverDiceCELoss()(logits, truth)) == pytest.approx(expected)


def test_loss_of_a_batch_is_the_mean_of_its_patches() -> None:
    torch.manual_seed(0)
    truth = torch.cat([target(0, 1, 1, 1, 1, 2), target(0, 0, 2, 2, 2, 1)])
    logits = torch.randn(truth.shape)
    loss = LiverDiceCELoss()
    alone = [float(loss(logits[i : i + 1], truth[i : i + 1])) for i in (0, 1)]
    assert float(loss(logits, truth)) == pytest.approx(sum(alone) / 2)


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        LiverDiceCELoss()(torch.zeros(1, 2, 3, 3, 3), torch.zeros(1, 3, 3, 3, 3))
