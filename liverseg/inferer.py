"""Inference that is exact: one pass where it fits, else tiles that agree with one pass."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from monai.inferers import Inferer

# 8 million voxels need about 0.5 GB in bfloat16 in the first layers of the paper's network.
MAX_VOXELS = 8_000_000
_ALL = (slice(None), slice(None))  # of batch and channels


class AutocastInferer(Inferer):
    """One pass of a network in mixed precision, on the CPU as on a GPU.

    MONAI's trainers and evaluators know mixed precision on CUDA only.

    Args:
        amp: whether convolutions compute in bfloat16.
    """

    def __init__(self, amp: bool = True) -> None:
        super().__init__()
        self.amp = amp

    def __call__(
        self, inputs: torch.Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Any:
        """What the network returns for the inputs.

        Args:
            inputs: (B, C, X, Y, Z).
            network: a callable on the inputs.
            args: more arguments of the network.
            kwargs: more arguments of the network.

        Returns:
            The network's answer, in bfloat16 where amp is on.
        """
        with autocast(inputs.device, self.amp):
            return network(inputs, *args, **kwargs)


class TiledInferer(Inferer):
    """Tiles with a halo of the receptive field, aligned to the stride; nothing is averaged.

    The answer is that of the whole volume in one pass, to rounding, because inside a tile no
    voxel sees the tile's border unless it is the volume's own. Holds for networks that see a
    bounded neighbourhood: not with instance normalisation or global pooling.

    Args:
        max_voxels: a pass takes at most so many voxels of input, halo included; a volume that
            is not larger goes through in one pass.
        amp: whether convolutions compute in bfloat16.
        halo: voxels that the network sees around a voxel along X, Y, Z; by default the
            network's own attribute ``halo``.
        stride: by default the network's own attribute ``stride``.
    """

    def __init__(
        self,
        max_voxels: int = MAX_VOXELS,
        amp: bool = True,
        halo: tuple[int, int, int] | None = None,
        stride: int | None = None,
    ) -> None:
        super().__init__()
        self.max_voxels = max_voxels
        self.amp = amp
        self.halo = halo
        self.stride = stride

    def __call__(
        self, inputs: torch.Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """Logits for a volume of any size.

        Args:
            inputs: (B, C, X, Y, Z).
            network: gives (B, heads, X, Y, Z) for a (B, C, X, Y, Z) tensor of any size.
            args: more arguments of the network.
            kwargs: more arguments of the network.

        Returns:
            (B, heads, X, Y, Z) float32.

        Raises:
            ValueError: if the volume is too large for one pass and the network states no halo and
                none is given, or if max_voxels does not hold a tile of one stride and its halo.
        """
        shape = (int(inputs.shape[2]), int(inputs.shape[3]), int(inputs.shape[4]))
        with autocast(inputs.device, self.amp), torch.no_grad():
            if math.prod(shape) <= self.max_voxels:
                return network(inputs, *args, **kwargs).float()  # type: ignore[no-any-return]
            halo = self.halo or getattr(network, "halo", None)
            stride = self.stride or getattr(network, "stride", None)
            if halo is None or stride is None:
                raise ValueError(
                    f"{math.prod(shape)} voxels do not fit in one pass of {self.max_voxels}, and "
                    f"tiles need a network with a halo and a stride; {type(network).__name__} "
                    "states none"
                )
            size = tile_size(shape, halo, stride, self.max_voxels)
            output = torch.empty(0)
            for inner, outer, crop in tiles(shape, size, halo):
                logits = network(inputs[_ALL + outer], *args, **kwargs)
                if output.numel() == 0:
                    # new_empty keeps the meta data of a MetaTensor, as one pass would.
                    output = inputs.new_empty((*logits.shape[:2], *shape), dtype=torch.float32)
                output[_ALL + inner] = logits[_ALL + crop].float()
        return output


def autocast(device: torch.device, amp: bool) -> AbstractContextManager[Any]:
    """Mixed precision in bfloat16 on a device, or nothing."""
    if not amp:
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether convolutions in bfloat16 are faster than in float32 on a device.

    Args:
        device: a CUDA device, or the CPU.

    Returns:
        True for CUDA devices that compute in bfloat16 and CPUs that have AVX-512 BF16 or AMX.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def tile_size(
    shape: tuple[int, int, int], halo: tuple[int, int, int], stride: int, max_voxels: int
) -> tuple[int, int, int]:
    """The largest tile, halved along its longest axis until it and its halo fit.

    Args:
        shape: voxels of the volume.
        halo: voxels around a tile.
        stride: a tile's sides are multiples of it.
        max_voxels: limit for a tile with its halo.

    Returns:
        Sides of a tile without the halo; at least shape where one pass fits.

    Raises:
        ValueError: if not even a tile of one stride fits.
    """
    size = [stride * math.ceil(length / stride) for length in shape]

    def voxels() -> int:
        parts = zip(size, halo, shape, strict=True)
        return math.prod(min(side + 2 * rim, length) for side, rim, length in parts)

    while voxels() > max_voxels:
        if max(size) == stride:
            raise ValueError(
                f"a tile needs {voxels()} voxels with its halo of {halo}; max_voxels is "
                f"{max_voxels}"
            )
        longest = size.index(max(size))
        size[longest] = stride * math.ceil(size[longest] / (2 * stride))
    return size[0], size[1], size[2]


_Slices = tuple[slice, slice, slice]


def tiles(
    shape: tuple[int, int, int], size: tuple[int, int, int], halo: tuple[int, int, int]
) -> Iterator[tuple[_Slices, _Slices, _Slices]]:
    """The tiles of a volume: where each lies, where it is cut out, and itself in its cut-out.

    Args:
        shape: voxels of the volume.
        size: sides of a tile without its halo.
        halo: voxels around a tile.

    Yields:
        Slices of the volume for the tile, of the volume for the tile with its halo, and of that
        cut-out for the tile.
    """
    starts = [range(0, length, side) for length, side in zip(shape, size, strict=True)]
    for corner in itertools.product(*starts):
        inner, outer, crop = [], [], []
        for axis, start in enumerate(corner):
            stop = min(start + size[axis], shape[axis])
            low = max(0, start - halo[axis])
            inner.append(slice(start, stop))
            outer.append(slice(low, min(stop + halo[axis], shape[axis])))
            crop.append(slice(start - low, stop - low))
        yield (
            (inner[0], inner[1], inner[2]),
            (outer[0], outer[1], outer[2]),
            (crop[0], crop[1], crop[2]),
        )
