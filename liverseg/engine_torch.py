"""The engine that is always there: torch, in bfloat16 and with channels last where that pays."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from liverseg.heads import LiverHeads


class TorchEngine(nn.Module):
    """A network on a device of torch.

    Neither torch.compile nor CUDA graphs: a pass is some 30 kernels over millions of voxels, so
    that starting them is no part of its time, and every scan has a size of its own to compile for.

    Args:
        network: in evaluation mode; it stays as it is.
        device: where it shall run.
        amp: whether it computes in bfloat16.
    """

    def __init__(self, network: nn.Module, device: torch.device, amp: bool = True) -> None:
        super().__init__()
        heads = LiverHeads(without_batch_norms(network)).eval()
        self.halo = heads.halo
        self.stride = heads.stride
        self.in_channels = heads.in_channels
        self.dtype = torch.bfloat16 if amp else torch.float32
        self.name = f"torch-{'bf16' if amp else 'f32'}"
        heads.requires_grad_(False)
        self.heads = heads.to(device=device, dtype=self.dtype)
        # torch's annotations leave this argument out.
        self.heads.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Logit differences of all heads.

        Args:
            image: (1, C, X, Y, Z) float.

        Returns:
            (1, heads, X, Y, Z) of the engine's dtype.
        """
        image = image.to(self.dtype).contiguous(memory_format=torch.channels_last_3d)
        return self.heads(image)  # type: ignore[no-any-return]


def without_batch_norms(network: nn.Module) -> nn.Module:
    """A copy whose batch normalisations are part of the convolutions before them.

    Args:
        network: in evaluation mode; of its sequences those pairs are joined.

    Returns:
        A network of the same answers.
    """
    joined = copy.deepcopy(network)
    for sequence in [module for module in joined.modules() if isinstance(module, nn.Sequential)]:
        for number in range(1, len(sequence)):
            before, norm = sequence[number - 1], sequence[number]
            if isinstance(before, nn.Conv3d) and isinstance(norm, nn.BatchNorm3d):
                sequence[number - 1] = fuse_conv_bn_eval(before, norm)
                sequence[number] = nn.Identity()
    return joined
