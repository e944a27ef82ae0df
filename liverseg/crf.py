"""Contour refinement by a fully connected conditional random field, as in Dou et al. 2016.

Every voxel i of a volume is liver (y = 1) or not (y = 0), at the energy of [1]:

    E(y) = sum_i -log p_i(y_i) + sum_{i<j} [y_i != y_j] (w_b B_ij + w_g G_ij)
    B_ij = exp(-|s_i - s_j|^2 / 2 bilateral_mm^2 - (I_i - I_j)^2 / 2 bilateral_hu^2)
    G_ij = exp(-|s_i - s_j|^2 / 2 gaussian_mm^2)

with s the place in mm and I the value in HU. Both kernels are normalised as in the code that its
authors published with [3]: K_ij / sqrt(n_i n_j), n_i = sum_j K_ij, so that a weight is in units of
the logit whatever the voxel size, and the kernel stays symmetric ([2] divided by n_i alone). Mean
field [2], all voxels at once, reads for two labels: with the logit l of the
unary p and q = sigmoid(logit),

    logit_i <- l_i + sum_{j != i} (w_b B_ij + w_g G_ij) (2 q_j - 1)

The sums over all pairs are exact but for the tolerance of one expansion: a Gaussian of one variable
is a symmetric matrix P P^T of low rank (its leading eigenvectors), and B is the product of four of
those, for x, y, z and HU. Applying it is matrix products alone: no scatter, no approximation of the
place of a voxel, the same answer on every device and each time.

References:
    [1] Dou et al.: 3D Deeply Supervised Network for Automatic Liver Segmentation from CT Volumes.
        MICCAI 2016, arXiv 1607.00582.
    [2] Kraehenbuehl, Koltun: Efficient Inference in Fully Connected CRFs with Gaussian Edge
        Potentials. NIPS 2011.
    [3] Kraehenbuehl, Koltun: Parameter Learning and Convergent Inference for Dense Random Fields.
        ICML 2013.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch

from liverseg.gaussians import expansion, gaussian, levels_of

# Voxels at once: on a CPU so few that what is between two products stays in its cache.
CPU_SLAB_VOXELS = 1 << 15
GPU_SLAB_VOXELS = 1 << 20  # below 1 GB between two products, at 40 bilateral_hu of range
CERTAIN = 1e-6  # a mixed probability is kept this far from 0 and 1: a logit of at most 13.8


@dataclass(frozen=True)
class CrfParameters:
    """The parameters of the energy, in mm, HU and units of the logit.

    Args:
        bilateral_weight: w_b, of the kernel that looks at place and HU; 0 leaves it out.
        bilateral_mm: its reach in space, a standard deviation.
        bilateral_hu: its reach in HU, a standard deviation.
        gaussian_weight: w_g, of the kernel that looks at place alone; 0 leaves it out.
        gaussian_mm: its reach, a standard deviation.
        iterations: of mean field.

    Raises:
        ValueError: a weight is negative, a reach is not above 0, or iterations are below 1 or
            no whole number.
    """

    bilateral_weight: float
    bilateral_mm: float
    bilateral_hu: float
    gaussian_weight: float
    gaussian_mm: float
    iterations: int = 5

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            least = "at least 0" if field.name.endswith("weight") else "above 0"
            enough = value >= 0 if field.name.endswith("weight") else value > 0
            if not (math.isfinite(value) and enough):
                raise ValueError(f"{field.name} should be {least}; got {value}")
        if self.iterations != int(self.iterations):
            raise ValueError(f"iterations should be a whole number; got {self.iterations}")


def mixed_logit(logits: torch.Tensor, tau: Sequence[float]) -> torch.Tensor:
    """The unary of the paper: the heads' probabilities, mixed.

    p = (1 - sum tau) p_main + sum_d tau_d p_d.

    Args:
        logits: (H, X, Y, Z), liver minus the rest: main, then the branches.
        tau: of each branch, in the order of the heads; those of heads that are not there are
            left out, so that a network with one head is its own unary.

    Returns:
        (X, Y, Z) float32 logit of p; of the main head, unchanged, when every tau is 0.

    Raises:
        ValueError: logits have another number of axes, a tau is negative or NaN, or they sum to
            more than 1.
    """
    if logits.dim() != 4 or logits.shape[0] == 0:
        raise ValueError(f"logits should be (heads, X, Y, Z); got {list(logits.shape)}")
    shares = list(tau)[: logits.shape[0] - 1]
    if not (all(share >= 0 for share in shares) and sum(shares) <= 1):
        raise ValueError(f"tau should be shares of at most 1 in all; got {list(tau)}")
    if not any(shares):
        return logits[0].float()
    mixed = (1 - sum(shares)) * torch.sigmoid(logits[0].float())
    for share, logit in zip(shares, logits[1:], strict=False):
        mixed = mixed + share * torch.sigmoid(logit.float())
    return torch.logit(mixed, eps=CERTAIN)  # (X, Y, Z)


def refine(
    logit: torch.Tensor,
    image: torch.Tensor,
    spacing_mm: Sequence[float],
    parameters: CrfParameters,
) -> torch.Tensor:
    """Mean field over a whole volume.

    Memory: about 60 bytes a voxel beside the input, and the slab.

    Args:
        logit: (X, Y, Z), of the unary probability of liver.
        image: (X, Y, Z) HU, on the same grid, clipped to the values that matter.
        spacing_mm: between voxels along X, Y, Z.
        parameters: of the energy.

    Returns:
        (X, Y, Z) float32, the logit of the probability after the last iteration.

    Raises:
        ValueError: the shapes differ or are not (X, Y, Z), a value is not finite, a spacing is not
            above 0, or the range of the image is more than 100 times bilateral_hu.
    """
    _check(logit, image, spacing_mm)
    unary = logit.float()
    if unary.numel() == 0:
        return unary
    # In single precision and without a graph, whatever surrounds the call.
    with torch.no_grad(), torch.autocast(unary.device.type, enabled=False):
        return _mean_field(unary, image, spacing_mm, parameters)


def _mean_field(
    unary: torch.Tensor,
    image: torch.Tensor,
    spacing_mm: Sequence[float],
    parameters: CrfParameters,
) -> torch.Tensor:
    kernels: list[tuple[float, Bilateral | Gaussian]] = []
    if parameters.bilateral_weight > 0:
        reach = (parameters.bilateral_mm, parameters.bilateral_hu)
        kernels.append((parameters.bilateral_weight, Bilateral(image, spacing_mm, *reach)))
    if parameters.gaussian_weight > 0:
        smooth = Gaussian(unary, spacing_mm, parameters.gaussian_mm)
        kernels.append((parameters.gaussian_weight, smooth))
    refined = unary
    for _ in range(parameters.iterations):
        belief = torch.tanh(refined / 2)  # 2 q - 1
        refined = unary.clone()
        for weight, kernel in kernels:
            refined += weight * kernel(belief)
    return refined


class Gaussian:
    """The normalised Gaussian kernel over place, without the voxel itself.

    It is a product of one matrix an axis, normalisation included; those are applied as they are.

    Args:
        like: (X, Y, Z), for the shape and the device.
        spacing_mm: between voxels along X, Y, Z.
        sigma_mm: standard deviation.
    """

    def __init__(self, like: torch.Tensor, spacing_mm: Sequence[float], sigma_mm: float) -> None:
        self.axes = []
        own = torch.ones(1, 1, 1, dtype=torch.float64)
        for axis, length in enumerate(like.shape):
            kernel = gaussian(torch.arange(length) * float(spacing_mm[axis]), sigma_mm)
            scale = kernel.sum(dim=1).rsqrt()
            kernel = kernel * scale[:, None] * scale
            own = own * kernel.diagonal().reshape([-1 if n == axis else 1 for n in range(3)])
            self.axes.append(kernel.to(like.device, torch.float32))
        self.own = own.to(like.device, torch.float32)  # (X, Y, Z), what a voxel tells itself

    def __call__(self, values: torch.Tensor) -> torch.Tensor:
        """The sum over all other voxels, (X, Y, Z)."""
        x, y, z = self.axes
        summed = values @ z  # the matrices are symmetric
        summed = torch.matmul(y, summed)
        summed = (x @ summed.flatten(1)).view_as(values)
        return summed.addcmul_(self.own, values, value=-1)


class Bilateral:
    """The normalised bilateral kernel over place and HU, without the voxel itself.

    B = S S^T with S_i = P_x(x_i) P_y(y_i) P_z(z_i) P_I(I_i), a row of r_x r_y r_z r_I numbers a
    voxel: S^T gathers a volume into that many coefficients, S brings them back.

    Args:
        image: (X, Y, Z) HU.
        spacing_mm: between voxels along X, Y, Z.
        sigma_mm: standard deviation in space.
        sigma_hu: standard deviation in HU.

    Raises:
        ValueError: the range of the image is too large for sigma_hu.
    """

    def __init__(
        self, image: torch.Tensor, spacing_mm: Sequence[float], sigma_mm: float, sigma_hu: float
    ) -> None:
        device = image.device
        self.shape = image.shape
        self.axes = [
            expansion(torch.arange(length) * float(step), sigma_mm).to(device)
            for length, step in zip(image.shape, spacing_mm, strict=True)
        ]  # (X, rx), (Y, ry), (Z, rz)
        self.hu, self.level = levels_of(image.float(), sigma_hu)  # (levels, rI), (X, Y, Z)
        plane = image.shape[1] * image.shape[2]
        most_voxels = CPU_SLAB_VOXELS if device.type == "cpu" else GPU_SLAB_VOXELS
        self.planes = max(1, most_voxels // plane)  # of x in a slab
        # A voxel is always a neighbour of itself; rounding must not lose that.
        self.count = self._filtered(torch.ones_like(image, dtype=torch.float32)).clamp_(min=1)
        self.scale = self.count.rsqrt()

    def __call__(self, values: torch.Tensor) -> torch.Tensor:
        """The sum over all other voxels, (X, Y, Z)."""
        summed = self._filtered(values * self.scale).mul_(self.scale)
        return summed.sub_(values / self.count)

    def _filtered(self, values: torch.Tensor) -> torch.Tensor:
        """sum_j B_ij values_j, not normalised, the voxel itself included."""
        px, py, pz = self.axes
        (x, y, z), ranks = self.shape, [factor.shape[1] for factor in (*self.axes, self.hu)]
        starts = range(0, x, self.planes)
        gathered = values.new_zeros(ranks[0], math.prod(ranks[1:]))
        for start in starts:
            slab = slice(start, min(start + self.planes, x))
            weighted = values[slab].reshape(-1, 1, z) * pz.T  # (x Y, rz, Z)
            sums = torch.bmm(weighted, self._levels(slab))  # (x Y, rz, rI)
            sums = torch.matmul(py.T, sums.view(-1, y, ranks[2] * ranks[3]))  # (x, ry, rz rI)
            gathered.addmm_(px[slab].T, sums.flatten(1))  # (rx, ry rz rI)
        result = torch.empty_like(values)
        for start in starts:
            slab = slice(start, min(start + self.planes, x))
            back = (px[slab] @ gathered).view(-1, ranks[1], ranks[2] * ranks[3])
            back = torch.matmul(py, back).view(-1, ranks[2], ranks[3])  # (x Y, rz, rI)
            back = torch.matmul(pz, back)  # (x Y, Z, rI)
            result[slab] = back.mul_(self._levels(slab)).sum(dim=-1).view(-1, y, z)
        return result

    def _levels(self, slab: slice) -> torch.Tensor:
        """P_I of the voxels of a slab: (x Y, Z, rI)."""
        level = self.level[slab].reshape(-1)
        return self.hu.index_select(0, level).view(-1, self.shape[2], self.hu.shape[1])


def check_spacing(spacing_mm: Sequence[float]) -> None:
    """Raise ValueError unless these are three lengths above 0 mm."""
    if len(spacing_mm) != 3 or not all(math.isfinite(mm) and mm > 0 for mm in spacing_mm):
        raise ValueError(f"spacing_mm should be three lengths above 0 mm; got {list(spacing_mm)}")


def check_finite(name: str, values: torch.Tensor) -> None:
    """Raise ValueError, with the name, unless all values are finite."""
    if not bool(torch.isfinite(values).all()):
        raise ValueError(f"the {name} should hold finite numbers; it holds NaN or infinity")


def _check(logit: torch.Tensor, image: torch.Tensor, spacing_mm: Sequence[float]) -> None:
    if logit.dim() != 3 or logit.shape != image.shape:
        raise ValueError(
            "logit and image should be (X, Y, Z) on one grid; "
            f"got {list(logit.shape)} and {list(image.shape)}"
        )
    check_finite("logit", logit)
    check_finite("image", image)
    check_spacing(spacing_mm)
