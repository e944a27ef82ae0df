"""What the 3D DSN is built of: convolutions, doublings and a main head with skip connections."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.layers.utils import get_act_layer, get_norm_layer
from torch import nn

REFINING_KERNEL = 3  # of the convolution after each doubling of a SkipHead


class SkipHead(nn.Module):
    """A main head that sees the maps of layers 5 and 2 too, so that its borders are sharp.

    Twice: double the map with a transposed convolution, add the map of that resolution brought to
    as many channels, refine with a 3x3x3 convolution. Then classify each voxel.

    Args:
        channels: of layer 8, of layer 5 and of layer 2.
        width: channels within the head.
        out_channels: logits.
        deconv_kernel_size: kernel of the transposed convolutions.
        finish: activation and normalisation after each convolution, names MONAI knows.
    """

    def __init__(
        self,
        channels: tuple[int, int, int],
        width: int,
        out_channels: int,
        deconv_kernel_size: int,
        finish: tuple[str, str | None],
    ) -> None:
        super().__init__()
        deep, half, full = channels
        activation, norm = finish
        kernel = (REFINING_KERNEL,) * 3
        self.double1 = doubling(deep, width, deconv_kernel_size)
        self.side1 = nn.Conv3d(half, width, kernel_size=1)
        self.refine1 = convolution_block(width, width, kernel, activation, norm)
        self.double2 = doubling(width, width, deconv_kernel_size)
        self.side2 = nn.Conv3d(full, width, kernel_size=1)
        self.refine2 = convolution_block(width, width, kernel, activation, norm)
        self.activation = get_act_layer(activation)
        self.classify = nn.Conv3d(width, out_channels, kernel_size=1)

    def forward(self, deep: torch.Tensor, half: torch.Tensor, full: torch.Tensor) -> torch.Tensor:
        """Logits of the main head.

        Args:
            deep: (B, C8, X/4, Y/4, Z/4), of layer 8.
            half: (B, C5, X/2, Y/2, Z/2), of layer 5.
            full: (B, C2, X, Y, Z), of layer 2.

        Returns:
            (B, out_channels, X, Y, Z) logits.
        """
        features = self.activation(self.double1(deep) + self.side1(half))  # (B, W, X/2, Y/2, Z/2)
        features = self.refine1(features)
        features = self.activation(self.double2(features) + self.side2(full))  # (B, W, X, Y, Z)
        return self.classify(self.refine2(features))  # type: ignore[no-any-return]


def convolution_block(
    inputs: int, outputs: int, kernel: Sequence[int], activation: str, norm: str | None
) -> nn.Sequential:
    """A convolution of same padding, a normalisation where one is named, an activation."""
    x, y, z = kernel
    layers: list[nn.Module] = [nn.Conv3d(inputs, outputs, (x, y, z), padding="same")]
    if norm is not None:
        layers.append(get_norm_layer(norm, spatial_dims=3, channels=outputs))
    layers.append(get_act_layer(activation))
    return nn.Sequential(*layers)


def doubling(inputs: int, outputs: int, kernel_size: int) -> nn.ConvTranspose3d:
    """A transposed convolution whose output is exactly twice the input along each axis."""
    padding = (kernel_size - 1) // 2
    return nn.ConvTranspose3d(
        inputs,
        outputs,
        kernel_size,
        stride=2,
        padding=padding,
        output_padding=2 - kernel_size + 2 * padding,
    )
