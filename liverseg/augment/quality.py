"""What scanners and protocols change: HU, noise, sharpness, slice thickness, field of view."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.transforms import MapTransform, RandomizableTransform
from torch.nn import functional

from liverseg.augment.draws import blurred, normal_field, uniform

AIR = 0.01  # of the window: what is darker is air or lung


class RandScannerd(MapTransform, RandomizableTransform):
    """Another slice thickness, sharpness, noise and calibration.

    Args:
        keys: images (1, X, Y, Z) in [0, 1].
        voxel_mm: spacing of the patch.
        window: HU that became 0 and 1.
        thickness_mm: largest slice thickness.
        noise_hu: largest standard deviation of the noise.
        shift_hu: largest shift.
        scale: largest change of the scale, as a share.
        gamma: smallest and largest exponent.
        probability: of each of the changes.
    """

    def __init__(
        self,
        keys: str | Sequence[str],
        voxel_mm: float,
        window: Sequence[float],
        thickness_mm: float = 6.0,
        noise_hu: float = 30.0,
        shift_hu: float = 25.0,
        scale: float = 0.15,
        gamma: Sequence[float] = (0.75, 1.35),
        probability: float = 0.4,
    ) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, probability)
        self.voxel_mm = voxel_mm
        self.width_hu = float(window[1] - window[0])
        self.thickness_mm = thickness_mm
        self.noise_hu = noise_hu
        self.shift_hu = shift_hu
        self.scale = scale
        self.gamma = gamma

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Change each image.

        Args:
            data: with the keys.

        Returns:
            A copy with images in [0, 1].
        """
        items = dict(data)
        for key in self.key_iterator(items):
            image = items[key]
            if self._happens():
                image = self._thicker(image)
            if self._happens():
                image = blurred(image, 3).lerp(image, self.R.uniform())
            # Air is far below the window: no noise or shift brings it in.
            air = image <= AIR
            if self._happens():
                image = image + self._noise(tuple(image.shape), image.device)
            if self._happens():
                middle = uniform(self.R, 0.2, 0.7)
                image = middle + (image - middle) * uniform(self.R, 1 - self.scale, 1 + self.scale)
            if self._happens():
                image = image + uniform(self.R, -self.shift_hu, self.shift_hu) / self.width_hu
            image = image.clamp(0, 1).masked_fill(air, 0)
            if self._happens():
                image = image ** uniform(self.R, *self.gamma)
            items[key] = image
        return items

    def _happens(self) -> bool:
        return bool(self.R.uniform() < self.prob)

    def _thicker(self, image: torch.Tensor) -> torch.Tensor:
        """Slices averaged to a thickness, then interpolated back, as resampling a scan does."""
        factor = uniform(self.R, 1.0, max(1.0, self.thickness_mm / self.voxel_mm))
        slices = max(2, round(image.shape[3] / factor))
        x, y, z = image.shape[1:]
        columns = image.reshape(1, 1, x * y, z)
        thick = functional.interpolate(
            columns, (x * y, slices), mode="bilinear", antialias=True, align_corners=False
        )
        back = functional.interpolate(thick, (x * y, z), mode="bilinear", align_corners=False)
        return back.reshape(image.shape)

    def _noise(self, shape: tuple[int, ...], device: torch.device) -> torch.Tensor:
        """White noise, or grains of about three voxels, of a random strength."""
        strength = uniform(self.R, 0.0, self.noise_hu) / self.width_hu
        noise = normal_field(self.R, shape, device)
        if self.R.uniform() < 0.5:
            noise = blurred(noise, 3)
            noise = noise / noise.std().clamp(min=1e-3) * 0.5
        return noise * strength


class RandFieldOfViewd(MapTransform, RandomizableTransform):
    """Blank everything outside a random box: a scan that ends where others go on.

    Args:
        keys: items (C, X, Y, Z); labels too, since what is not seen is not there.
        most: largest share cut away at each end along X, Y, Z.
        probability: of cutting each end.
        slab: smallest and largest share of the slices that a slab keeps.
        slab_probability: of keeping a slab of slices only.
    """

    def __init__(
        self,
        keys: str | Sequence[str],
        most: Sequence[float] = (0.25, 0.25, 0.6),
        probability: float = 0.15,
        slab: Sequence[float] = (0.1, 0.5),
        slab_probability: float = 0.0,
    ) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, probability)
        self.most = most
        self.slab = slab
        self.slab_probability = slab_probability

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Blank each item alike."""
        items = dict(data)
        shape = items[self.first_key(items)].shape[1:]
        blanked = []
        if self.R.uniform() < self.slab_probability:
            kept = int(shape[2] * uniform(self.R, *self.slab))
            start = self.R.randint(shape[2] - kept + 1)
            blanked += [(2, slice(start)), (2, slice(start + kept, shape[2]))]
        for axis, (length, most) in enumerate(zip(shape, self.most, strict=True)):
            for end in (False, True):
                if self.R.uniform() < self.prob:
                    voxels = int(length * uniform(self.R, 0, most))
                    blanked.append((axis, slice(length - voxels, length) if end else slice(voxels)))
        if blanked:
            for key in self.key_iterator(items):
                item = items[key].clone()
                for axis, part in blanked:
                    item[(slice(None),) * (axis + 1) + (part,)] = 0
                items[key] = item
        return items
