"""Other contrast phases, fatty livers and lesions, painted into a labelled CT."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.transforms import MapTransform, RandomizableTransform

from liverseg.augment.draws import blurred, smooth_field, uniform

# Enhanced tissue lies between these HU; more is bone, which no phase changes.
BLOOD_FREE_HU = 45.0
BONE_HU = (170.0, 230.0)
TEXTURE_WIDTH = 5  # voxels: what is finer than this is vessels and noise
SOFT_EDGE = 3  # voxels over which a painted difference fades


class RandPhased(MapTransform, RandomizableTransform):
    """Change the contrast of blood, of each organ and of the liver's vessels.

    Args:
        keys: images (1, X, Y, Z) in [0, 1].
        organs_key: (1, X, Y, Z) class numbers; 0 is none, 1 the liver.
        classes: how many, with the 0.
        window: HU that became 0 and 1.
        unenhanced_probability: of taking contrast out of everything.
        liver_hu: smallest and largest change of the liver alone.
        organ_hu: standard deviation of the change of every other organ alone.
        probability: of each of the changes of an organ.
    """

    def __init__(
        self,
        keys: str | Sequence[str],
        organs_key: str,
        classes: int,
        window: Sequence[float],
        unenhanced_probability: float = 0.3,
        liver_hu: Sequence[float] = (-70.0, 50.0),
        organ_hu: float = 35.0,
        probability: float = 0.5,
    ) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, probability)
        self.organs_key = organs_key
        self.classes = classes
        self.low_hu, self.width_hu = float(window[0]), float(window[1] - window[0])
        self.unenhanced_probability = unenhanced_probability
        self.liver_hu = liver_hu
        self.organ_hu = organ_hu

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Change each image.

        Args:
            data: with the keys and the organs.

        Returns:
            A copy; the images are not limited to [0, 1].
        """
        items = dict(data)
        organs = items[self.organs_key]
        for key in self.key_iterator(items):
            image = items[key]
            if self.R.uniform() < self.unenhanced_probability:
                image = self._less_enhanced(image, uniform(self.R, 0.0, 0.9))
            change = self._changes(organs)
            if self.R.uniform() < self.prob:
                liver = blurred((organs == 1).float(), SOFT_EDGE)
                fine = image - blurred(image, TEXTURE_WIDTH)
                image = image + liver * fine * uniform(self.R, -1.0, 1.5)
            items[key] = image + change
        return items

    def _less_enhanced(self, image: torch.Tensor, share: float) -> torch.Tensor:
        """Everything above the HU of tissue without contrast brought closer to it, bone apart."""
        hu = image * self.width_hu + self.low_hu
        start, end = BONE_HU
        bone = ((hu - start) / (end - start)).clamp(0, 1)
        excess = (hu - BLOOD_FREE_HU).clamp(min=0)
        return image - (1 - bone) * excess * (1 - share) / self.width_hu

    def _changes(self, organs: torch.Tensor) -> torch.Tensor:
        """What is added to each voxel, with soft edges between the organs."""
        added = torch.zeros(self.classes)
        if self.R.uniform() < self.prob:
            added[1] = uniform(self.R, *self.liver_hu)
        for number in range(2, self.classes):
            if self.R.uniform() < self.prob:
                added[number] = self.R.normal() * self.organ_hu
        added /= self.width_hu
        return blurred(added.to(organs.device)[organs[0].long()][None], SOFT_EDGE)


class RandLesionsd(MapTransform, RandomizableTransform):
    """Paint blobs darker or brighter than the liver into it.

    Args:
        keys: images (1, X, Y, Z) in [0, 1].
        liver_key: (1, X, Y, Z) in [0, 1].
        voxel_mm: spacing of the patch.
        window: HU that became 0 and 1.
        radius_mm: smallest and largest.
        change_hu: smallest and largest change.
        most: lesions in a patch.
        probability: of any.
    """

    def __init__(
        self,
        keys: str | Sequence[str],
        liver_key: str,
        voxel_mm: float,
        window: Sequence[float],
        radius_mm: Sequence[float] = (4.0, 40.0),
        change_hu: Sequence[float] = (-90.0, 60.0),
        most: int = 6,
        probability: float = 0.3,
    ) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, probability)
        self.liver_key = liver_key
        self.voxel_mm = voxel_mm
        self.width_hu = float(window[1] - window[0])
        self.radius_mm = radius_mm
        self.change_hu = change_hu
        self.most = most

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Change each image.

        Args:
            data: with the keys and the liver.

        Returns:
            A copy; where there is no liver nothing changes.
        """
        items = dict(data)
        self.randomize(None)
        voxels = torch.nonzero(items[self.liver_key][0] > 0.5)
        if not self._do_transform or not len(voxels):
            return items
        liver = items[self.liver_key]
        change = torch.zeros_like(liver)
        hu = uniform(self.R, *self.change_hu)  # the lesions of one patient are alike
        for _ in range(1 + self.R.randint(self.most)):
            centre = voxels[self.R.randint(len(voxels))]
            self._paint(change, centre, hu + self.R.normal() * 10)
        change = change * liver / self.width_hu
        for key in self.key_iterator(items):
            items[key] = items[key] + change
        return items

    def _paint(self, change: torch.Tensor, centre: torch.Tensor, hu: float) -> None:
        """An ellipsoid with an uneven, soft border around a voxel."""
        low, high = self.radius_mm
        radius = low * (high / low) ** self.R.uniform() / self.voxel_mm
        stretch = [uniform(self.R, 0.7, 1.4) for _ in range(3)]
        reach = 2 * radius + 2
        starts = [max(0, int(c - reach)) for c in centre]
        stops = [min(n, int(c + reach) + 2) for c, n in zip(centre, change.shape[1:], strict=True)]
        axes = [
            (torch.arange(a, b, device=change.device).float() - float(c)) / s
            for a, b, c, s in zip(starts, stops, centre, stretch, strict=True)
        ]
        x, y, z = torch.meshgrid(*axes, indexing="ij")
        distance = (x * x + y * y + z * z).sqrt()
        field = smooth_field(self.R, tuple(distance.shape), 4, device=change.device)
        distance = distance * (1 + 0.2 * field[0])
        inside = (radius - distance + 0.5).clamp(0, 1)
        along = [slice(a, b) for a, b in zip(starts, stops, strict=True)]
        part = change[0, along[0], along[1], along[2]]
        part.copy_(torch.where(inside > 0, inside * hu, part))


class RandTextured(MapTransform, RandomizableTransform):
    """Uneven brightness over the patch: perfusion, beam hardening, uneven fat.

    Args:
        keys: images (1, X, Y, Z) in [0, 1].
        amplitude: largest standard deviation at the knots, as a share of the window.
        probability: of any.
    """

    def __init__(
        self, keys: str | Sequence[str], amplitude: float = 0.04, probability: float = 0.3
    ) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, probability)
        self.amplitude = amplitude

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Add a smooth field to each image, where there is tissue."""
        items = dict(data)
        self.randomize(None)
        if self._do_transform:
            for key in self.key_iterator(items):
                image = items[key]
                field = smooth_field(self.R, tuple(image.shape[1:]), 5, device=image.device)
                items[key] = image + field * self.amplitude * self.R.uniform() * (image > 0)
        return items
