"""Interpolation on regular grids in torch: antialiased, along one axis, under any affine."""

from __future__ import annotations

from typing import NamedTuple

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


class Between(NamedTuple):
    """Where fractional indices lie among the voxels of an axis.

    Attributes:
        below: (N,) the voxel before each.
        above: (N,) the one after it.
        weight: (N,) float32, of the one after it.
    """

    below: torch.Tensor
    above: torch.Tensor
    weight: torch.Tensor

    def shifted(self, first: int) -> Between:
        """Of an axis from which the voxels before `first` were taken."""
        return Between(self.below - first, self.above - first, self.weight)

    def part(self, low: int, high: int) -> Between:
        """Of the indices from low to before high."""
        return Between(*(values[low:high] for values in self))


def between(index: torch.Tensor, length: int) -> Between:
    """The neighbours of fractional indices; beyond the ends of the axis the outermost voxel.

    Args:
        index: (N,) float.
        length: voxels of the axis.
    """
    index = index.clamp(0, length - 1)
    below = index.floor().long()
    return Between(below, (below + 1).clamp(max=length - 1), (index - below).float())


def mixed(values: torch.Tensor, axis: int, place: Between) -> torch.Tensor:
    """Linear interpolation along one axis.

    Args:
        values: (X, Y, Z) float32, contiguous for speed.
        axis: 0, 1 or 2.
        place: N places along it.

    Returns:
        values with N entries along the axis.
    """
    weight_shape = [1, 1, 1]
    weight_shape[axis] = -1
    weight = place.weight.reshape(weight_shape)
    low, high = (values.index_select(axis, index) for index in (place.below, place.above))
    return torch.lerp(low, high, weight)


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
