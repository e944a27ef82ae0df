"""Deep supervision: branch weights that decay while training."""

from __future__ import annotations

from collections.abc import Sequence

from ignite.engine import Engine, Events
from monai.losses import DeepSupervisionLoss


class BranchWeightDecay:
    """Lowers the weights of the branches in MONAI's DeepSupervisionLoss as training goes on.

    Dou et al. 2016 start with 0.3 and 0.4 and decay both by 5 % every 10 epochs. The weights
    follow from the epoch alone, so that a training which is stopped and resumed has the same.

    Args:
        loss: the loss whose weights are set.
        weights: [main, branch, branch, ...] at the start; the main weight stays.
        factor: what the branches' weights are multiplied with every so often.
        every_epochs: how often.

    Raises:
        ValueError: if every_epochs is below 1.
    """

    def __init__(
        self,
        loss: DeepSupervisionLoss,
        weights: Sequence[float],
        factor: float = 0.95,
        every_epochs: int = 10,
    ) -> None:
        if every_epochs < 1:
            raise ValueError(f"every_epochs should be at least 1; got {every_epochs}")
        self.loss = loss
        self.weights = tuple(weights)
        self.factor = factor
        self.every_epochs = every_epochs

    def attach(self, engine: Engine) -> None:
        """Set the weights when an epoch starts."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Set the weights for the engine's epoch, counted from 1."""
        decay = self.factor ** ((engine.state.epoch - 1) // self.every_epochs)
        self.loss.weights = [self.weights[0], *(weight * decay for weight in self.weights[1:])]
