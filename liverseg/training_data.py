"""What a training reads once a scan and keeps: organs, averages, guidance, in 8 bits."""

from __future__ import annotations

import copy
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from torch.nn import functional

from liverseg.bundle_files import checked_weights
from liverseg.cascade import coarse_image, guidance
from liverseg.grid import to_network_grid
from liverseg.heads import LiverHeads
from liverseg.inferer import autocast
from liverseg.weight_files import with_weights

LEVELS = 255  # the share of 1 that a step of an 8-bit image is


class OrgansToNetworkGridd(MapTransform):
    """Bring class numbers to the network's grid: the class that fills most of each voxel.

    Args:
        keys: the item with class numbers: 0 none, 1 the liver, 2 and above other organs.
        classes: how many, with the 0; numbers above count as none.
        spacing_mm: the network's spacing along R, A, S.
        organs_key: of the class numbers on the network's grid.
        liver_key: of the share of each voxel that is liver.
    """

    def __init__(
        self,
        keys: KeysCollection,
        classes: int,
        spacing_mm: Sequence[float],
        organs_key: str = "organs",
        liver_key: str = "liver",
    ) -> None:
        super().__init__(keys)
        self.classes = classes
        x, y, z = spacing_mm
        self.spacing_mm = (float(x), float(y), float(z))
        self.organs_key = organs_key
        self.liver_key = liver_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Replace the item by two on the network's grid.

        Args:
            data: with the key.

        Returns:
            A copy without the item, with (1, X', Y', Z') uint8 organs and float32 liver.
        """
        items = dict(data)
        label = items.pop(self.first_key(items))
        numbers, affine = label[0].numpy(), label.affine.numpy().astype(np.float64)
        shares = []
        for number in range(1, self.classes):
            share, grid = to_network_grid(
                (numbers == number).astype(np.uint8), affine, self.spacing_mm, (0.0, 1.0)
            )
            shares.append(share)
        most, index = torch.stack(shares).max(dim=0)
        nothing = 1 - sum(shares, torch.zeros(())) > most
        organs = (index + 1).masked_fill(nothing, 0).to(torch.uint8)
        where = torch.from_numpy(grid.affine)
        items[self.organs_key] = MetaTensor(organs[None], affine=where)
        items[self.liver_key] = MetaTensor(shares[0][None], affine=where)
        return items


class BoxAveraged(MapTransform):
    """A moving average, so that every width-th voxel is what a coarser grid would hold.

    Args:
        keys: items (C, X, Y, Z) float.
        width: voxels, odd.
    """

    def __init__(self, keys: KeysCollection, width: int) -> None:
        super().__init__(keys)
        self.width = width

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Replace each item by its average; the border repeats."""
        items = dict(data)
        for key in self.key_iterator(items):
            padded = functional.pad(items[key][None], [self.width // 2] * 6, mode="replicate")
            items[key] = functional.avg_pool3d(padded, self.width, stride=1)[0]
        return items


class CoarseGuidanced(MapTransform):
    """Add what the coarse network says of a scan: where the liver is.

    Of scans that it was trained on a network says too much that is right, and a network that is
    given this comes to trust it. So a scan may name weights that were trained without it.

    Args:
        keys: the image (1, X, Y, Z) in [0, 1].
        network: (1, 1, x, y, z) to (1, heads, x, y, z) logits of liver minus
            the rest.
        factor: voxels along a side of a voxel of the coarse network.
        amp: whether it computes in bfloat16.
        guidance_key: of the answer.
        coarse_key: of the file with the weights to use for this scan instead of the network's;
            not kept.
    """

    def __init__(
        self,
        keys: KeysCollection,
        network: LiverHeads,
        factor: int,
        amp: bool,
        guidance_key: str = "guidance",
        coarse_key: str = "coarse",
    ) -> None:
        super().__init__(keys)
        self.network = network
        self.factor = factor
        self.amp = amp
        self.guidance_key = guidance_key
        self.coarse_key = coarse_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Add the guidance.

        Args:
            data: with the key.

        Returns:
            A copy with the guidance, (1, X, Y, Z) float32 in [0, 1].
        """
        items = dict(data)
        image = torch.as_tensor(items[self.first_key(items)]).as_subclass(torch.Tensor)
        x, y, z = image.shape[1:]
        unseen = items.pop(self.coarse_key, None)
        network = self.network if unseen is None else _with_other_weights(self.network, unseen)
        device = next((p.device for p in network.parameters()), image.device)
        with torch.no_grad(), autocast(device, self.amp):
            seen = network(coarse_image(image[None], self.factor).to(device))
        guide = guidance(seen[:, :1].float(), (x, y, z), self.factor)[0].cpu()
        items[self.guidance_key] = guide
        return items


class Regiond(MapTransform):
    """Add the mask of all voxels where one of several items is above a threshold.

    Args:
        keys: items (1, X, Y, Z).
        threshold: what is above it belongs to the region.
        region_key: of the answer.
    """

    def __init__(
        self, keys: KeysCollection, threshold: float = 0.3, region_key: str = "region"
    ) -> None:
        super().__init__(keys)
        self.threshold = threshold
        self.region_key = region_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Add the region, (1, X, Y, Z) bool."""
        items = dict(data)
        above = [torch.as_tensor(items[key]) > self.threshold for key in self.key_iterator(items)]
        items[self.region_key] = torch.stack(above).any(dim=0)
        return items


class HardRegiond(MapTransform):
    """Add the mask of the voxels near the liver's border where the guidance errs: hard examples.

    Args:
        keys: two items (1, X, Y, Z) in [0, 1]: the liver, then the guidance.
        width: voxels from the border, on both sides of it and along each axis.
        least_error: by which the guidance is off.
        region_key: of the answer.

    Raises:
        ValueError: width is below 1, or there are other than two keys.
    """

    def __init__(
        self,
        keys: KeysCollection,
        width: int = 4,
        least_error: float = 0.25,
        region_key: str = "region",
    ) -> None:
        super().__init__(keys)
        if width < 1 or len(self.keys) != 2:
            raise ValueError(
                "liver and guidance and a width of at least 1 voxel are wanted; got "
                f"{', '.join(map(str, self.keys))} and {width}"
            )
        self.width = width
        self.least_error = least_error
        self.region_key = region_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Add the region, (1, X, Y, Z) bool."""
        items = dict(data)
        liver, guide = (
            torch.as_tensor(items[key]).as_subclass(torch.Tensor).float() for key in self.keys
        )
        inside = (liver > 0.5).float()
        border = _dilated(inside, self.width) + _dilated(1 - inside, self.width) > 1
        items[self.region_key] = border & ((guide - liver).abs() > self.least_error)
        return items


class To8Bitd(MapTransform):
    """Store values in [0, 1] as 0 to 255: a quarter of the memory, below a CT's noise.

    Args:
        keys: items in [0, 1].
    """

    def __init__(self, keys: KeysCollection) -> None:
        super().__init__(keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Replace each item by a plain uint8 tensor."""
        items = dict(data)
        for key in self.key_iterator(items):
            plain = torch.as_tensor(items[key]).as_subclass(torch.Tensor)
            items[key] = (plain * LEVELS).round().to(torch.uint8)
        return items


def _dilated(mask: torch.Tensor, width: int) -> torch.Tensor:
    """A mask (1, X, Y, Z) of 0 and 1 grown by a cube, an axis at a time."""
    for axis in range(3):
        size, padding = [1, 1, 1], [0, 0, 0]
        size[axis], padding[axis] = 2 * width + 1, width
        mask = functional.max_pool3d(mask, size, 1, padding)
    return mask


def _with_other_weights(heads: LiverHeads, path: str) -> LiverHeads:
    """A copy with the weights of a file, which has its hash beside it."""
    other = copy.deepcopy(heads)
    with_weights(other.network, path, checked_weights(path))
    return other


class FirstHeadd(MapTransform):
    """Keep the first channel: of several heads' logits those of the main head.

    Args:
        keys: items (C, X, Y, Z).
    """

    def __init__(self, keys: KeysCollection) -> None:
        super().__init__(keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Replace each item by its first channel."""
        items = dict(data)
        for key in self.key_iterator(items):
            items[key] = items[key][:1]
        return items
