"""What the coarse network alone says of a scan on the fine grid, to judge its training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.inferers import Inferer

from liverseg.cascade import coarse_image, guidance
from liverseg.inferer import autocast

CERTAIN = 1e-6  # probabilities are held this far from 0 and 1 before their logit is taken


class CoarseInferer(Inferer):
    """The whole scan in one pass of the coarse network, brought to the fine grid.

    Args:
        factor: fine voxels along a side of a coarse voxel.
        amp: whether convolutions compute in bfloat16.
    """

    def __init__(self, factor: int, amp: bool = True) -> None:
        super().__init__()
        self.factor = factor
        self.amp = amp

    def __call__(
        self, inputs: torch.Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """The logit of the guidance.

        Args:
            inputs: (B, 1, X, Y, Z) in [0, 1] on the fine grid.
            network: (B, 1, x, y, z) to (B, heads, x, y, z) logits of liver minus the rest.
            args: more arguments of the network.
            kwargs: more arguments of the network.

        Returns:
            (B, 1, X, Y, Z) float32, positive where the guidance is above one half.
        """
        x, y, z = inputs.shape[2:]
        with torch.no_grad(), autocast(inputs.device, self.amp):
            seen = network(coarse_image(inputs, self.factor), *args, **kwargs)
        return guidance(seen[:, :1].float(), (x, y, z), self.factor).logit(CERTAIN)
