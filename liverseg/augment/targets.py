"""What a patch is compared with: a probability a class."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.transforms import MapTransform


class ClassProbabilitiesd(MapTransform):
    """Class numbers and the liver's occupancy to one probability a class.

    Args:
        organs_key: (1, X, Y, Z) class numbers: 0 none, 1 liver, 2 and above other organs.
        liver_key: (1, X, Y, Z) share of each voxel that is liver.
        classes: how many, with the 0; numbers above count as none.
        label_key: of the answer.
    """

    def __init__(
        self, organs_key: str, liver_key: str, classes: int, label_key: str = "label"
    ) -> None:
        super().__init__([organs_key, liver_key])
        self.organs_key = organs_key
        self.liver_key = liver_key
        self.classes = classes
        self.label_key = label_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Add the label.

        Args:
            data: with both keys.

        Returns:
            A copy with the label, (classes, X, Y, Z) float32 that sums to 1, and without both.
        """
        items = dict(data)
        organs, liver = items.pop(self.organs_key)[0], items.pop(self.liver_key)[0].clamp(0, 1)
        label = torch.zeros(self.classes, *organs.shape, device=organs.device)
        for number in range(2, self.classes):
            label[number] = (organs == number) * (1 - liver)
        label[1] = liver
        label[0] = 1 - label[1:].sum(dim=0)
        items[self.label_key] = label
        return items
