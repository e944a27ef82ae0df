"""What of the networks' answer is the liver: its own component, its holes filled, or nothing."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from liverseg.cascade import OUTSIDE_LOGIT
from liverseg.component import Component, liver_component

MM3_PER_ML = 1000.0


class CertainLiverd(MapTransform):
    """Take for no liver what the networks hardly believe in.

    In a field of view without a liver something like it may be found, a spleen above all. Its mean
    logit was far below that of every liver measured, dark and cut ones included; a liver that the
    networks hardly know when they see it is lost by this.

    Args:
        keys: logits (heads, X', Y', Z') of liver minus the rest, the main head first.
        least_logit: the mean over the largest component of what is above 0 that a liver has.
        allow_missing_keys: whether an item may be absent.
    """

    def __init__(
        self, keys: KeysCollection, least_logit: float, allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.least_logit = least_logit

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Replace logits in which there is no certain liver by OUTSIDE_LOGIT.

        Args:
            data: with the keys.

        Returns:
            A copy; other logits are as they were.
        """
        items = dict(data)
        for key in self.key_iterator(items):
            logit = torch.as_tensor(items[key][0]).as_subclass(torch.Tensor).cpu()
            above = logit > 0
            largest = torch.from_numpy(liver_component(above.to(torch.uint8).numpy()).mask)
            believed = logit[above & (largest > 0)].float()  # no holes
            if believed.numel() > 0 and float(believed.mean()) < self.least_logit:
                items[key] = torch.full_like(items[key], OUTSIDE_LOGIT)
        return items


class KeepLiverd(MapTransform):
    """Keep the largest connected component and fill its holes.

    Args:
        keys: masks (1, X, Y, Z).
        least_ml: a largest component below this volume is no liver, and nothing is kept; masks
            then need an affine to mm.
        allow_missing_keys: whether an item may be absent.
    """

    def __init__(
        self, keys: KeysCollection, least_ml: float = 0.0, allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.least_ml = least_ml

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Replace each mask by its largest component.

        Args:
            data: with the keys.

        Returns:
            A copy with cleaned masks; their meta holds "components", how many there were, and
            "removed_share", the share of voxels that were not in the largest; 1 where that was
            no liver.
        """
        items = dict(data)
        for key in self.key_iterator(items):
            mask = items[key]
            liver = liver_component(mask[0].cpu().numpy())
            if self.least_ml > 0 and 0 < _volume_ml(liver, mask.affine) < self.least_ml:
                liver = Component(np.zeros_like(liver.mask), liver.components, 1.0)
            known = {"components": liver.components, "removed_share": liver.removed_share}
            meta = {**getattr(mask, "meta", {}), **known}
            items[key] = MetaTensor(torch.from_numpy(liver.mask)[None], meta=meta)
        return items


def _volume_ml(liver: Component, affine: torch.Tensor) -> float:
    voxel_mm3 = abs(float(np.linalg.det(affine[:3, :3].numpy())))
    return int(np.count_nonzero(liver.mask)) * voxel_mm3 / MM3_PER_ML
