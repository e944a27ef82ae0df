"""What of the networks' answer is the liver: its own component, its holes filled, or nothing."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from liverseg.cascade import LEAST_SHARE, OUTSIDE_LOGIT
from liverseg.component import Component, liver_component

MM3_PER_ML = 1000.0
# Key of an item's meta: how many components were taken for no liver, and their share of all.
DOUBTED = "doubted"


class CertainLiverd(MapTransform):
    """Take for no liver what the networks hardly believe in.

    A spleen above all may be found, too, and be larger than the liver, or than the part of it that
    was scanned. Its mean logit was far below that of every liver measured, dark and cut ones
    included; a liver that the networks hardly know when they see it is lost by this.

    Args:
        keys: logits (heads, X', Y', Z') of liver minus the rest, the main head first.
        least_logit: the mean over a component of what is above 0 that a liver has.
        allow_missing_keys: whether an item may be absent.
    """

    def __init__(
        self, keys: KeysCollection, least_logit: float, allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.least_logit = least_logit

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Replace logits that make the largest component an uncertain one by OUTSIDE_LOGIT.

        Args:
            data: with the keys.

        Returns:
            A copy. Where a component is left that is certain and not small beside those that went,
            the meta holds them as DOUBTED: how many, and their share of what was above 0. Where
            none is, all is OUTSIDE_LOGIT.
        """
        items = dict(data)
        for key in self.key_iterator(items):
            logits = items[key]
            logit = torch.as_tensor(logits[0]).as_subclass(torch.Tensor).cpu()
            above = logit > 0
            left, doubted = self._without_doubted(logit, above)
            if not doubted:
                continue
            gone = above if left is None else above & ~left
            changed = torch.full_like(logits, OUTSIDE_LOGIT)
            if left is not None:
                changed = torch.where(gone.to(logits.device), changed, logits)
                if isinstance(changed, MetaTensor):
                    share = float(gone.sum()) / float(above.sum())
                    changed.meta = {**changed.meta, DOUBTED: (doubted, share)}
            items[key] = changed
        return items

    def _without_doubted(
        self, logit: torch.Tensor, above: torch.Tensor
    ) -> tuple[torch.Tensor | None, int]:
        """What is above 0 without the uncertain components that are larger than a certain one.

        Returns:
            That, None where no certain one is left; and how many went.
        """
        left, first, doubted = above, 0, 0
        while True:
            largest = torch.from_numpy(liver_component(left.to(torch.uint8).numpy()).mask) > 0
            believed = logit[left & largest].float()  # no holes
            first = first or believed.numel()
            if believed.numel() < max(1, LEAST_SHARE * first):
                return None, doubted
            if float(believed.mean()) >= self.least_logit:
                return left, doubted
            left, doubted = left & ~largest, doubted + 1


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
            no liver. Those that CertainLiverd has taken away count.
        """
        items = dict(data)
        for key in self.key_iterator(items):
            mask = items[key]
            liver = liver_component(mask[0].cpu().numpy())
            if self.least_ml > 0 and 0 < _volume_ml(liver, mask.affine) < self.least_ml:
                liver = Component(np.zeros_like(liver.mask), liver.components, 1.0)
            before = getattr(mask, "meta", {})
            doubted, share = before.get(DOUBTED, (0, 0.0))
            known = {
                "components": liver.components + doubted,
                "removed_share": 1 - (1 - share) * (1 - liver.removed_share),
            }
            meta = {**before, **known}
            items[key] = MetaTensor(torch.from_numpy(liver.mask)[None], meta=meta)
        return items


def _volume_ml(liver: Component, affine: torch.Tensor) -> float:
    voxel_mm3 = abs(float(np.linalg.det(affine[:3, :3].numpy())))
    return int(np.count_nonzero(liver.mask)) * voxel_mm3 / MM3_PER_ML
