"""Two looks: a coarse one at the whole scan says where the liver can be, a fine one looks there.

Vocabulary: the *guidance* is the liver's probability in the coarse look, on the fine grid. The
*box* is the part of the fine grid that the fine network answers for; what it answers there is what
it would answer for the whole scan, to rounding, because it is given its halo around the box.
What *may be liver* of a mask are its components that are not small beside the largest, which is the
one that is kept in the end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.data import MetaTensor
from monai.inferers import Inferer
from torch.nn import functional

from liverseg.component import without_small
from liverseg.inferer import TiledInferer
from liverseg.tiling import Box, Shape, bounding_box, difference, extended, touched_faces, whole

GUIDED_CHANNELS = 2  # of a fine network's input: image, guidance
# The logit of every voxel outside the box: a probability of 4e-44, finite in half precision.
OUTSIDE_LOGIT = -100.0
# Of the voxels of a mask's largest component, those that another one has to have to be followed out
# of the box. Bits of stomach, spleen or heart would have it grow to the scan's border for nothing.
LEAST_SHARE = 0.1
# Of the coarse network's logit counts what is beyond the first of these, up to the second: it says
# what is liver and what is spleen; where the liver ends its voxels are too large to tell.
UNSURE_LOGIT = 2.0
SURE_LOGIT = 8.0
ALL_FACES = ((True, True), (True, True), (True, True))


class CascadeInferer(Inferer):
    """A coarse look at the whole scan, then the fine network in the liver's box only.

    Where what may be liver of the fine mask touches the box, other than at the scan's own border,
    the box grows there, so that a coarse look that saw too little cuts no part of a liver off.

    Args:
        coarse: the coarse network: (1, 1, x, y, z) in [0, 1] to (1, heads, x, y, z) logits of
            liver minus the rest, the main head first.
        factor: fine voxels along a side of a coarse voxel.
        threshold: a coarse voxel may be liver where its probability is above.
        margin: fine voxels around the coarse liver that belong to the first box, and at least so
            many that a box grows by.
        tiles: how the passes are done; TiledInferer(amp=False) by default.
        coarse_weight: of the coarse logit, which is added to that of a fine network that is given
            the guidance; see with_coarse.

    Raises:
        ValueError: factor or margin is no size, threshold no probability, or the weight negative.
    """

    def __init__(
        self,
        coarse: Callable[..., torch.Tensor],
        factor: int = 3,
        threshold: float = 0.5,
        margin: int = 8,
        tiles: TiledInferer | None = None,
        coarse_weight: float = 0.0,
    ) -> None:
        super().__init__()
        if factor < 1 or margin < 1 or not 0 <= threshold < 1 or not coarse_weight >= 0:
            raise ValueError(
                "a factor and a margin of at least 1, a threshold from 0 to below 1 and a weight "
                f"of at least 0 are wanted; got {factor}, {margin}, {threshold} and {coarse_weight}"
            )
        self.coarse = coarse
        self.factor = factor
        self.threshold = threshold
        self.margin = margin
        self.tiles = tiles or TiledInferer(amp=False)
        self.coarse_weight = coarse_weight

    def __call__(
        self, inputs: torch.Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """Logits of the fine network in the box, a large negative number elsewhere.

        Args:
            inputs: (1, 1, X, Y, Z) in [0, 1] on the fine grid, any size.
            network: the fine network: (1, C, X, Y, Z) to (1, heads, X, Y, Z) logits of liver minus
                the rest, the main head first. Where its attribute ``in_channels`` is 2 it gets the
                guidance as the second channel.
            args: more arguments of the network.
            kwargs: more arguments of the network.

        Returns:
            (1, heads, X, Y, Z) in the precision of `tiles`. Where the coarse look finds no liver
            OUTSIDE_LOGIT everywhere, and as many heads as the coarse network has.

        Raises:
            ValueError: the inputs have another shape, or as TiledInferer.
        """
        if inputs.dim() != 5 or tuple(inputs.shape[:2]) != (1, 1):
            raise ValueError(f"one image (1, 1, X, Y, Z) is wanted; got {list(inputs.shape)}")
        # Meta data costs time with every slice; only the answer carries it.
        image = inputs.as_subclass(torch.Tensor)
        shape = (int(image.shape[2]), int(image.shape[3]), int(image.shape[4]))
        with torch.no_grad():
            looked = self.tiles(coarse_image(image, self.factor), self.coarse).float()
            guide = guidance(looked[:, :1], shape, self.factor)
            found = bounding_box(_may_be_liver(guide[0, 0] > self.threshold))
            if found is None:
                heads = looked.shape[1]
                return inputs.new_full((1, heads, *shape), OUTSIDE_LOGIT, dtype=self.tiles.dtype)
            if getattr(network, "in_channels", 1) == GUIDED_CHANNELS:
                image = torch.cat([image, guide], dim=1)
            margin = (self.margin, self.margin, self.margin)
            box = extended(found, margin, ALL_FACES, shape)
            logits = self._grown(image, box, network, *args, **kwargs)
        return MetaTensor(logits, meta=inputs.meta) if isinstance(inputs, MetaTensor) else logits

    def _grown(
        self,
        image: torch.Tensor,
        box: Box,
        network: Callable[..., Any],
        *args: Any,
        **kwargs: Any,
    ) -> torch.Tensor:
        """The fine logits in a box that grows until nothing that may be liver touches it."""
        shape = (int(image.shape[2]), int(image.shape[3]), int(image.shape[4]))
        step = self._step(network)
        output = torch.empty(0)
        parts = [box]
        while parts:
            for part in parts:
                logits = self.tiles.region(image, network, part, *args, **kwargs)
                if image.shape[1] == GUIDED_CHANNELS and self.coarse_weight > 0:
                    guide = image[:, 1:, part[0], part[1], part[2]]
                    logits = with_coarse(logits, guide, self.coarse_weight)
                if output.numel() == 0:
                    all_of_it = (1, logits.shape[1], *shape)
                    output = logits.new_full(all_of_it, OUTSIDE_LOGIT)
                output[:, :, part[0], part[1], part[2]] = logits
            # What has been computed stays; only what the box gains is computed.
            grown = _followed(output[0, 0][box] > 0, box, step, shape)
            parts, box = list(difference(box, grown)), grown
        return output

    def _step(self, network: Callable[..., Any]) -> Shape:
        """Voxels that a box grows by: thinner slabs would be more halo than slab."""
        x, y, z = getattr(network, "halo", None) or (0, 0, 0)
        return max(x, self.margin), max(y, self.margin), max(z, self.margin)


def _followed(mask: torch.Tensor, box: Box, step: Shape, volume: Shape) -> Box:
    """A box moved outwards where what may be liver of the mask within touches it."""
    x, y, z = mask.shape
    inside = whole((x, y, z))
    grown = extended(box, step, touched_faces(mask, inside), volume)
    if grown == box:
        return box
    return extended(box, step, touched_faces(_may_be_liver(mask), inside), volume)


def _may_be_liver(mask: torch.Tensor) -> torch.Tensor:
    """A mask (X, Y, Z) without what is too small to be kept as the liver; on the CPU."""
    return torch.from_numpy(without_small(mask.cpu().numpy(), LEAST_SHARE))


def with_coarse(logits: torch.Tensor, guide: torch.Tensor, weight: float) -> torch.Tensor:
    """What the coarse and the fine network say together: a weighted sum of their logits.

    On scans that neither has seen each alone takes in what the other does not: the fine one sees a
    part of the body and may follow a large spleen, the coarse one sees all of it.

    Args:
        logits: (1, heads, X, Y, Z) of the fine network.
        guide: (1, 1, X, Y, Z) probability of the coarse one.
        weight: of the coarse logit: of what of it lies beyond UNSURE_LOGIT, on either side, and
            not beyond SURE_LOGIT.

    Returns:
        As the logits, in their precision.
    """
    least = torch.sigmoid(torch.tensor(-SURE_LOGIT)).item()
    coarse = torch.logit(guide.float().clamp(least, 1 - least))
    return logits + (weight * functional.softshrink(coarse, UNSURE_LOGIT)).to(logits.dtype)


def coarse_image(image: torch.Tensor, factor: int) -> torch.Tensor:
    """The image on the coarse grid: the mean of factor x factor x factor voxels.

    Args:
        image: (B, C, X, Y, Z) float; its end is repeated up to a multiple of factor.
        factor: fine voxels along a side of a coarse voxel.

    Returns:
        (B, C, ceil(X / factor), ceil(Y / factor), ceil(Z / factor)).
    """
    x, y, z = (-length % factor for length in image.shape[2:])
    if x + y + z > 0:
        image = functional.pad(image, [0, z, 0, y, 0, x], mode="replicate")
    return functional.avg_pool3d(image, factor)


def guidance(coarse_logit: torch.Tensor, shape: Shape, factor: int) -> torch.Tensor:
    """The liver's probability in the coarse look, on the fine grid.

    Args:
        coarse_logit: (B, 1, x, y, z) of liver minus the rest, for the coarse_image of a volume.
        shape: (X, Y, Z) of that volume.
        factor: as for coarse_image.

    Returns:
        (B, 1, X, Y, Z) float32 in [0, 1]: the probability, interpolated linearly.
    """
    probability = torch.sigmoid(coarse_logit.float())
    larger = [length * factor for length in coarse_logit.shape[2:]]
    fine = functional.interpolate(probability, larger, mode="trilinear", align_corners=False)
    x, y, z = shape
    return fine[:, :, :x, :y, :z]
