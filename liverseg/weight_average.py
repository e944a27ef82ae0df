"""The moving average of a network's weights, which is steadier than the last of them."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from ignite.engine import Engine, Events
from torch import nn

WARM_UP = 10  # steps: early averages forget the initial weights quickly


class WeightAverage:
    """Keeps an exponential moving average of all weights and buffers of a network.

    After step n, counted from 0, the average moves by 1 - min(decay, (1 + n) / (10 + n)) towards
    the network.

    Args:
        network: the network that is trained.
        decay: share of the average that stays in a step.

    Raises:
        ValueError: if the decay is not from 0 to below 1.
    """

    def __init__(self, network: nn.Module, decay: float = 0.995) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay should be from 0 to below 1; got {decay}")
        self.trained = network
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay
        self.steps = 0

    def attach(self, engine: Engine) -> None:
        """Average after every step."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Move the average."""
        move = 1 - min(self.decay, (1 + self.steps) / (WARM_UP + self.steps))
        self.steps += 1
        trained = self.trained.state_dict()
        with torch.no_grad():
            for key, average in self.network.state_dict().items():
                if average.dtype.is_floating_point:
                    average.lerp_(trained[key], move)
                else:
                    average.copy_(trained[key])

    def state_dict(self) -> dict[str, object]:
        """What a checkpoint holds of this."""
        return {"network": self.network.state_dict(), "steps": self.steps}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Take what a checkpoint held."""
        self.network.load_state_dict(state["network"])  # type: ignore[arg-type]  # as it was saved
        self.steps = int(state["steps"])  # type: ignore[call-overload]  # as it was saved


class ClipGradients:
    """Scales gradients down whose norm is too large, before the optimiser's step.

    Args:
        network: whose gradients.
        max_norm: the largest norm over all of them.
    """

    def __init__(self, network: nn.Module, max_norm: float) -> None:
        self.network = network
        self.max_norm = max_norm

    def attach(self, engine: Engine) -> None:
        """Clip when the gradients are there."""
        from monai.engines.utils import IterationEvents

        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Clip."""
        nn.utils.clip_grad_norm_(self.network.parameters(), self.max_norm)
