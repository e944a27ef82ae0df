"""Random numbers of the augmentation: all from one numpy generator, so that a seed repeats them."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional


def uniform(random: np.random.RandomState, low: float, high: float) -> float:
    """A number between low and high."""
    return float(random.uniform(low, high))


def normal_field(
    random: np.random.RandomState, shape: tuple[int, ...], device: torch.device | str = "cpu"
) -> torch.Tensor:
    """Independent N(0, 1) numbers, the same on every device.

    Args:
        random: what seeds them.
        shape: of the answer.
        device: of the answer; they are drawn on the CPU.

    Returns:
        float32 of that shape.
    """
    generator = torch.Generator().manual_seed(int(random.randint(2**31 - 1)))
    return torch.randn(shape, generator=generator).to(device)


def smooth_field(
    random: np.random.RandomState,
    shape: tuple[int, ...],
    knots: int,
    channels: int = 1,
    device: torch.device | str = "cpu",
) -> torch.Tensor:
    """N(0, 1) numbers on a few knots, interpolated linearly between them.

    Args:
        random: what seeds them.
        shape: voxels along X, Y, Z.
        knots: along each axis, at least 2.
        channels: independent fields.
        device: of the answer.

    Returns:
        (channels, X, Y, Z) float32.
    """
    field = normal_field(random, (1, channels, knots, knots, knots), device)
    return functional.interpolate(field, shape, mode="trilinear", align_corners=True)[0]


def blurred(image: torch.Tensor, width: int) -> torch.Tensor:
    """A moving average over width voxels along each axis.

    Args:
        image: (C, X, Y, Z) float.
        width: odd.

    Returns:
        (C, X, Y, Z); near the border the average of what there is.
    """
    for axis in range(3):
        kernel, padding = [1, 1, 1], [0, 0, 0]
        kernel[axis], padding[axis] = width, width // 2
        image = functional.avg_pool3d(
            image[None], kernel, stride=1, padding=padding, count_include_pad=False
        )[0]
    return image
