"""The 3D deeply supervised network (3D DSN) for liver segmentation, registered with MONAI.

Importing this module makes ``monai.networks.nets.DSN``, ``monai.networks.nets.dsn`` and
``_target_: DSN`` in a bundle's configuration mean the class below.

References:
    [1] Dou, Chen, Jin, Yu, Qin, Heng: 3D Deeply Supervised Network for Automatic Liver
        Segmentation from CT Volumes. MICCAI 2016, arXiv 1607.00582. Architecture: Fig. 2.
    [2] Dou et al.: 3D deeply supervised network for automated segmentation of volumetric medical
        images. Medical Image Analysis 41 (2017) 40-54.
    [3] He et al.: Delving Deep into Rectifiers. ICCV 2015.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Sequence
from typing import SupportsIndex

import monai.networks.nets
import torch
from monai.networks.layers.utils import get_act_layer
from torch import nn
from torch.nn import functional

from liverseg.blocks import REFINING_KERNEL, SkipHead, convolution_block, doubling

# Fig. 2 of [1]: output channels and kernels (x, y, z) of the six convolutions, layers 1 2 4 5 7 8.
PAPER_CHANNELS = (8, 8, 16, 32, 32, 32)
PAPER_KERNEL_SIZES = ((9, 9, 7), (9, 9, 7), (7, 7, 5), (7, 7, 5), (5, 5, 3), (1, 1, 1))
PAPER_INIT_STD = 0.01  # standard deviation of the initial weights in [1]

CONVOLUTIONS = 6
STRIDE = 4  # input voxels per voxel of the deepest map, along each axis: two poolings by 2
INITIALISATIONS = ("paper", "he")


class DSN(nn.Module):
    """The liver network of Dou et al. 2016: six convolutions, two poolings, three heads.

    By default the network of the paper: large kernels, same padding, no skip connection, no
    normalisation. All heads are logits at the resolution of the input: layer 3 (after the first
    pooling), layer 6 (after the second) and the main path.

    torch.jit.script keeps every size possible; torch.export fixes the size of its example.

    Args:
        in_channels: channels of the image.
        out_channels: channels of each head; 2 (background, liver) as in the paper.
        channels: output channels of the six convolutions.
        kernel_sizes: kernels (x, y, z) of the six convolutions, odd numbers.
        activation: activation after each convolution, a name MONAI knows ("relu", "selu", ...).
        norm: normalisation between convolution and activation, a name MONAI knows ("batch",
            "instance", ...) or None. With another one than "batch" the answer for a voxel
            depends on the whole input: there is no halo, and tiles are refused.
        init: "paper": N(0, 0.01); "he": He's normal initialisation [3]. Biases start at 0.
        deconv_kernel_size: kernel of the transposed convolutions of stride 2, at least 2. 3 in
            the paper.
        deconv_channels: channels of a transposed convolution that is not the last of its head.
            Not stated in the paper; 16 is ours.
        deconv_activation: activation after each transposed convolution but a head's last, or
            None. Not stated in the paper; the authors' released heart network [2] has none.
        head_convolution: end every head with a 1x1x1 convolution from deconv_channels (as in
            [2]) instead of a transposed convolution to out_channels.
        skips: give the main head the maps of layers 5 and 2 after each of its transposed
            convolutions, which the paper's network does not have (see SkipHead).

    Raises:
        ValueError: if the channels or kernels are not six, a kernel is even, or init is unknown.
    """

    # Read by torch.jit.script, which then leaves out the branch that is not taken.
    __constants__ = ("skips",)

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 2,
        channels: Sequence[int] = PAPER_CHANNELS,
        kernel_sizes: Sequence[Sequence[int]] = PAPER_KERNEL_SIZES,
        activation: str = "relu",
        norm: str | None = None,
        init: str = "paper",
        deconv_kernel_size: int = 3,
        deconv_channels: int = 16,
        deconv_activation: str | None = None,
        head_convolution: bool = False,
        skips: bool = False,
    ) -> None:
        super().__init__()
        _check_layers(channels, kernel_sizes, deconv_kernel_size, init)
        c1, c2, c4, c5, c7, c8 = channels
        k1, k2, k4, k5, k7, k8 = kernel_sizes
        self.in_channels = in_channels
        self.stride = STRIDE
        # Other normalisations than batch make every voxel see the whole input.
        local = norm is None or norm.lower() == "batch"
        self.halo = halo(kernel_sizes, deconv_kernel_size, skips) if local else None
        self.skips = skips

        def convolution(inputs: int, outputs: int, kernel: Sequence[int]) -> nn.Sequential:
            return convolution_block(inputs, outputs, kernel, activation, norm)

        def head(inputs: int, doublings: int) -> nn.Sequential:
            widths = [inputs] + [deconv_channels] * doublings
            if not head_convolution:
                widths[-1] = out_channels
            layers: list[nn.Module] = []
            for number, (wide, narrow) in enumerate(itertools.pairwise(widths)):
                layers.append(doubling(wide, narrow, deconv_kernel_size))
                if deconv_activation is not None and (head_convolution or number < doublings - 1):
                    layers.append(get_act_layer(deconv_activation))
            if head_convolution:
                layers.append(nn.Conv3d(deconv_channels, out_channels, kernel_size=1))
            return nn.Sequential(*layers)

        self.layer1 = convolution(in_channels, c1, k1)
        self.layer2 = convolution(c1, c2, k2)
        self.layer3 = nn.MaxPool3d(2)
        self.layer4 = convolution(c2, c4, k4)
        self.layer5 = convolution(c4, c5, k5)
        self.layer6 = nn.MaxPool3d(2)
        self.layer7 = convolution(c5, c7, k7)
        self.layer8 = convolution(c7, c8, k8)
        self.head_main: nn.Module
        if skips:
            self.head_main = SkipHead(
                (c8, c5, c2), deconv_channels, out_channels, deconv_kernel_size, (activation, norm)
            )
        else:
            self.head_main = head(c8, 2)  # layers 9 and 10
        self.head_layer6 = head(c5, 2)
        self.head_layer3 = head(c2, 1)
        self._initialise(init)

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple[object, ...]:
        """Pickled by liverseg.dsn, which every process can import, not by its name in MONAI."""
        if type(self) is not DSN:
            return super().__reduce_ex__(protocol)
        return _blank, (), self.__dict__

    def forward(self, image: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        """Logits: a list of all heads in training, the main head alone in evaluation.

        Args:
            image: (B, in_channels, X, Y, Z) float, any size from 1.

        Returns:
            In training [main, layer 6, layer 3], in evaluation main; each
            (B, out_channels, X, Y, Z) logits.

        Raises:
            ValueError: if the image has other dimensions or channels, or an axis of length 0.
        """
        if self.training:
            return self.all_heads(image)
        full = self.layer2(self.layer1(self._padded(image)))
        half = self.layer5(self.layer4(self.layer3(full)))
        deep = self.layer8(self.layer7(self.layer6(half)))
        return self._cropped(self._main(deep, half, full), image)

    @torch.jit.export
    def all_heads(self, image: torch.Tensor) -> list[torch.Tensor]:
        """Logits of all heads, in training and in evaluation.

        Args:
            image: (B, in_channels, X, Y, Z) float, any size from 1.

        Returns:
            [main, layer 6, layer 3], each (B, out_channels, X, Y, Z) logits.

        Raises:
            ValueError: as forward.
        """
        # Shapes for the paper's channels; X, Y, Z are padded to multiples of 4.
        full = self.layer2(self.layer1(self._padded(image)))  # (B, 8, X, Y, Z)
        pooled3 = self.layer3(full)  # (B, 8, X/2, Y/2, Z/2)
        half = self.layer5(self.layer4(pooled3))  # (B, 32, X/2, Y/2, Z/2)
        pooled6 = self.layer6(half)  # (B, 32, X/4, Y/4, Z/4)
        deep = self.layer8(self.layer7(pooled6))  # (B, 32, X/4, Y/4, Z/4)
        return [
            self._cropped(self._main(deep, half, full), image),  # (B, 2, X, Y, Z)
            self._cropped(self.head_layer6(pooled6), image),  # (B, 2, X, Y, Z)
            self._cropped(self.head_layer3(pooled3), image),  # (B, 2, X, Y, Z)
        ]

    def _main(self, deep: torch.Tensor, half: torch.Tensor, full: torch.Tensor) -> torch.Tensor:
        if self.skips:
            return self.head_main(deep, half, full)  # type: ignore[no-any-return]
        return self.head_main(deep)  # type: ignore[no-any-return]

    def _padded(self, image: torch.Tensor) -> torch.Tensor:
        """The image with zeros after its end, so that every axis is a multiple of the stride."""
        if image.dim() != 5 or image.shape[1] != self.in_channels or image.numel() == 0:
            raise ValueError(
                f"image should be (B, {self.in_channels}, X, Y, Z) with no empty axis; "
                f"got shape {list(image.shape)}"
            )
        stride = self.stride
        x, y, z = -image.shape[2] % stride, -image.shape[3] % stride, -image.shape[4] % stride
        if x + y + z == 0:
            return image
        return functional.pad(image, [0, z, 0, y, 0, x])

    def _cropped(self, logits: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        return logits[:, :, : image.shape[2], : image.shape[3], : image.shape[4]]

    def _initialise(self, init: str) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                fan_in = float(module.in_channels * math.prod(module.kernel_size))
            elif isinstance(module, nn.ConvTranspose3d):
                # An output voxel is reached by 1 / stride^3 of the kernel's weights.
                fan_in = module.in_channels * math.prod(module.kernel_size) / 2**3
            else:
                continue
            std = PAPER_INIT_STD if init == "paper" else math.sqrt(2 / fan_in)
            nn.init.normal_(module.weight, mean=0.0, std=std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def halo(
    kernel_sizes: Sequence[Sequence[int]] = PAPER_KERNEL_SIZES,
    deconv_kernel_size: int = 3,
    skips: bool = False,
) -> tuple[int, int, int]:
    """Input voxels around a tile that its logits depend on, rounded up to the stride.

    A tile whose start and size are multiples of the stride, cut out with this halo on each side,
    gives inside the tile what the whole volume gives there.

    Args:
        kernel_sizes: kernels (x, y, z) of the six convolutions.
        deconv_kernel_size: kernel of the transposed convolutions.
        skips: whether the main head ends as a SkipHead does.

    Returns:
        Voxels along x, y, z; (32, 32, 24) for the paper's kernels.
    """
    padding = (deconv_kernel_size - 1) // 2
    reach = []
    for axis in range(3):
        r1, r2, r4, r5, r7, r8 = (kernel[axis] // 2 for kernel in kernel_sizes)
        low, high = 0, STRIDE - 1  # the interval of output voxels of one step of the stride
        refined = REFINING_KERNEL // 2 if skips else 0
        for _ in range(2):  # each transposed convolution: output o = 2 i - padding + tap
            low, high = low - refined, high + refined
            low = -((-(low + padding - deconv_kernel_size + 1)) // 2)
            high = (high + padding) // 2
        low, high = 2 * (low - r7 - r8), 2 * (high + r7 + r8) + 1
        low, high = 2 * (low - r4 - r5), 2 * (high + r4 + r5) + 1
        low, high = low - r1 - r2, high + r1 + r2
        reach.append(STRIDE * math.ceil(max(-low, high - STRIDE + 1) / STRIDE))
    return reach[0], reach[1], reach[2]


def _check_layers(
    channels: Sequence[int],
    kernel_sizes: Sequence[Sequence[int]],
    deconv_kernel_size: int,
    init: str,
) -> None:
    if len(channels) != CONVOLUTIONS or len(kernel_sizes) != CONVOLUTIONS:
        raise ValueError(
            f"channels and kernel_sizes should have {CONVOLUTIONS} entries, layers 1 2 4 5 7 8; "
            f"got {len(channels)} and {len(kernel_sizes)}"
        )
    for kernel in kernel_sizes:
        if len(kernel) != 3 or any(size % 2 == 0 for size in kernel):
            raise ValueError(f"kernels should be three odd sizes (x, y, z); got {tuple(kernel)}")
    if deconv_kernel_size < 2:
        raise ValueError(f"deconv_kernel_size should be at least 2; got {deconv_kernel_size}")
    if init not in INITIALISATIONS:
        raise ValueError(f"init should be one of {', '.join(INITIALISATIONS)}; got {init!r}")


def _blank() -> DSN:
    """What a pickled network fills: found by its module, whatever is imported yet."""
    return DSN.__new__(DSN)


def _register() -> None:
    """Make DSN one of MONAI's networks: by attribute, by import and by its short name.

    A bundle's ``_target_: DSN`` is looked up among the modules in sys.modules whose name starts
    with "monai", for classes whose ``__module__`` is that module.
    """
    module = sys.modules[__name__]
    DSN.__module__ = "monai.networks.nets.dsn"
    sys.modules["monai.networks.nets.dsn"] = module
    monai.networks.nets.dsn = module  # type: ignore[attr-defined]  # ours, not in MONAI's stubs
    monai.networks.nets.DSN = DSN  # type: ignore[attr-defined]  # ours, not in MONAI's stubs


_register()
