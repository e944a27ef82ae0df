"""Score a liver mask against a reference: overlap, volume, surface distances, SLIVER07 score.

Vocabulary: `pred` is the mask to be scored, `ref` the one it is scored against, both (X, Y, Z) on
one grid; whatever is not zero is liver. A voxel of a mask is on its border when a neighbour is
outside the mask (one of six, unless told otherwise), and what lies beyond the image counts as
outside: a liver cut by the field of view has a border there. A border voxel stands for its centre;
its distance to the other mask is the Euclidean one, in mm, to the nearest border voxel of that.

Two functions do the work, `overlap` and `surface_distances`; the others read what these return.
A figure that is not defined is NaN, which happens when a mask is empty:

=================  ==================  =================  ==========
figure             pred empty          ref empty          both empty
=================  ==================  =================  ==========
dice               0                   0                  NaN
voe_percent        100                 100                NaN
rvd_percent        -100                NaN                NaN
volume_error_ml    minus the liver     plus the mask      0
distances in mm    NaN                 NaN                NaN
nsd                0                   0                  NaN
sliver07_score     0                   NaN                NaN
=================  ==================  =================  ==========
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from liverseg.surface import FACES, SurfaceDistances, surface_distances, two_masks, voxel_axes_mm

MM3_PER_ML = 1000.0
PERCENT = 100.0
HD_PERCENTILE = 95.0
NSD_TOLERANCES_MM = (1.0, 2.0, 3.0)
# Affines are stored in single precision: a distance of 3 mm may come out as 3.0000001.
ROUNDING_MM = 1e-4
# SLIVER07: the average error of a second human on each of the five, which scores 75 of 100.
SLIVER07_ERRORS = {
    "voe_percent": 6.4,
    "rvd_percent": 4.7,
    "asd_mm": 1.0,
    "rmsd_mm": 1.8,
    "msd_mm": 19.0,
}
SLIVER07_LOSS = 25.0  # of 100, at that error


@dataclass(frozen=True)
class Overlap:
    """Voxels of two masks.

    Args:
        pred_voxels: in the prediction.
        ref_voxels: in the reference.
        common_voxels: in both.
    """

    pred_voxels: int
    ref_voxels: int
    common_voxels: int


@dataclass(frozen=True)
class Scores:
    """Every figure of one case; the fields are the columns of the CSV of `liverseg evaluate`.

    Args:
        dice: 0 to 1, see `dice`.
        voe_percent: volumetric overlap error.
        rvd_percent: relative volume difference, above 0 where the prediction is too large.
        asd_mm: average symmetric surface distance.
        rmsd_mm: root mean square symmetric surface distance.
        msd_mm: maximum symmetric surface distance, which is the Hausdorff distance.
        hd95_mm: the larger of the 95th percentiles of the two directions.
        nsd_1mm: normalised surface distance at 1 mm, 0 to 1; so are the next two.
        nsd_2mm: at 2 mm.
        nsd_3mm: at 3 mm.
        volume_error_ml: above 0 where the prediction is too large.
        sliver07_score: at most 100; a second human scores 75.
    """

    dice: float
    voe_percent: float
    rvd_percent: float
    asd_mm: float
    rmsd_mm: float
    msd_mm: float
    hd95_mm: float
    nsd_1mm: float
    nsd_2mm: float
    nsd_3mm: float
    volume_error_ml: float
    sliver07_score: float


METRICS = tuple(field.name for field in fields(Scores))


def scores(
    pred: npt.NDArray[np.generic],
    ref: npt.NDArray[np.generic],
    affine: npt.NDArray[np.float64],
    connectivity: int = FACES,
) -> Scores:
    """Every figure of one case. The table at the head of this module says what empty masks give.

    Args:
        pred: (X, Y, Z), not zero = liver; any dtype of real numbers.
        ref: (X, Y, Z), as pred, on the same grid.
        affine: (4, 4), voxel to mm; may be tilted. For a spacing: np.diag([*spacing_mm, 1]).
        connectivity: what makes a border voxel, see `surface_distances`.

    Raises:
        ValueError: the shapes differ, a mask holds NaN, or the affine has no inverse (a spacing
            of 0 or NaN).
    """
    pred, ref = two_masks(pred, ref)
    voxels = overlap(pred, ref)
    distances = surface_distances(pred, ref, affine, connectivity)
    figures = {
        "dice": dice(voxels),
        "voe_percent": volumetric_overlap_error(voxels),
        "rvd_percent": relative_volume_difference(voxels),
        "asd_mm": average_symmetric_surface_distance(distances),
        "rmsd_mm": root_mean_square_surface_distance(distances),
        "msd_mm": maximum_surface_distance(distances),
    }
    nsd = [normalised_surface_distance(distances, mm) for mm in NSD_TOLERANCES_MM]
    return Scores(
        **figures,
        hd95_mm=hausdorff_distance_95(distances),
        nsd_1mm=nsd[0],
        nsd_2mm=nsd[1],
        nsd_3mm=nsd[2],
        volume_error_ml=(voxels.pred_voxels - voxels.ref_voxels) * voxel_ml(affine),
        sliver07_score=sliver07_score(figures) if voxels.ref_voxels else math.nan,
    )


def voxel_ml(affine: npt.NDArray[np.float64]) -> float:
    """Volume of a voxel, ml.

    Args:
        affine: (4, 4), voxel to mm; may be tilted.

    Raises:
        ValueError: the affine has no inverse.
    """
    return abs(float(np.linalg.det(voxel_axes_mm(affine)))) / MM3_PER_ML


def volume_ml(mask: npt.NDArray[np.generic], affine: npt.NDArray[np.float64]) -> float:
    """Volume of a mask, (X, Y, Z), not zero = liver, in ml; raises as `voxel_ml`."""
    return int(np.count_nonzero(mask)) * voxel_ml(affine)


def overlap(pred: npt.NDArray[np.generic], ref: npt.NDArray[np.generic]) -> Overlap:
    """Count the voxels of two masks.

    Args:
        pred: (X, Y, Z), not zero = liver.
        ref: (X, Y, Z), as pred, on the same grid.

    Raises:
        ValueError: the shapes differ, or a mask holds NaN.
    """
    pred, ref = two_masks(pred, ref)
    counts = (np.count_nonzero(mask) for mask in (pred, ref, pred & ref))
    return Overlap(*(int(count) for count in counts))


def dice(voxels: Overlap) -> float:
    """Dice coefficient 2 |A and B| / (|A| + |B|), 0 to 1; NaN when both masks are empty."""
    total = voxels.pred_voxels + voxels.ref_voxels
    return 2 * voxels.common_voxels / total if total else math.nan


def volumetric_overlap_error(voxels: Overlap) -> float:
    """100 (1 - |A and B| / |A or B|), percent; NaN when both masks are empty."""
    union = voxels.pred_voxels + voxels.ref_voxels - voxels.common_voxels
    return PERCENT * (1 - voxels.common_voxels / union) if union else math.nan


def relative_volume_difference(voxels: Overlap) -> float:
    """100 (|pred| - |ref|) / |ref|, percent, signed; NaN when the reference is empty."""
    if not voxels.ref_voxels:
        return math.nan
    return PERCENT * (voxels.pred_voxels - voxels.ref_voxels) / voxels.ref_voxels


def average_symmetric_surface_distance(distances: SurfaceDistances) -> float:
    """Mean of the distances of both borders together, mm; NaN when a mask is empty.

    As in SLIVER07 (but for `connectivity`), MedPy and MONAI (symmetric). surface-distance gives a
    mean for each direction, weighted by area; the mean of the two is another number when the
    borders differ in size.
    """
    both = distances.both_mm
    return float(both.mean()) if both.size else math.nan


def root_mean_square_surface_distance(distances: SurfaceDistances) -> float:
    """Root of the mean of the squared distances of both borders, mm; NaN when a mask is empty."""
    both = distances.both_mm
    return float(np.sqrt(np.mean(both**2))) if both.size else math.nan


def maximum_surface_distance(distances: SurfaceDistances) -> float:
    """Largest of all distances of both borders, mm: the Hausdorff distance of the borders.

    NaN when a mask is empty. ITK's asks for every voxel of a mask how far the other mask is, 0
    where they overlap; the two differ when the farthest voxel, or the nearest, is not on a border.
    """
    both = distances.both_mm
    return float(both.max()) if both.size else math.nan


def hausdorff_distance_95(distances: SurfaceDistances) -> float:
    """The larger of the two directions' 95th percentiles, mm; NaN when a mask is empty.

    As in MONAI and, but for its weights by area, in surface-distance. MedPy takes the percentile
    of both directions together, which is never larger. Percentiles are interpolated linearly.
    """
    if not distances.both_mm.size:
        return math.nan
    directions = (distances.pred_to_ref_mm, distances.ref_to_pred_mm)
    return max(float(np.percentile(one, HD_PERCENTILE)) for one in directions)


def normalised_surface_distance(distances: SurfaceDistances, tolerance_mm: float) -> float:
    """Share of the border voxels of both masks that are at most a tolerance away, 0 to 1.

    0 when one mask is empty, NaN when both are. The same as MONAI's surface Dice without subvoxels.
    surface-distance [1]_ weights each element of the surface with its area and places it on the
    corners of the voxels; here every border voxel counts the same, so that on long voxels the
    faces across the long axis weigh more than their area.

    Args:
        distances: of the two masks.
        tolerance_mm: distances up to it count as agreement.

    .. [1] Nikolov et al. 2018, arXiv 1809.04430
    """
    directions = (distances.pred_to_ref_mm, distances.ref_to_pred_mm)
    total = sum(one.size for one in directions)
    limit_mm = tolerance_mm + ROUNDING_MM
    within = sum(int(np.count_nonzero(one <= limit_mm)) for one in directions)
    return within / total if total else math.nan


def sliver07_score(figures: Mapping[str, float]) -> float:
    """The score of the SLIVER07 challenge [1]_: 100 for the reference itself, 75 for a human.

    The mean over five figures of max(0, 100 - 25 |figure| / error of a second human). A figure
    that is not defined scores 0, as a case without a result does in the challenge.

    Args:
        figures: the keys of SLIVER07_ERRORS, in percent and mm.

    Returns:
        0 to 100.

    .. [1] van Ginneken, Heimann, Styner 2007; Heimann et al. 2009, IEEE TMI 28:1251
    """
    losses = [abs(figures[name]) / error for name, error in SLIVER07_ERRORS.items()]
    best = PERCENT
    single = [0.0 if math.isnan(loss) else best - SLIVER07_LOSS * loss for loss in losses]
    return sum(max(0.0, score) for score in single) / len(single)
