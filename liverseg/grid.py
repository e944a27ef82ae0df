"""Between the scan's own grid and the network's: RAS axes, one spacing, nothing shifted.

Vocabulary: a *grid* is a shape (X, Y, Z) and an affine that takes voxel indices to RAS mm. The
*scan grid* is the one the scan was read on, in any orientation, oblique or sheared (a tilted
gantry). The *network grid* has axes along the scan's own, ordered and directed as R, A, S,
orthogonal, and covers the field of view of the scan exactly, so its spacing is the wanted one to
within half a voxel over the whole length. A voxel has the extent from index -0.5 to +0.5.
"""

from __future__ import annotations

from typing import NamedTuple

import nibabel as nib
import numpy as np
import numpy.typing as npt
import torch

from liverseg.interpolation import antialiased, trilinear
from liverseg.resampler import Ends, ends_of, reachable_box, resampler
from liverseg.uneven import even_slices, slice_affines

SHEAR_TOLERANCE = 1e-4  # largest cosine between two axes that still counts as a right angle
# Slices in floating point at one time: few for memory and cache, not so few that threads wait.
SLICES_AT_ONCE = 16


class Grid(NamedTuple):
    """A shape (X, Y, Z) in voxels and an affine (4, 4) from voxel indices to RAS mm."""

    shape: tuple[int, int, int]
    affine: npt.NDArray[np.float64]


def network_grid(scan: Grid, spacing_mm: tuple[float, float, float]) -> Grid:
    """The network's grid over the field of view of a scan.

    Args:
        scan: the scan grid.
        spacing_mm: wanted spacing along R, A, S.

    Returns:
        The network grid; for a sheared scan it covers the sheared field of view.

    Raises:
        ValueError: if the affine has no inverse or the spacing is not positive.
    """
    if min(spacing_mm) <= 0:
        raise ValueError(f"spacing_mm should be positive; got {spacing_mm}")
    shape, affine = _reoriented(scan)[:2]
    if not is_sheared(affine):
        lengths = np.array(shape) * _spacing(affine)
        counts = np.maximum(1, np.rint(lengths / spacing_mm)).astype(int)
        step = np.array(shape) / counts  # source voxels per network voxel
        resized = affine @ _scale_about_corner(step)
        return Grid(_triple(counts), resized)
    axes = np.empty((3, 3))  # orthogonal: the plane of the slices and its normal
    axes[:, 0] = affine[:3, 0] / np.linalg.norm(affine[:3, 0])
    axes[:, 2] = np.cross(affine[:3, 0], affine[:3, 1])
    axes[:, 2] /= np.linalg.norm(axes[:, 2])
    axes[:, 1] = np.cross(axes[:, 2], axes[:, 0])
    ends = np.array(np.meshgrid(*[[-0.5, n - 0.5] for n in shape], indexing="ij")).reshape(3, -1)
    along = axes.T @ (affine[:3, :3] @ ends + affine[:3, 3:])
    low, high = along.min(axis=1), along.max(axis=1)
    counts = np.maximum(1, np.rint((high - low) / spacing_mm)).astype(int)
    step = (high - low) / counts
    orthogonal = np.eye(4)
    orthogonal[:3, :3] = axes * step
    orthogonal[:3, 3] = axes @ (low + step / 2)
    return Grid(_triple(counts), orthogonal)


def own_spacing_mm(affine: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    """The voxel size of a grid along the axes closest to R, A, S, mm.

    Args:
        affine: (4, 4) from voxel indices to RAS mm.
    """
    order = np.argsort(nib.io_orientation(affine)[:, 0])
    x, y, z = (float(length) for length in _spacing(affine)[order])
    return x, y, z


def to_network_grid(
    image: npt.NDArray[np.integer | np.floating],
    affine: npt.NDArray[np.float64],
    spacing_mm: tuple[float, float, float],
    window: tuple[float, float],
    positions: npt.NDArray[np.float64] | None = None,
    device: torch.device | str = "cpu",
) -> tuple[torch.Tensor, Grid]:
    """Resample a scan for the network: windowed first, then averaged down, never shifted.

    Values are clipped before they are mixed, so that metal, air and padding outside the window
    cannot bleed into tissue.

    Args:
        image: (X, Y, Z) HU, or a label of 0 and 1.
        affine: (4, 4) from voxel indices to RAS mm.
        spacing_mm: wanted spacing along R, A, S.
        window: the values that become 0 and 1.
        positions: of unevenly spaced slices, as liverseg.uneven defines them.
        device: where it is averaged down, some slices at a time.

    Returns:
        (X', Y', Z') float32 in [0, 1] on the device, and its grid.

    Raises:
        ValueError: if the image has not three axes, the window is empty, or as network_grid.
    """
    if image.ndim != 3 or image.size == 0:
        raise ValueError(f"image should be (X, Y, Z) with no empty axis; got {image.shape}")
    if not window[0] < window[1]:
        raise ValueError(f"window should be (low, high) with low < high; got {window}")
    if positions is not None:
        image, affine = even_slices(image, affine, positions, window)
    scan = Grid(_triple(image.shape), affine)
    grid = network_grid(scan, spacing_mm)
    _, straight, orientation = _reoriented(scan)
    ras = nib.orientations.apply_orientation(image, orientation)
    if not is_sheared(straight):
        return _resize(ras, grid.shape, window, device), grid
    # In a sheared scan the slices are averaged down as they lie, then brought onto the grid.
    lengths = np.array(ras.shape) * _spacing(straight)
    counts = np.maximum(1, np.rint(lengths / spacing_mm)).astype(int)
    counts[2] = ras.shape[2]
    reduced_affine = straight @ _scale_about_corner(np.array(ras.shape) / counts)
    reduced = _resize(ras, _triple(counts), window, device)
    return _sample(reduced, reduced_affine, grid), grid


def to_scan_grid(
    logit: torch.Tensor,
    grid: Grid,
    scan: Grid,
    threshold: float = 0.0,
    positions: npt.NDArray[np.float64] | None = None,
) -> npt.NDArray[np.uint8]:
    """The mask on the scan's own grid: the logit interpolated linearly, then thresholded.

    Only the box that the mask can reach is interpolated: between voxels that are all below the
    threshold a linear interpolation stays below it.

    Args:
        logit: (X', Y', Z') on the network grid, positive inside the liver.
        grid: the network grid, from to_network_grid.
        scan: the scan grid.
        threshold: a voxel is liver where its logit is above.
        positions: of unevenly spaced slices, as liverseg.uneven defines them.

    Returns:
        (X, Y, Z) uint8, 0 or 1; all 0 where no logit is above the threshold.

    Raises:
        ValueError: if the logit does not lie on the network grid or holds NaN.
    """
    if tuple(logit.shape) != grid.shape:
        raise ValueError(f"logit should have the grid's shape {grid.shape}; got {logit.shape}")
    if bool(logit.isnan().any()):
        raise ValueError("the logit should be a number everywhere; it holds NaN")
    ends = ends_of(logit > threshold)
    if positions is None:
        return _mask(logit, ends, grid, scan, threshold)
    alone = [Grid((*scan.shape[:2], 1), at) for at in slice_affines(scan.affine, positions)]
    masks = [_mask(logit, ends, grid, one, threshold)[:, :, 0].T for one in alone]
    together: npt.NDArray[np.uint8] = np.stack(masks).T
    return together


def _mask(
    logit: torch.Tensor, ends: Ends | None, grid: Grid, scan: Grid, threshold: float
) -> npt.NDArray[np.uint8]:
    """The mask on a scan grid with even steps; `ends` of where the logit is above the threshold."""
    shape, affine, orientation = _reoriented(scan)
    # Slices outermost in memory, as in the files they are written to; seen along R, A, S.
    mask: npt.NDArray[np.uint8] = np.zeros(scan.shape[::-1], np.uint8).T
    along_ras = nib.orientations.apply_orientation(mask, orientation)
    if ends is not None:
        scan_to_grid = np.linalg.inv(grid.affine) @ affine
        box = reachable_box(ends, scan_to_grid, shape)
        if any(low == high for low, high in box):
            return mask
        columns, rows = slice(*box[0]), slice(*box[1])
        values_of = resampler(logit, scan_to_grid, box, is_sheared(affine))
        for start in range(*box[2], SLICES_AT_ONCE):
            slab = slice(start, min(start + SLICES_AT_ONCE, box[2][1]))
            inside = (values_of(slab.start, slab.stop) > threshold).to(torch.uint8)
            along_ras[columns, rows, slab] = inside.cpu().numpy().T
    return mask


def is_sheared(affine: npt.NDArray[np.float64]) -> bool:
    """Whether two axes of a grid do not meet at a right angle, as with a tilted gantry.

    Args:
        affine: (4, 4) from voxel indices to mm.

    Returns:
        True where a cosine between two axes is above SHEAR_TOLERANCE.
    """
    directions = affine[:3, :3] / _spacing(affine)
    cosines = directions.T @ directions - np.eye(3)
    return bool(np.abs(cosines).max() > SHEAR_TOLERANCE)


def _spacing(affine: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    spacing: npt.NDArray[np.float64] = np.linalg.norm(affine[:3, :3], axis=0)
    return spacing


def _triple(shape: npt.NDArray[np.int_] | tuple[int, ...]) -> tuple[int, int, int]:
    x, y, z = (int(n) for n in shape)
    return x, y, z


def _reoriented(
    scan: Grid,
) -> tuple[tuple[int, int, int], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Shape and affine with the axes closest to R, A, S, and the orientation that leads there."""
    if abs(np.linalg.det(scan.affine[:3, :3])) == 0 or not np.isfinite(scan.affine).all():
        raise ValueError("the affine should have an inverse; its axes span no volume")
    orientation = nib.io_orientation(scan.affine)
    order = np.argsort(orientation[:, 0])
    shape = _triple(np.array(scan.shape)[order])
    affine = scan.affine @ nib.orientations.inv_ornt_aff(orientation, scan.shape)
    return shape, affine, orientation


def _scale_about_corner(step: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Indices on a grid whose voxels are step times as long and start at the same corner."""
    scale = np.diag([*step, 1.0])
    scale[:3, 3] = step / 2 - 0.5
    return scale


def _resize(
    image: npt.NDArray[np.integer | np.floating],
    shape: tuple[int, int, int],
    window: tuple[float, float],
    device: torch.device | str,
) -> torch.Tensor:
    """(X, Y, Z) to shape over the same field of view, in [0, 1], averaging where it shrinks."""
    low, high = window
    in_plane = torch.empty(image.shape[2], shape[1], shape[0], device=device)
    for start in range(0, image.shape[2], SLICES_AT_ONCE):
        slices = image[:, :, start : start + SLICES_AT_ONCE].T.astype(np.float32)  # (z, Y, X)
        np.clip(slices, low, high, out=slices)
        slices -= low
        slices /= high - low
        in_plane[start : start + SLICES_AT_ONCE] = antialiased(
            torch.from_numpy(slices).to(device), (shape[1], shape[0])
        )
    if shape[2] != image.shape[2]:
        columns = in_plane.reshape(1, image.shape[2], -1)
        in_plane = antialiased(columns, (shape[2], columns.shape[2])).reshape(shape[::-1])
    return in_plane.permute(2, 1, 0).contiguous()  # (X', Y', Z')


def _sample(image: torch.Tensor, affine: npt.NDArray[np.float64], grid: Grid) -> torch.Tensor:
    """The image of one grid on another one; 0 outside its field of view."""
    return trilinear(image, np.linalg.inv(affine) @ grid.affine, grid.shape, padding="zeros")
