"""The last step of a mask: the liver's own component, its holes filled, or nothing."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from liverseg.component import Component, liver_component

MM3_PER_ML = 1000.0


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
