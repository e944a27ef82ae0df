"""Read a predicted mask and its reference from NIfTI files, onto one grid."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation

from liverseg.label_map import read_label_map
from liverseg.surface import SPACE, two_masks, voxel_axes_mm

GRID_TOLERANCE = 0.1  # of the shortest voxel edge: corners closer than that are one place
MOST_VALUES = 8  # label values that a message lists
NUMBER_KINDS = "biuf"  # numpy's letters for bool, integers and floats


class MaskPair(NamedTuple):
    """Two masks on one grid.

    Attributes:
        pred: (X, Y, Z) bool, the prediction.
        ref: (X, Y, Z) bool, the reference, on the prediction's grid.
        affine: (4, 4) float64, voxel to RAS mm.
        ref_values: the values of the reference that count as liver, at most MOST_VALUES of them.
    """

    pred: npt.NDArray[np.bool_]
    ref: npt.NDArray[np.bool_]
    affine: npt.NDArray[np.float64]
    ref_values: tuple[float, ...] = ()


def read_pair(prediction: Path, reference: Path, ref_labels: Sequence[int] = ()) -> MaskPair:
    """Read two masks; nothing is resampled.

    Args:
        prediction: .nii or .nii.gz that holds 0 and one other value.
        reference: .nii or .nii.gz. Its grid may be the prediction's with axes in another order or
            direction: it is turned.
        ref_labels: the values that mean liver in the reference; any but 0 when there are none.

    Returns:
        Both masks on the prediction's grid.

    Raises:
        ValueError: a file is gone or cannot be read, its voxel size is 0 or NaN, the two grids
            differ, the prediction holds several values, or the reference none of `ref_labels`.
    """
    pred_values, pred_affine = _read(prediction, "prediction")
    ref_values, ref_affine = _read(reference, "reference")
    ref_values = _turned(ref_values, ref_affine, pred_values.shape, pred_affine)
    pred, ref = two_masks(pred_values, ref_values)
    found = pred_values[pred]
    if found.size and (found != found[0]).any():
        raise ValueError(
            f"the prediction should hold 0 and one other value; it also holds {_listed(found)}"
        )
    if ref_labels and ref.any():
        wanted = np.isin(ref_values, list(ref_labels))
        if not wanted.any():
            raise ValueError(
                f"the reference should hold {' or '.join(map(str, ref_labels))} where the liver "
                f"is; it holds {_listed(ref_values[ref])}"
            )
        ref = wanted
    counted = np.unique(ref_values[ref])[:MOST_VALUES]
    return MaskPair(pred, ref, pred_affine, tuple(float(value) for value in counted))


def _listed(values: npt.NDArray[Any]) -> str:
    unique = [f"{value:g}" for value in np.unique(values)]
    more = ", ..." if len(unique) > MOST_VALUES else ""
    return ", ".join(unique[:MOST_VALUES]) + more


def _read(path: Path, role: str) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
    """The voxels (X, Y, Z) and the affine of one file; `role` names it in messages."""
    try:
        values, affine = read_label_map(path)
    except FileNotFoundError as error:
        raise ValueError(f"the {role} is not there any more") from error
    except ValueError as error:
        raise ValueError(f"the {role} should be a whole NIfTI file; {error}") from error
    if values.dtype.kind not in NUMBER_KINDS:
        raise ValueError(f"the {role} should hold real numbers; it holds {values.dtype}")
    if values.ndim < SPACE or values.size != np.prod(values.shape[:SPACE]):
        raise ValueError(f"the {role} should be one volume; its shape is {values.shape}")
    try:
        voxel_axes_mm(affine)
    except ValueError as error:
        raise ValueError(f"{role}: {error}") from error
    return values.reshape(values.shape[:SPACE]), affine


def _turned(
    values: npt.NDArray[Any],
    affine: npt.NDArray[np.float64],
    wanted_shape: tuple[int, ...],
    wanted_affine: npt.NDArray[np.float64],
) -> npt.NDArray[Any]:
    """The reference with its axes in the prediction's order and direction.

    Raises:
        ValueError: the grids differ in more than that.
    """
    turn = io_orientation(np.linalg.inv(wanted_affine) @ affine)
    if np.isnan(turn).any():
        raise ValueError("prediction and reference should lie on one grid; their axes differ")
    turned = apply_orientation(values, turn)
    turned_affine = affine @ inv_ornt_aff(turn, values.shape)
    if turned.shape != wanted_shape:
        sizes = (" x ".join(map(str, shape)) for shape in (wanted_shape, values.shape))
        raise ValueError(
            f"prediction and reference should lie on one grid; got {' and '.join(sizes)} voxels"
        )
    corners = itertools.product(*((0, size - 1) for size in wanted_shape))
    places = np.array([[*corner, 1] for corner in corners], dtype=np.float64).T  # (4, 8)
    apart_mm = np.linalg.norm(((turned_affine - wanted_affine) @ places)[:SPACE], axis=0).max()
    shortest_mm = np.linalg.norm(wanted_affine[:SPACE, :SPACE], axis=0).min()
    if apart_mm > GRID_TOLERANCE * shortest_mm:
        lengths = (_spacing(one) for one in (wanted_affine, turned_affine))
        raise ValueError(
            "prediction and reference should lie on one grid; got voxels of "
            f"{' and '.join(lengths)} mm, corners up to {apart_mm:.2f} mm apart"
        )
    return np.asarray(turned)


def _spacing(affine: npt.NDArray[np.float64]) -> str:
    lengths = np.linalg.norm(affine[:SPACE, :SPACE], axis=0)
    return " x ".join(f"{length:.4g}" for length in lengths)
