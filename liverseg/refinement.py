"""The MONAI transform that refines a network's logits with the CRF, where the liver may be."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from liverseg.crf import CrfParameters, check_finite, check_spacing, mixed_logit, refine

# A voxel that may be liver; the CRF looks at the box of those, and what is outside stays as it is.
POSSIBLE = 0.02
MARGIN_MM = 20.0  # around the box: of the tissue that the liver is told apart from


class RefineD(MapTransform):
    """Refine the main head by the fully connected CRF, on the network's grid.

    Args:
        keys: items (H, X, Y, Z) of logits, liver minus the rest: main, then the branches.
        window: the HU that are 0 and 1 in the image.
        parameters: of the CRF.
        tau: share of each branch in the unary, in the order of the heads.
        image_key: the image that ToNetworkGridd made, (C, X, Y, Z) in [0, 1]; its first channel is
            looked at, its affine gives the voxel size.
        allow_missing_keys: whether an item may be absent.

    Raises:
        ValueError: the window's first value is not below its second.
    """

    def __init__(
        self,
        keys: KeysCollection,
        window: Sequence[float],
        parameters: CrfParameters,
        tau: Sequence[float] = (),
        image_key: str = "image",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if not window[0] < window[1]:
            raise ValueError(f"the window should rise; got {window[0]} to {window[1]} HU")
        self.window = (float(window[0]), float(window[1]))
        self.parameters = parameters
        self.tau = tuple(tau)
        self.image_key = image_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Replace the first head of each item by its refinement.

        Args:
            data: with the keys and the image.

        Returns:
            A copy; the other heads are as they were. Without a voxel that may be liver nothing is
            changed.

        Raises:
            ValueError: logits and image are on different grids, the voxel size is not above
                0 mm, or a logit, or a value of the image near the liver, is not finite.
        """
        items = dict(data)
        image = items[self.image_key]
        spacing_mm = torch.linalg.norm(image.affine[:3, :3].double(), dim=0).tolist()
        check_spacing(spacing_mm)
        low, high = self.window
        for key in self.key_iterator(items):
            logits = torch.as_tensor(items[key])
            plain = logits.as_tensor() if isinstance(logits, MetaTensor) else logits
            if plain.shape[1:] != image.shape[1:]:
                raise ValueError(
                    "logits and image should lie on one grid; got "
                    f"{list(plain.shape[1:])} and {list(image.shape[1:])} voxels"
                )
            check_finite(f"logits {key}", plain)
            unary = mixed_logit(plain, self.tau)
            box = box_of_the_possible(unary, spacing_mm)
            if box is None:
                continue
            hounsfield = image.as_tensor()[0][box].to(unary.device) * (high - low) + low
            refined = plain.clone()
            refined[0][box] = refine(unary[box], hounsfield, spacing_mm, self.parameters).to(
                plain.dtype
            )
            items[key] = (
                MetaTensor(refined, meta=logits.meta) if isinstance(logits, MetaTensor) else refined
            )
        return items


def box_of_the_possible(
    unary: torch.Tensor, spacing_mm: Sequence[float]
) -> tuple[slice, slice, slice] | None:
    """The box of the voxels above POSSIBLE with its margin; None where there is none."""
    possible = unary > math.log(POSSIBLE / (1 - POSSIBLE))
    sides = []
    for axis, step_mm in enumerate(spacing_mm):
        others = tuple(other for other in range(3) if other != axis)
        held = torch.nonzero(possible.any(dim=others[1]).any(dim=others[0]))
        if held.numel() == 0:
            return None
        margin = math.ceil(MARGIN_MM / step_mm)
        start = max(0, int(held[0]) - margin)
        sides.append(slice(start, min(unary.shape[axis], int(held[-1]) + 1 + margin)))
    return sides[0], sides[1], sides[2]
