"""A guidance as unseen scans get it: moved, eroded, dilated, with false and missing parts."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.transforms import MapTransform, RandomizableTransform
from torch.nn import functional

from liverseg.augment.draws import smooth_field, uniform

KNOTS = 5  # of the smooth changes, along each axis of a patch
CERTAIN = 1e-3  # probabilities are held this far from 0 and 1 before their logit is taken


class RandGuidanced(MapTransform, RandomizableTransform):
    """Damage the guidance of the fine network, so that it learns where not to trust it.

    Args:
        keys: guidances (1, X, Y, Z) in [0, 1].
        voxel_mm: spacing of the patch.
        moved_mm: largest standard deviation of the displacement.
        logit: largest standard deviation of a smooth change of the logit: erodes here, dilates
            there.
        radius_mm: smallest and largest of the parts that are added or taken away.
        most: such parts in a patch.
        absent_probability: of no guidance at all.
        probability: of each of the other changes.
    """

    def __init__(
        self,
        keys: str | Sequence[str],
        voxel_mm: float,
        moved_mm: float = 6.0,
        logit: float = 2.5,
        radius_mm: Sequence[float] = (6.0, 30.0),
        most: int = 3,
        absent_probability: float = 0.05,
        probability: float = 0.5,
    ) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, probability)
        self.voxel_mm = voxel_mm
        self.moved_mm = moved_mm
        self.logit = logit
        self.radius_mm = radius_mm
        self.most = most
        self.absent_probability = absent_probability

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Damage each guidance.

        Args:
            data: with the keys.

        Returns:
            A copy with guidances in [0, 1].
        """
        items = dict(data)
        for key in self.key_iterator(items):
            guidance = items[key]
            if self.R.uniform() < self.absent_probability:
                items[key] = torch.zeros_like(guidance)
                continue
            if self.R.uniform() < self.prob:
                guidance = self._moved(guidance)
            if self.R.uniform() < self.prob:
                shape = tuple(guidance.shape[1:])
                change = smooth_field(self.R, shape, KNOTS, device=guidance.device)
                strength = uniform(self.R, 0, self.logit)
                guidance = torch.sigmoid(guidance.logit(CERTAIN) + strength * change)
            if self.R.uniform() < self.prob:
                guidance = guidance.clone()
                for _ in range(1 + self.R.randint(self.most)):
                    self._paint(guidance, bool(self.R.randint(2)))
            items[key] = guidance.clamp(0, 1)  # interpolation rounds
        return items

    def _moved(self, guidance: torch.Tensor) -> torch.Tensor:
        """Displaced by a smooth field and as a whole."""
        shape, device = tuple(guidance.shape[1:]), guidance.device
        sigma = uniform(self.R, 0, self.moved_mm) / self.voxel_mm
        moved = smooth_field(self.R, shape, KNOTS, 3)
        moved = sigma * (moved + 0.5 * torch.from_numpy(self.R.normal(size=(3, 1, 1, 1))).float())
        # Where every voxel comes from is worked out on the CPU: the same numbers everywhere.
        axes = [torch.arange(n, dtype=torch.float32) for n in shape]
        places = torch.stack(torch.meshgrid(*axes, indexing="ij")) + moved
        sizes = torch.tensor(shape, dtype=torch.float32)[:, None, None, None]
        grid = ((places + 0.5) * 2 / sizes - 1).permute(1, 2, 3, 0).flip(-1)[None]
        sampled = functional.grid_sample(
            guidance[None], grid.to(device), padding_mode="border", align_corners=False
        )
        return sampled[0]

    def _paint(self, guidance: torch.Tensor, present: bool) -> None:
        """An ellipsoid with soft edges, somewhere, added or taken away."""
        shape = guidance.shape[1:]
        low, high = self.radius_mm
        radius = uniform(self.R, low, high) / self.voxel_mm
        axes = [
            (torch.arange(n, device=guidance.device).float() - self.R.randint(n))
            / uniform(self.R, 0.6, 1.4)
            for n in shape
        ]
        x, y, z = torch.meshgrid(*axes, indexing="ij")
        inside = ((radius - (x * x + y * y + z * z).sqrt()) / 3 + 0.5).clamp(0, 1)
        guidance.copy_(guidance.lerp(torch.full_like(guidance, float(present)), inside))
