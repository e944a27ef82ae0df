"""All heads of a network as one tensor of logit differences, which is what inference works with."""

from __future__ import annotations

import torch
from torch import nn


class LiverHeads(nn.Module):
    """A network whose answer is, for each head, the logit of liver minus that of the rest.

    Args:
        network: (B, C, X, Y, Z) to (B, classes, X, Y, Z), or with a method ``all_heads`` that
            gives a list of those, as DSN has. Class 1 is the liver; one class is its logit.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.halo: tuple[int, int, int] | None = getattr(network, "halo", None)
        # MONAI's and torch's own layers have strides of another meaning.
        self.stride: int | None = None if self.halo is None else getattr(network, "stride", None)
        self.in_channels: int = getattr(network, "in_channels", 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Logit differences.

        Args:
            image: (B, C, X, Y, Z) float.

        Returns:
            (B, heads, X, Y, Z): positive where the liver is more likely than all else together;
            of the network's own precision.
        """
        all_heads = getattr(self.network, "all_heads", None)
        heads = [self.network(image)] if all_heads is None else all_heads(image)
        return torch.cat([liver_logit(head) for head in heads], dim=1)


def liver_logit(logits: torch.Tensor) -> torch.Tensor:
    """The logit of liver against all other classes together.

    Args:
        logits: (B, classes, X, Y, Z); class 1 is the liver. One class is the difference already.

    Returns:
        (B, 1, X, Y, Z): its sigmoid is the softmax's probability of liver.
    """
    classes = logits.shape[1]
    if classes == 1:
        return logits
    if classes == 2:
        return logits[:, 1:] - logits[:, :1]
    rest = torch.cat([logits[:, :1], logits[:, 2:]], dim=1)
    # The sum of exponentials needs more digits than half precision has.
    others = torch.logsumexp(rest.float(), dim=1, keepdim=True)
    return logits[:, 1:2] - others.to(logits.dtype)
