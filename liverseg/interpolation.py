"""Interpolation on regular grids in torch: antialiased, along one axis, under any affine."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional


def antialiased(images: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Images resized over the same field of view, averaging where they shrink.

    Args:
        images: (N, H, W) float.
        size: the new height and width.

    Returns:
        (N, *size): weighted by a triangle as wide as the step where it shrinks, linear elsewhere.
    """
    if tuple(images.shape[1:]) == size:
        return images
    return functional.interpolate(images[None], size, mode="bilinear", antialias=True)[0]


def along_axis(values: torch.Tensor, axis: int, index: torch.Tensor) -> torch.Tensor:
    """Linear interpolation along one axis.

    Args:
        values: (X, Y, Z) float, contiguous for speed.
        axis: 0, 1 or 2.
        index: (N,) fractional indices along the axis.

    Returns:
        values with N entries along the axis; constant beyond the ends.
    """
    last = values.shape[axis] - 1
    index = index.clamp(0, last)
    below = index.floor().long()
    above = (below + 1).clamp(max=last)
    weight_shape = [1, 1, 1]
    weight_shape[axis] = -1
    weight = (index - below).to(values.dtype).reshape(weight_shape)
    return torch.lerp(values.index_select(axis, below), values.index_select(axis, above), weight)


def trilinear(
    image: torch.Tensor,
    to_image: npt.NDArray[np.float64],
    shape: tuple[int, int, int],
    padding: str,
) -> torch.Tensor:
    """Linear interpolation at the images of voxel indices under an affine.

    Args:
        image: (X, Y, Z) float.
        to_image: (4, 4) from the indices of shape to those of the image.
        shape: (X', Y', Z').
        padding: beyond the outermost voxels "zeros" or "border", the nearest voxel.

    Returns:
        (X', Y', Z').
    """
    matrix = torch.from_numpy(to_image).to(image.device)
    axes = [torch.arange(n, device=image.device, dtype=torch.float64) for n in shape]
    index = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)  # (X, Y, Z, 3)
    index = index @ matrix[:3, :3].T + matrix[:3, 3]
    sizes = torch.tensor(image.shape, device=image.device)
    # grid_sample wants coordinates in [-1, 1] over the extent, last axis of the image first.
    unit = ((2 * index + 1) / sizes - 1).flip(-1).to(image.dtype)
    return functional.grid_sample(
        image[None, None], unit[None], padding_mode=padding, align_corners=False
    )[0, 0]
