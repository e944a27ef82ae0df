"""Exact distances between the borders of two masks, in mm, on grids of any spacing or tilt.

A voxel of a mask is on its border when a neighbour is outside the mask; what lies beyond the image
counts as outside. A border voxel stands for its centre.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FACES = 1  # as connectivity: voxels that share a face are neighbours
# From one border voxel in so many voxels on, a distance transform is faster than a search tree.
DENSE = 20
SHEAR_TOLERANCE = 1e-6  # largest cosine between the axes of a grid that counts as orthogonal
MIN_VOLUME = 1e-6  # of a voxel, in products of its edges, below which it is flat
SPACE = 3  # dimensions


@dataclass(frozen=True)
class SurfaceDistances:
    """Distances of the borders of two masks, in mm, in no order.

    Args:
        pred_to_ref_mm: (N,), of every border voxel of the prediction to the reference's border;
            inf when there is no reference.
        ref_to_pred_mm: (M,), of every border voxel of the reference to the prediction's border;
            inf when there is no prediction.
    """

    pred_to_ref_mm: npt.NDArray[np.float64]
    ref_to_pred_mm: npt.NDArray[np.float64]

    @property
    def both_mm(self) -> npt.NDArray[np.float64]:
        """(N + M,) distances, both directions together; empty where they are not defined."""
        both = np.concatenate([self.pred_to_ref_mm, self.ref_to_pred_mm])
        return both if np.isfinite(both).all() else both[:0]


def surface_distances(
    pred: npt.NDArray[np.generic],
    ref: npt.NDArray[np.generic],
    affine: npt.NDArray[np.float64],
    connectivity: int = FACES,
) -> SurfaceDistances:
    """Distances of the borders of two masks, both directions: the one expensive function here.

    Exact: no resampling, no smoothing. Only the box that holds both masks is looked at.

    Args:
        pred: (X, Y, Z), not zero = liver. When empty, every distance to it is inf.
        ref: (X, Y, Z), as pred, on the same grid. When empty, every distance to it is inf.
        affine: (4, 4), voxel to mm; may be tilted.
        connectivity: which neighbours make a border voxel: 1 the 6 that share a face, as in MONAI
            and in MedPy's default; 2 the 18 that share an edge; 3 all 26, as on the page of
            SLIVER07 [1]_. More neighbours add voxels just below the steps of a border, and an
            island of a few voxels, all border already, weighs less. The default is 6, so that
            figures compare with those of today's tools, and since it flatters nobody: on three
            BTCV livers against themselves smoothed by 3 voxels, 26 gives an average distance 10
            to 16 % shorter than 6 and 0.3 to 0.4 more of SLIVER07's 100 points; 18 lies between.

    Raises:
        ValueError: the shapes differ, a mask holds NaN, or the affine has no inverse.

    .. [1] mbi.dkfz-heidelberg.de/grand-challenge2007/sites/eval.htm
    """
    from scipy import ndimage

    pred, ref = two_masks(pred, ref)
    voxel_mm = voxel_axes_mm(affine)
    box = _common_box(pred, ref)
    neighbours = ndimage.generate_binary_structure(pred.ndim, connectivity)
    # Beyond the box there is only background or the end of the image: both count as outside.
    borders = [mask[box] & ~ndimage.binary_erosion(mask[box], neighbours) for mask in (pred, ref)]
    return SurfaceDistances(
        _distances_mm(borders[0], borders[1], voxel_mm),
        _distances_mm(borders[1], borders[0], voxel_mm),
    )


def _common_box(
    pred: npt.NDArray[np.bool_], ref: npt.NDArray[np.bool_]
) -> tuple[slice, slice, slice]:
    """The smallest box that holds both masks; of no voxel when both are empty."""
    either = pred | ref
    sides = []
    for axis in range(either.ndim):
        others = tuple(other for other in range(either.ndim) if other != axis)
        held = np.flatnonzero(either.any(axis=others))
        sides.append(slice(int(held[0]), int(held[-1]) + 1) if held.size else slice(0, 0))
    return sides[0], sides[1], sides[2]


def _distances_mm(
    of: npt.NDArray[np.bool_], to: npt.NDArray[np.bool_], voxel_mm: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """(N,) distances of the voxels of one border to the nearest of another, in mm."""
    if not to.any():
        return np.full(int(np.count_nonzero(of)), np.inf)
    apart = np.argwhere(of & ~to)  # (N, 3); voxels that both borders hold are 0 mm apart
    distances = np.zeros(int(np.count_nonzero(of)))
    if len(apart) * DENSE > of.size and _is_orthogonal(voxel_mm):
        distances[: len(apart)] = _by_transform(apart, to, voxel_mm)
    elif len(apart):
        distances[: len(apart)] = _by_tree(apart, to, voxel_mm)
    return distances


def _by_tree(
    apart: npt.NDArray[np.int64], to: npt.NDArray[np.bool_], voxel_mm: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """As `_distances_mm`: fast for thin borders, and right on tilted grids too."""
    from scipy.spatial import cKDTree

    tree = cKDTree(np.argwhere(to) @ voxel_mm.T)
    distances: npt.NDArray[np.float64] = tree.query(apart @ voxel_mm.T)[0]
    return distances


def _by_transform(
    apart: npt.NDArray[np.int64], to: npt.NDArray[np.bool_], voxel_mm: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """As `_distances_mm`: bounded in time and memory when a mask is all borders, as noise is."""
    from scipy import ndimage

    spacing_mm = np.linalg.norm(voxel_mm, axis=0)
    nearest = ndimage.distance_transform_edt(
        ~to, spacing_mm, return_distances=False, return_indices=True
    )  # (3, X, Y, Z), indices
    x, y, z = apart.T
    steps = nearest[:, x, y, z].T - apart  # (N, 3), voxels
    distances: npt.NDArray[np.float64] = np.linalg.norm(steps * spacing_mm, axis=1)
    return distances


def _is_orthogonal(voxel_mm: npt.NDArray[np.float64]) -> bool:
    directions = voxel_mm / np.linalg.norm(voxel_mm, axis=0)
    return bool(np.abs(directions.T @ directions - np.eye(len(directions))).max() < SHEAR_TOLERANCE)


def two_masks(
    pred: npt.NDArray[np.generic], ref: npt.NDArray[np.generic]
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Two masks that can be compared.

    Args:
        pred: (X, Y, Z), not zero = liver.
        ref: (X, Y, Z), as pred.

    Returns:
        Both as (X, Y, Z) bool.

    Raises:
        ValueError: the shapes differ, are not (X, Y, Z), or a mask holds NaN or infinity.
    """
    if pred.ndim != SPACE or pred.shape != ref.shape:
        raise ValueError(
            "prediction and reference should be (X, Y, Z) on one grid; "
            f"got {_size(pred)} and {_size(ref)} voxels"
        )
    for name, values in (("prediction", pred), ("reference", ref)):
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            count = int(np.count_nonzero(~np.isfinite(values)))
            raise ValueError(
                f"the {name} should hold finite numbers; {count} of {values.size} voxels do not"
            )
    return (pred != 0), (ref != 0)


def _size(array: npt.NDArray[np.generic]) -> str:
    return " x ".join(map(str, array.shape))


def voxel_axes_mm(affine: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The three edges of a voxel, as the columns of (3, 3), mm.

    Args:
        affine: (4, 4), voxel to mm.

    Raises:
        ValueError: the affine has another shape, is not finite, or has no inverse.
    """
    affine = np.asarray(affine, dtype=np.float64)
    if affine.shape != (SPACE + 1, SPACE + 1):
        raise ValueError(f"the affine should be 4 x 4; got {_size(affine)}")
    axes = affine[:SPACE, :SPACE]
    spacing = np.linalg.norm(axes, axis=0)
    if not (np.isfinite(axes).all() and (spacing > 0).all()):
        got = " x ".join(f"{length:g}" for length in spacing)
        raise ValueError(f"the voxel size should be above 0 mm in every direction; got {got} mm")
    if abs(np.linalg.det(axes / spacing)) < MIN_VOLUME:
        raise ValueError("the affine should have three directions; two of them are parallel")
    return axes
