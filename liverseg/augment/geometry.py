"""A random patch of a scan: turned, scaled, bent and cut out in one interpolation."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, Randomizable
from torch.nn import functional

from liverseg.augment.draws import smooth_field, uniform

ELASTIC_KNOTS = 5  # along each axis of a patch
LEVELS = 255  # of what is stored in 8 bits


@dataclass(frozen=True)
class Warp:
    """How much a patch is deformed.

    Args:
        rotation: largest angle about R, A, S in radians.
        scaling: smallest and largest size of the body against its own.
        stretch: largest further scaling of each axis alone, as a share.
        elastic_mm: standard deviation of the displacement at the knots.
        probability: of any deformation; else the patch is cut out as it lies.
    """

    rotation: Sequence[float] = (0.15, 0.15, 0.3)
    scaling: Sequence[float] = (0.75, 1.3)
    stretch: float = 0.1
    elastic_mm: float = 4.0
    probability: float = 0.9


class RandWarpPatchd(MapTransform, Randomizable):
    """Cut a patch of fixed size out of a scan, deformed, at a random place.

    Everything beyond the scan is 0. Items in 8 bits are shares of 255 of 1, as To8Bitd stores
    them, unless they are class numbers.

    Args:
        keys: items (C, X, Y, Z) on one grid.
        nearest_keys: those of them that are class numbers.
        patch_size: voxels of the patch along X, Y, Z.
        step: spacing of the patch in voxels of the scan.
        voxel_mm: of the scan.
        near_key: the mask near whose voxels near_share of the patches are centred.
        near_share: of all patches; the others lie anywhere in the scan.
        jitter: how far, in patch sizes, a patch is moved off its place at most.
        warp: how much it is deformed.
    """

    def __init__(
        self,
        keys: KeysCollection,
        nearest_keys: Sequence[str],
        patch_size: Sequence[int],
        step: float = 1.0,
        voxel_mm: float = 2.0,
        near_key: str | None = None,
        near_share: float = 0.0,
        jitter: float = 0.15,
        warp: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(keys)
        self.nearest_keys = set(nearest_keys)
        x, y, z = patch_size
        self.patch_size = (int(x), int(y), int(z))
        self.step = step
        self.voxel_mm = voxel_mm
        self.near_key = near_key
        self.near_share = near_share
        self.jitter = jitter
        self.warp = Warp(**(warp or {}))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Replace each item by its patch.

        Args:
            data: with the keys.

        Returns:
            A copy with float32 tensors (C, *patch_size).
        """
        items = dict(data)
        shape = tuple(items[self.first_key(items)].shape[1:])
        near = items[self.near_key][0] if self.near_key is not None else None
        places = self._places(self._centre(shape, near))
        low = places.amin(dim=(1, 2, 3)).floor().long().clamp(min=0)
        high = places.amax(dim=(1, 2, 3)).ceil().long() + 1
        for key in self.key_iterator(items):
            mode = "nearest" if key in self.nearest_keys else "bilinear"
            item = torch.as_tensor(items[key])
            patch = _sampled(item, places, (low, high), mode)
            in_8_bits = item.dtype == torch.uint8 and mode == "bilinear"
            items[key] = patch / LEVELS if in_8_bits else patch
        return items

    def _centre(self, shape: tuple[int, ...], near: torch.Tensor | None) -> npt.NDArray[np.float64]:
        """A random place in voxels of the scan."""
        size = np.array(self.patch_size) * self.step
        lengths = np.array(shape)
        slack = self.R.uniform(-self.jitter, self.jitter, 3) * size
        if near is not None and self.R.uniform() < self.near_share:
            # A random plane across the mask, then a random voxel in it: cheap and even.
            inside = torch.nonzero(near.flatten(1).any(dim=1))[:, 0]
            if len(inside):
                x = int(inside[self.R.randint(len(inside))])
                voxels = torch.nonzero(near[x])
                y, z = voxels[self.R.randint(len(voxels))].tolist()
                return np.array([x, y, z], float) + slack
        low, high = np.minimum(size, lengths) / 2, np.maximum(lengths - size / 2, lengths / 2)
        place: npt.NDArray[np.float64] = self.R.uniform(low, np.maximum(low, high))
        return place + slack

    def _places(self, centre: npt.NDArray[np.float64]) -> torch.Tensor:
        """Where each voxel of the patch lies in the scan: (3, X, Y, Z) voxel indices."""
        axes = [
            (torch.arange(n, dtype=torch.float32) - (n - 1) / 2) * self.step
            for n in self.patch_size
        ]
        offsets = torch.stack(torch.meshgrid(*axes, indexing="ij"))  # (3, X, Y, Z)
        if self.R.uniform() < self.warp.probability:
            matrix = torch.from_numpy(self._matrix()).float()
            offsets = torch.einsum("ij,jxyz->ixyz", matrix, offsets)
            sigma = self.warp.elastic_mm * uniform(self.R, 0, 1) / self.voxel_mm
            offsets = offsets + sigma * smooth_field(self.R, self.patch_size, ELASTIC_KNOTS, 3)
        return offsets + torch.from_numpy(centre).float()[:, None, None, None]

    def _matrix(self) -> npt.NDArray[np.float64]:
        """A rotation and a scaling, from the patch to the scan."""
        angles = self.R.uniform(-1, 1, 3) * np.array(self.warp.rotation)
        low, high = np.log(self.warp.scaling)
        scale = np.exp(self.R.uniform(low, high))
        stretch = np.exp(self.R.uniform(-self.warp.stretch, self.warp.stretch, 3))
        matrix = np.diag(1 / (scale * stretch))
        for axis, angle in enumerate(angles):
            turn = np.eye(3)
            a, b = (axis + 1) % 3, (axis + 2) % 3
            turn[a, a] = turn[b, b] = np.cos(angle)
            turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
            matrix = turn @ matrix
        return matrix


def _sampled(
    volume: torch.Tensor,
    places: torch.Tensor,
    box: tuple[torch.Tensor, torch.Tensor],
    mode: str,
) -> torch.Tensor:
    """Values of (C, X, Y, Z) at places; only the box is brought to floating point."""
    low, high = box
    x, y, z = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    part = volume[:, x, y, z]
    if part.numel() == 0:
        return torch.zeros(volume.shape[0], *places.shape[1:], device=volume.device)
    sizes = torch.tensor(part.shape[1:], dtype=torch.float32)
    scaled = (places - low.float()[:, None, None, None] + 0.5) * (2 / sizes)[:, None, None, None]
    grid = (scaled - 1).permute(1, 2, 3, 0).flip(-1)[None]  # (1, X, Y, Z, 3): z, y, x
    sampled = functional.grid_sample(
        part.as_subclass(torch.Tensor).float()[None],
        grid.to(volume.device),
        mode=mode,
        padding_mode="zeros",
        align_corners=False,
    )
    return sampled[0]
