"""What a page embeds of a scan: cropped, resampled and coarsened, so that it stays small.

The grid that is shown has its axes along the patient's: towards right, anterior and superior. A
scan that lies askew, or was tilted, is shown along its own axes, as preview.png shows it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
from nibabel.affines import voxel_sizes
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation

from liverseg.gzipped import gzipped
from liverseg.report.areas import largest_sections
from liverseg.report.qc import bounding_box

# 255 steps of 2 HU that every window of the page lies in.
LOWEST_HU, STEP_HU = -160, 2
HIGHEST_CODE = 255
HIGHEST_HU = LOWEST_HU + STEP_HU * HIGHEST_CODE
# A page is to stay below 15 MB: these voxels take up to 6.7 MB as text, the viewer 2.3 MB.
MOST_VOXELS = 5_000_000
# What is kept beyond the liver towards head and feet.
MARGIN_MM = 40.0
# The body is what is denser than this; scans that were cut off above it have no air.
BODY_HU = -300
ABOVE_LOWEST_HU = 20
# Every so many voxels are looked at for the body, and the box is wider by as many.
BODY_STRIDE = 4
GZIP_LEVEL = 2  # of ISA-L's 0 to 3: 2 % larger than gzip's level 6, in a tenth of the time
# The disagreement map is smooth: half the resolution shows it.
MAP_STRIDE = 2
MAP_LEVELS = 255
# In 3D the liver alone is shown, coarse and smooth, with a rim of nothing around it.
SOLID_VOXELS = 400_000
SOLID_RIM = 2
NIFTI_DATA_OFFSET = 352
UINT8_CODE = 2  # NIfTI's

Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Embedded:
    """Volumes for the viewer: gzipped NIfTI files.

    Args:
        image: uint8, in steps of STEP_HU from LOWEST_HU.
        mask: uint8, liver = 255.
        solid: uint8, how much of a voxel is liver, 255 for all of it: the liver's box, coarser.
        disagreement: uint8, 255 for 1; None where there is no such map.
        shape: voxels of image and mask.
        spacing_mm: of image and mask.
        start: voxel that the viewer shows at first: where the liver's sections are largest.
        cropped: whether something of the scan is not shown.
        resampled: whether the grid shown is coarser than the scan's.
    """

    image: bytes
    mask: bytes
    solid: bytes
    disagreement: bytes | None
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    start: tuple[int, int, int]
    cropped: bool
    resampled: bool


def embed(
    image: npt.NDArray[np.int16],
    mask: npt.NDArray[np.uint8],
    affine: npt.NDArray[np.float64],
    disagreement: tuple[npt.NDArray[np.floating], npt.NDArray[np.float64]] | None = None,
    most_voxels: int = MOST_VOXELS,
) -> Embedded:
    """Volumes of a scan for the page.

    Args:
        image: (X, Y, Z) int16, HU.
        mask: (X, Y, Z) uint8, liver = 1; it may be empty.
        affine: (4, 4), voxel to RAS mm.
        disagreement: (X', Y', Z') in [0, 1] on a grid of its own, and that grid's affine.
        most_voxels: what is shown is resampled to so many.

    Returns:
        The volumes, the same for the same arguments, byte for byte.
    """
    turn = io_orientation(affine)
    hounsfield, inside = (apply_orientation(volume, turn) for volume in (image, mask))
    turned = affine @ inv_ornt_aff(turn, image.shape)
    spacing_mm = voxel_sizes(turned)
    box = _shown_box(hounsfield, inside, float(spacing_mm[2]))
    sizes = np.array([part.stop - part.start for part in box])
    shape = _coarser(sizes, spacing_mm, most_voxels)
    factors = sizes / shape
    shown_mm = spacing_mm * factors
    # The same place in the world for the middle of the box, and axes along the patient's.
    shown_affine = np.diag([*shown_mm, 1.0])
    first = np.array([part.start for part in box]) + (factors - 1) / 2
    shown_affine[:3, 3] = (turned @ [*first, 1.0])[:3]
    codes = (_averaged(hounsfield[box], shape) - LOWEST_HU) / STEP_HU
    stored = np.clip(np.rint(codes), 0, HIGHEST_CODE).astype(np.uint8)
    liver = (_averaged(inside[box], shape) >= 0.5).astype(np.uint8)
    step = np.diag([*factors, 1.0])
    step[:3, 3] = first
    return Embedded(
        image=_nifti(stored, shown_affine, STEP_HU, LOWEST_HU),
        mask=_nifti(liver * np.uint8(HIGHEST_CODE), shown_affine),
        solid=_solid(liver, shown_affine),
        disagreement=None
        if disagreement is None
        else _map(*disagreement, turned @ step, shown_affine, shape),
        shape=shape,
        spacing_mm=(float(shown_mm[0]), float(shown_mm[1]), float(shown_mm[2])),
        start=largest_sections(liver),
        cropped=bool((sizes < hounsfield.shape).any()),
        resampled=bool((factors > 1).any()),
    )


def _shown_box(
    hounsfield: npt.NDArray[np.int16], inside: npt.NDArray[np.uint8], slice_mm: float
) -> Box:
    """The body in the plane; along the body the liver and a margin, or all without a liver."""
    looked_at = hounsfield[::BODY_STRIDE, ::BODY_STRIDE, ::BODY_STRIDE]
    threshold = max(BODY_HU, int(looked_at.min()) + ABOVE_LOWEST_HU)
    body = bounding_box((looked_at > threshold).astype(np.uint8))
    liver = bounding_box(inside)
    parts = []
    for axis, length in enumerate(hounsfield.shape):
        start, stop = 0, length
        if body is not None:
            start = max(0, (body[axis].start - 1) * BODY_STRIDE)
            stop = min(length, (body[axis].stop + 1) * BODY_STRIDE)
        if liver is not None:
            start, stop = min(start, liver[axis].start), max(stop, liver[axis].stop)
        parts.append(slice(start, stop))
    if liver is not None:
        margin = math.ceil(MARGIN_MM / slice_mm)
        start, stop = liver[2].start - margin, liver[2].stop + margin
        parts[2] = slice(max(0, start), min(hounsfield.shape[2], stop))
    return parts[0], parts[1], parts[2]


def _coarser(
    sizes: npt.NDArray[np.int64], spacing_mm: npt.NDArray[np.float64], most_voxels: int
) -> tuple[int, int, int]:
    """The shape of the finest grid with so many voxels, as even in mm as the scan's allows."""
    low, high = float(spacing_mm.min()), float((sizes * spacing_mm).max())

    def shape_at(edge_mm: float) -> npt.NDArray[np.int64]:
        edges = np.maximum(spacing_mm, edge_mm)
        return np.maximum(1, np.floor(sizes * spacing_mm / edges + 1e-9)).astype(np.int64)

    if int(shape_at(low).prod()) > most_voxels:
        for _ in range(50):  # bisection, to far less than a voxel
            middle = (low + high) / 2
            low, high = (
                (middle, high) if int(shape_at(middle).prod()) > most_voxels else (low, middle)
            )
        low = high
    x, y, z = shape_at(low).tolist()
    return x, y, z


def _averaged(
    volume: npt.NDArray[np.int16] | npt.NDArray[np.uint8], shape: tuple[int, int, int]
) -> npt.NDArray[np.float32]:
    """A volume on a coarser grid over the same box: the mean of what each voxel covers."""
    x, y, z = (_weights(size, count) for size, count in zip(volume.shape, shape, strict=True))
    slices = z.tocsc()
    averaged = np.zeros((shape[2], shape[1], shape[0]), np.float32)
    # Slice by slice: a copy of the whole volume in float would be the largest thing in memory.
    for index in range(volume.shape[2]):
        # Rows along the first axis, as slices lie in memory: sparse products copy others first.
        part = volume[:, :, index].T
        if part.any():
            in_plane = (x @ (y @ np.ascontiguousarray(part, np.float32)).T).T  # (Y', X')
            where = slice(slices.indptr[index], slices.indptr[index + 1])
            for target, share in zip(slices.indices[where], slices.data[where], strict=True):
                averaged[target] += share * in_plane
    turned: npt.NDArray[np.float32] = averaged.T
    return turned


def _weights(size: int, count: int) -> Any:
    """(count, size) sparse: the share of each of `size` cells in each of `count` larger ones."""
    # When it is needed: the page of a batch takes this module along and makes no scan's page.
    from scipy import sparse

    edges = np.linspace(0, size, count + 1)
    cells = np.arange(size)
    covered = np.minimum(edges[1:, None], cells + 1) - np.maximum(edges[:-1, None], cells)
    # Sparse, since a product of full matrices would cost a hundred times as much.
    return sparse.csr_array((np.clip(covered, 0, None) * count / size).astype(np.float32))


def _solid(liver: npt.NDArray[np.uint8], affine: npt.NDArray[np.float64]) -> bytes:
    """The liver by itself, as shares of coarser voxels."""
    box = bounding_box(liver) or (slice(0, 1),) * liver.ndim
    sizes = np.array([part.stop - part.start for part in box])
    shape = _coarser(sizes, voxel_sizes(affine), SOLID_VOXELS)
    factors = sizes / shape
    shares = np.pad(_averaged(liver[box], shape), SOLID_RIM)
    coarse = np.diag([*factors, 1.0])
    first = np.array([part.start for part in box]) + (factors - 1) / 2 - SOLID_RIM * factors
    coarse[:3, 3] = first
    levels = np.rint(shares * HIGHEST_CODE).astype(np.uint8)
    return _nifti(levels, affine @ coarse)


def _map(
    disagreement: npt.NDArray[np.floating],
    affine: npt.NDArray[np.float64],
    shown_to_world: npt.NDArray[np.float64],
    shown_affine: npt.NDArray[np.float64],
    shape: tuple[int, int, int],
) -> bytes:
    """The map where the scan is shown, on a grid that is coarser by MAP_STRIDE."""
    from scipy import ndimage

    coarse = np.diag([MAP_STRIDE, MAP_STRIDE, MAP_STRIDE, 1.0])
    coarse[:3, 3] = (MAP_STRIDE - 1) / 2
    way = np.linalg.inv(affine) @ shown_to_world @ coarse
    sampled = ndimage.affine_transform(
        disagreement.astype(np.float32),
        way[:3, :3],
        way[:3, 3],
        tuple(max(1, size // MAP_STRIDE) for size in shape),
        order=1,
        cval=0.0,
    )
    levels = np.rint(np.clip(sampled, 0, 1) * MAP_LEVELS).astype(np.uint8)
    return _nifti(levels, shown_affine @ coarse, 1 / MAP_LEVELS)


def _nifti(
    values: npt.NDArray[np.uint8],
    affine: npt.NDArray[np.float64],
    slope: float = 1.0,
    intercept: float = 0.0,
) -> bytes:
    """A gzipped NIfTI file of the values as they are; slope and intercept say what they mean."""
    header = nib.Nifti1Header()
    header.set_data_dtype(np.uint8)
    header.set_data_shape(values.shape)
    header.set_zooms(voxel_sizes(affine))
    header.set_sform(affine, code=1)
    header.set_qform(affine, code=1)
    header.set_xyzt_units("mm")
    header["scl_slope"], header["scl_inter"] = slope, intercept
    header["vox_offset"] = NIFTI_DATA_OFFSET
    head = header.binaryblock + bytes(NIFTI_DATA_OFFSET - len(header.binaryblock))
    return gzipped(head + values.tobytes(order="F"), GZIP_LEVEL)
