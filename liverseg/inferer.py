"""Inference that is exact: one pass where it fits, else tiles that agree with one pass."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from monai.data import MetaTensor
from monai.inferers import Inferer

from liverseg.memory import is_out_of_memory, voxels_that_fit
from liverseg.tiling import Box, Shape, sides, tile_size, tiles, whole

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
    bounded neighbourhood: not with instance normalisation or global pooling. Where a pass does
    not get the memory that it needs after all, smaller tiles are tried.

    Args:
        max_voxels: a pass takes at most so many voxels of input, halo included; a volume that
            is not larger goes through in one pass. None: as many as the free memory holds.
        amp: whether convolutions compute in bfloat16; an engine sees to that itself.
        halo: voxels that the network sees around a voxel along X, Y, Z; by default the
            network's own attribute ``halo``.
        stride: by default the network's own attribute ``stride``.
        dtype: of the answer; float16 takes half the memory and is exact to 1/2048.
    """

    def __init__(
        self,
        max_voxels: int | None = None,
        amp: bool = True,
        halo: Shape | None = None,
        stride: int | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.max_voxels = max_voxels
        self.amp = amp
        self.halo = halo
        self.stride = stride
        self.dtype = dtype

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
            (B, heads, X, Y, Z) of dtype.

        Raises:
            ValueError: if the volume is too large for one pass and the network states no halo and
                none is given, or if there is no room for a tile of one stride and its halo.
        """
        return self.region(inputs, network, whole(_space(inputs)), *args, **kwargs)

    def region(
        self,
        inputs: torch.Tensor,
        network: Callable[..., Any],
        box: Box,
        *args: Any,
        **kwargs: Any,
    ) -> torch.Tensor:
        """The part of a volume's logits that lies in a box, without those of the rest.

        Args:
            inputs: (B, C, X, Y, Z).
            network: as for a call.
            box: the part that is wanted.
            args: more arguments of the network.
            kwargs: more arguments of the network.

        Returns:
            (B, heads, *sides of the box) of dtype.

        Raises:
            ValueError: as a call; a box smaller than the volume needs a halo too.
        """
        limit = self.max_voxels or voxels_that_fit(inputs.device)
        with autocast(inputs.device, self.amp), torch.no_grad():
            while True:
                try:
                    return self._tiled(inputs, network, box, limit, *args, **kwargs)
                except (RuntimeError, MemoryError) as error:
                    if not is_out_of_memory(error):
                        raise
                limit = self._smaller(inputs, network, box, limit)

    def _tiled(
        self,
        inputs: torch.Tensor,
        network: Callable[..., Any],
        box: Box,
        limit: int,
        *args: Any,
        **kwargs: Any,
    ) -> torch.Tensor:
        volume = _space(inputs)
        if sides(box) == volume and math.prod(volume) <= limit:
            return network(inputs, *args, **kwargs).to(self.dtype)  # type: ignore[no-any-return]
        halo, stride = self._reach(network, box, volume, limit)
        size = tile_size(sides(box), halo, stride, limit, volume)
        output = torch.empty(0)
        for tile in tiles(volume, box, size, halo, stride):
            logits = network(inputs[_ALL + tile.outer], *args, **kwargs)
            if output.numel() == 0:
                shape = (*logits.shape[:2], *sides(box))
                output = torch.empty(shape, dtype=self.dtype, device=inputs.device)
            parts = zip(tile.inner, box, strict=True)
            inner = [slice(i.start - b.start, i.stop - b.start) for i, b in parts]
            output[_ALL + tuple(inner)] = logits[_ALL + tile.crop].to(self.dtype)
        if isinstance(inputs, MetaTensor) and sides(box) == volume:
            # As one pass has it; a part of a volume lies elsewhere.
            return MetaTensor(output, meta=inputs.meta)
        return output

    def _reach(
        self, network: Callable[..., Any], box: Box, volume: Shape, limit: int
    ) -> tuple[Shape, int]:
        """Halo and stride of the network, for what does not go through in one pass."""
        halo = self.halo or getattr(network, "halo", None)
        stride = self.stride or getattr(network, "stride", None)
        if halo is None or stride is None:
            raise ValueError(
                f"{math.prod(volume)} voxels do not fit in one pass of {limit}, and tiles need a "
                f"network with a halo and a stride; {type(network).__name__} states none"
                if sides(box) == volume
                else "a part of a volume needs a network with a halo and a stride; "
                f"{type(network).__name__} states none"
            )
        return halo, stride

    def _smaller(
        self, inputs: torch.Tensor, network: Callable[..., Any], box: Box, limit: int
    ) -> int:
        """The next limit to try after one that did not get its memory."""
        volume = _space(inputs)
        if inputs.device.type == "cuda":
            torch.cuda.empty_cache()
        smaller = min(limit, math.prod(volume)) // 2
        try:
            halo, stride = self._reach(network, box, volume, smaller)
            tile_size(sides(box), halo, stride, smaller, volume)
        except ValueError as error:
            raise MemoryError(f"the memory for a pass is not there, and {error}") from None
        return smaller


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


def _space(inputs: torch.Tensor) -> Shape:
    return int(inputs.shape[2]), int(inputs.shape[3]), int(inputs.shape[4])
