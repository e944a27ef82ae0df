"""Gaussians of the distance of places on an axis: as matrices, and as expansions of low rank."""

from __future__ import annotations

import math

import torch

# Of an expansion: eigenvalues below it, as a share of the trace, are left out. The kernel is then
# right to about a thousandth of its largest value.
TOLERANCE = 1e-4
NODES_PER_SIGMA = 8  # of the HU axis, where its expansion is made
LEVELS_PER_NODE = 16  # where it is read: a value is moved by at most 1/256 of bilateral_hu
MOST_SIGMAS = 100  # the range of the image, in bilateral_hu; the work grows with it


def gaussian(
    places: torch.Tensor, sigma: float, others: torch.Tensor | None = None
) -> torch.Tensor:
    """exp(-(a - b)^2 / 2 sigma^2) of all pairs of places.

    Args:
        places: (N,), in any unit.
        sigma: standard deviation, in that unit.
        others: (M,); the places themselves when None.

    Returns:
        (N, N) or (N, M) float64.
    """
    columns = places if others is None else others
    apart = (places.double()[:, None] - columns.double()) / sigma
    return torch.exp(-(apart**2) / 2)


def expansion(
    nodes: torch.Tensor, sigma: float, places: torch.Tensor | None = None
) -> torch.Tensor:
    """P, (N, r) float32, with P P^T = gaussian(places, sigma) to TOLERANCE, and r small.

    Args:
        nodes: (M,), where the eigenvectors are found.
        sigma: standard deviation, in the unit of the nodes.
        places: (N,), where they are wanted, by Nystroem's formula; the nodes when None.

    Returns:
        (N, r); r is about 1.4 times the extent of the nodes in sigmas, at least 1, at most M.
    """
    values, vectors = torch.linalg.eigh(gaussian(nodes, sigma))
    kept = values > TOLERANCE * len(nodes)
    kept[-1] = True  # the largest, whatever the tolerance
    root, vectors = values[kept].sqrt(), vectors[:, kept]
    factor = vectors * root
    if places is not None:
        factor = gaussian(places, sigma, nodes) @ (vectors / root)
    contiguous: torch.Tensor = factor.float().contiguous()
    return contiguous


def levels_of(image: torch.Tensor, sigma_hu: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The expansion of the kernel over HU, and where each voxel reads it.

    Args:
        image: (X, Y, Z) HU.
        sigma_hu: standard deviation.

    Returns:
        (levels, r) float32, and the level of each voxel, (X, Y, Z) int32.

    Raises:
        ValueError: the image spans more than MOST_SIGMAS.
    """
    low, high = (float(value) for value in image.aminmax())
    if high - low > MOST_SIGMAS * sigma_hu:
        raise ValueError(
            f"the image should span at most {MOST_SIGMAS} times bilateral_hu, "
            f"{MOST_SIGMAS * sigma_hu:g} HU; it spans {high - low:g} HU: clip it to a window"
        )
    count = max(1, math.ceil((high - low) / sigma_hu * NODES_PER_SIGMA))
    nodes = torch.linspace(low, high, count + 1, dtype=torch.float64)
    levels = torch.linspace(low, high, count * LEVELS_PER_NODE + 1, dtype=torch.float64)
    step = (high - low) / (count * LEVELS_PER_NODE) or 1.0
    level = ((image - low) / step).round_().int()
    return expansion(nodes, sigma_hu, levels).to(image.device), level
