"""The branches' weights fall as the paper says, from the epoch alone."""

from __future__ import annotations

import pytest
from ignite.engine import Engine
from monai.losses import DeepSupervisionLoss, DiceLoss

from liverseg.supervision import BranchWeightDecay


@pytest.mark.parametrize(
    ("epoch", "expected"),
    [(1, [1, 0.4, 0.3]), (10, [1, 0.4, 0.3]), (11, [1, 0.38, 0.285]), (21, [1, 0.361, 0.27075])],
)
def test_branch_weights_fall_by_5_percent_every_10_epochs(
    epoch: int, expected: list[float]
) -> None:
    loss = DeepSupervisionLoss(DiceLoss())
    engine = Engine(lambda engine, batch: None)
    engine.state.epoch = epoch
    BranchWeightDecay(loss, [1.0, 0.4, 0.3])(engine)
    assert loss.weights == pytest.approx(expected)


def test_weights_are_set_before_the_first_step_of_an_epoch() -> None:
    loss = DeepSupervisionLoss(DiceLoss())
    seen: list[float] = []
    engine = Engine(lambda engine, batch: seen.append(loss.weights[1]))
    BranchWeightDecay(loss, [1.0, 0.5], factor=0.5, every_epochs=1).attach(engine)
    engine.run([0, 0], max_epochs=3)
    assert seen == [0.5, 0.5, 0.25, 0.25, 0.125, 0.125]


def test_every_epochs_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1; got 0"):
        BranchWeightDecay(DeepSupervisionLoss(DiceLoss()), [1.0], every_epochs=0)
