"""The loss of a head: cross-entropy and Dice, with the liver counting most."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

LIVER = 1  # channel of the liver
SMOOTH = 1.0  # voxels: keeps the Dice of a class that is absent from a patch defined


class LiverDiceCELoss(nn.Module):
    """Cross-entropy over all classes + soft Dice of the liver + mean soft Dice of the others.

    The target is a probability a class, so that a voxel that the border crosses is partly both.
    Dice is of each patch, so that the loss of a batch is the mean of its patches' losses, in one
    process or in several. A class that a patch does not hold counts in the cross-entropy alone.

    Args:
        others_weight: of the mean Dice loss of the other organs.
    """

    def __init__(self, others_weight: float = 0.5) -> None:
        super().__init__()
        self.others_weight = others_weight

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The loss.

        Args:
            logits: (B, C, X, Y, Z), background, liver, others.
            target: (B, C, X, Y, Z) in [0, 1], summing to 1 over C.

        Returns:
            A scalar.

        Raises:
            ValueError: if the shapes differ.
        """
        if logits.shape != target.shape:
            raise ValueError(
                f"logits and target should have one shape; got {list(logits.shape)} and "
                f"{list(target.shape)}"
            )
        logits = logits.float()
        log_probability = functional.log_softmax(logits, dim=1)
        cross_entropy = -(target * log_probability).sum(dim=1).mean()
        probability = log_probability.exp()
        size, found = target.sum(dim=(2, 3, 4)), probability.sum(dim=(2, 3, 4))  # (B, C)
        overlap = (probability * target).sum(dim=(2, 3, 4))
        present = (size > SMOOTH).float()
        dice = present * (1 - (2 * overlap + SMOOTH) / (found + size + SMOOTH))
        others = dice[:, LIVER + 1 :].sum(dim=1) / present[:, LIVER + 1 :].sum(dim=1).clamp(min=1)
        return cross_entropy + (dice[:, LIVER] + self.others_weight * others).mean()
