"""How far the heads of a deeply supervised network disagree on a scan: a map, and one number.

The main head sees what the branches do and more; where all three say the same there is little to
look for, where they do not is where to look first.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

MAP_KEY = "disagreement"
# A head's answer that is below this everywhere is none: no liver to disagree on, in voxels.
LEAST_LIVER = 1.0


def disagreement(logits: torch.Tensor) -> tuple[torch.Tensor, float]:
    """Compare the main head with the branches.

    Args:
        logits: (heads, X, Y, Z) of liver minus the rest, the main head first.

    Returns:
        (X, Y, Z) float32 in [0, 1]: the largest difference between the main head's probability of
        liver and a branch's; and 1 minus the soft Dice of the main head and the mean of the
        branches: 0 where they agree, 1 where they have nothing in common, NaN where there is but
        one head, or no liver for any.

    Raises:
        ValueError: the logits do not have four dimensions.
    """
    if logits.ndim != 4:
        raise ValueError(f"logits should be (heads, X, Y, Z); got {list(logits.shape)}")
    main = torch.sigmoid(logits[0].float())
    most = torch.zeros_like(main)
    if len(logits) == 1:
        return most, math.nan
    mean = torch.zeros_like(main)
    # Head after head, so that there is but one more copy at a time.
    for logit in logits[1:]:
        branch = torch.sigmoid(logit.float())
        mean += branch
        most = torch.maximum(most, (branch - main).abs_())
    mean /= len(logits) - 1
    total = float(main.sum(dtype=torch.float64) + mean.sum(dtype=torch.float64))
    if total < LEAST_LIVER:
        return most, math.nan
    common = float(torch.minimum(main, mean).sum(dtype=torch.float64))
    return most, 1 - 2 * common / total


class Disagreementd(MapTransform):
    """Keep what the heads disagree on, before anything changes or drops them.

    Args:
        keys: items (heads, X, Y, Z) of logits, liver minus the rest.
        image_key: the image that ToNetworkGridd made, on whose grid they are.
        map_key: where the map goes.
        allow_missing_keys: whether an item may be absent.
    """

    def __init__(
        self,
        keys: KeysCollection,
        image_key: str = "image",
        map_key: str = MAP_KEY,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.image_key = image_key
        self.map_key = map_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Add the map; see `disagreement`.

        Args:
            data: with the keys and the image.

        Returns:
            A copy with a MetaTensor (1, X, Y, Z) float16 under the map's key; its meta holds
            "disagreement", the number. Of several items the last one's.
        """
        items = dict(data)
        for key in self.key_iterator(items):
            there, number = disagreement(torch.as_tensor(items[key]))
            affine = items[self.image_key].affine
            items[self.map_key] = MetaTensor(
                there[None].half().cpu(), affine=affine, meta={MAP_KEY: number}
            )
        return items
