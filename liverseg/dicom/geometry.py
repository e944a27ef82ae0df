"""Where the slices of a series lie: their order along the normal, their affine, their gaps.

Everything here is in the patient's LPS system of DICOM except what `affine_ras` returns.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from liverseg.dicom.image import Slice
from liverseg.errors import ScanRejected

ORIENTATION_TOLERANCE = 1e-3  # between direction cosines of one series (intake.md: localizer)
UNIT_TOLERANCE = 1e-2  # length of a direction cosine vector and its angle to the other
SPACING_TOLERANCE = 0.01  # of the median gap: more is uneven (intake.md)
# Positions written with two decimals: two gaps differ by up to 0.01 mm for every axis of the
# patient that the normal has a share in; a little more, since 0.63 - 0.62 is no 0.01 in binary.
ROUNDING_MM = 0.011
SIDEWAYS_ROUNDING_MM = 0.03  # of a step across the normal, and of the slope that it is held to
LINE_TOLERANCE = 0.1  # of the median gap: how far from even steps a slice may be
SAME_POSITION_MM = 0.01  # closer slices lie at one position
MULTIPLE_TOLERANCE = 0.05  # a gap this close to a multiple of the median means missing slices
MIN_SPACING_MM, MAX_SPACING_MM = 0.05, 20.0  # of pixels: no scanner's are smaller or larger
MAX_UNEVEN_GAP_MM = 10.0  # what is between slices further apart is not to be interpolated
RAS_FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])

# Names that cannot hold a patient: a technical word, up to five digits, a usual extension.
HARMLESS_NAME = re.compile(
    r"(?:(?:image|img|im|slice|file|ct|i|s|z)[-_]?)?\d{1,5}(?:\.(?:dcm|dicom|ima|img))?",
    re.IGNORECASE | re.ASCII,
)


def slice_name(path: Path, index: int, count: int) -> str:
    """How a message names a slice: by its file when the name is harmless, else by its place.

    Args:
        path: the file.
        index: of the slice in order of position, from 0.
        count: of slices.
    """
    # A bare number may be a patient's, unless it counts the files.
    bare = re.match(r"\d+", path.name, re.ASCII)
    if HARMLESS_NAME.fullmatch(path.name) and not (bare and int(bare[0]) > 2 * count):
        return path.name
    return f"slice {index + 1} of {count}"


def require_position(slices: Sequence[Slice]) -> None:
    """Check that every slice says where it lies.

    Raises:
        ScanRejected: NO_POSITION when position, orientation or pixel spacing is absent,
            unparsable, no length of pixels or no pair of directions at right angles.
    """
    right: set[tuple[float, ...]] = set()  # orientations seen to be two directions
    for index, item in enumerate(slices):
        spacing_mm = item.spacing_mm or (0.0,)
        is_length = MIN_SPACING_MM <= min(spacing_mm) <= max(spacing_mm) <= MAX_SPACING_MM
        if item.position and item.orientation in right and is_length:
            continue
        where = f"in {slice_name(item.path, index, len(slices))}"
        if item.position is None:
            raise ScanRejected("NO_POSITION", f"no usable ImagePositionPatient {where}")
        if item.orientation is None:
            raise ScanRejected("NO_POSITION", f"no usable ImageOrientationPatient {where}")
        if not is_length:
            limits = f"{MIN_SPACING_MM:g} to {MAX_SPACING_MM:g} mm"
            raise ScanRejected("NO_POSITION", f"PixelSpacing should be of {limits} {where}")
        axes = np.reshape(item.orientation, (2, 3))
        if np.abs(axes @ axes.T - np.eye(2)).max() > UNIT_TOLERANCE:
            raise ScanRejected(
                "NO_POSITION",
                f"ImageOrientationPatient should be two unit vectors at right angles {where}",
            )
        right.add(item.orientation)


def plane_axes(item: Slice) -> NDArray[np.float64]:
    """(2, 3) unit directions along a row and along a column of the slice."""
    axes = np.reshape(np.asarray(item.orientation, dtype=np.float64), (2, 3))
    lengths = np.linalg.norm(axes, axis=1, keepdims=True)
    unit: NDArray[np.float64] = axes / np.where(lengths > 0, lengths, 1)  # zeros are refused later
    return unit


def heights_mm(slices: Sequence[Slice]) -> NDArray[np.float64]:
    """(N,) mm: the position of every slice along the normal of the first one."""
    row, column = plane_axes(slices[0])
    positions = np.array([item.position for item in slices], dtype=np.float64)
    heights: NDArray[np.float64] = positions @ np.cross(row, column)
    return heights


def sorted_by_position(slices: Sequence[Slice]) -> list[Slice]:
    """The slices in the order of their height; the order of equal heights does not change."""
    order = np.argsort(heights_mm(slices), kind="stable")
    return [slices[index] for index in order]


def require_even_gaps(slices: Sequence[Slice], irregular: bool = False) -> None:
    """Check that sorted slices lie on one line, at even steps.

    Args:
        slices: two or more, sorted by position, none at the position of another.
        irregular: let uneven steps pass, up to MAX_UNEVEN_GAP_MM, but no missing slices.

    Raises:
        ScanRejected: MISSING_SLICES when a gap is a multiple of the median, IRREGULAR_SPACING
            when the gaps differ otherwise by more than SPACING_TOLERANCE or the slices are
            shifted sideways; both name the neighbours and the gap in mm.
    """
    heights = heights_mm(slices)
    gaps = np.diff(heights)
    median, tolerance = _even_gap(slices, gaps)
    uneven = np.flatnonzero(np.abs(gaps - median) > tolerance)
    if uneven.size:
        missing = _missing_slices(gaps, median, uneven)
        if missing.any():
            message = _gap_message(slices, int(uneven[missing > 0][0]), gaps, median)
            raise ScanRejected("MISSING_SLICES", f"{message}; {missing.sum()} missing in all")
        if not irregular:
            worst = int(uneven[np.argmax(np.abs(gaps[uneven] - median))])
            raise ScanRejected("IRREGULAR_SPACING", _gap_message(slices, worst, gaps, median))
        if gaps.max() > MAX_UNEVEN_GAP_MM:
            message = _gap_message(slices, int(gaps.argmax()), gaps, median)
            limit = f"at most {MAX_UNEVEN_GAP_MM:g} mm are interpolated"
            raise ScanRejected("IRREGULAR_SPACING", f"{message}; {limit}")
    elif not irregular:
        _require_even_steps(slices, heights)
    _require_line(slices, gaps, max(tolerance, SIDEWAYS_ROUNDING_MM))


def _even_gap(slices: Sequence[Slice], gaps: NDArray[np.float64]) -> tuple[float, float]:
    """What even gaps should be, in mm, and how far from it they may be."""
    median = float(np.median(gaps))
    axes = float(np.abs(np.cross(*plane_axes(slices[0]))).sum())  # 1 for axial slices
    return median, max(SPACING_TOLERANCE * median, ROUNDING_MM * axes)


def is_even(slices: Sequence[Slice]) -> bool:
    """Whether slices, in any order, lie one after the other at even steps."""
    gaps = np.diff(np.sort(heights_mm(slices)))
    if gaps.size == 0:
        return True
    median, tolerance = _even_gap(slices, gaps)
    return bool(gaps.min() > SAME_POSITION_MM and np.abs(gaps - median).max() <= tolerance)


def _missing_slices(
    gaps: NDArray[np.float64], median: float, uneven: NDArray[np.int64]
) -> NDArray[np.int64]:
    """(len(uneven),) how many slices are missing in each uneven gap.

    A gap is a multiple of the median for want of slices when all uneven gaps are multiples, or
    when the gaps on either side are even; else the spacing is merely uneven.
    """
    multiples = gaps[uneven] / median
    nearest = np.rint(multiples)
    whole = (nearest >= 2) & (np.abs(multiples - nearest) <= MULTIPLE_TOLERANCE)
    beside = np.isin(uneven - 1, uneven) | np.isin(uneven + 1, uneven)
    counted = whole if whole.all() else whole & ~beside
    missing: NDArray[np.int64] = np.where(counted, nearest - 1, 0).astype(np.int64)
    return missing


def _off_even_steps(heights: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) mm: how far each slice is from where even steps from first to last would put it."""
    off: NDArray[np.float64] = np.abs(heights - np.linspace(heights[0], heights[-1], len(heights)))
    return off


def _require_even_steps(slices: Sequence[Slice], heights: NDArray[np.float64]) -> None:
    """Check that gaps that differ by little do not add up to slices far from their place."""
    off = _off_even_steps(heights)
    worst = int(off.argmax())
    median = float(np.median(np.diff(heights)))
    if off[worst] > max(LINE_TOLERANCE * median, SIDEWAYS_ROUNDING_MM):
        name = slice_name(slices[worst].path, worst, len(slices))
        raise ScanRejected(
            "IRREGULAR_SPACING",
            f"slices should be {median:.3f} mm apart; gaps that grow put {name} "
            f"{off[worst]:.3f} mm off its place",
        )


def _require_line(slices: Sequence[Slice], gaps: NDArray[np.float64], tolerance: float) -> None:
    """Check that slices are shifted sideways by as much as their heights say, if at all.

    A sideways step in proportion to the gap is a tilted gantry; another one shears the volume
    unevenly.
    """
    positions = np.array([item.position for item in slices], dtype=np.float64)
    row, column = plane_axes(slices[0])
    steps = np.diff(positions @ np.stack([row, column], axis=1), axis=0)
    slope = np.median(steps / gaps[:, None], axis=0)
    drift = np.abs(steps - gaps[:, None] * slope).max(axis=1)
    worst = int(drift.argmax())
    if drift[worst] > tolerance:
        below, above = _neighbours(slices, worst)
        raise ScanRejected(
            "IRREGULAR_SPACING",
            f"slices should follow a straight line; {drift[worst]:.3f} mm sideways between "
            f"{below} and {above}",
        )


def uneven_positions(slices: Sequence[Slice]) -> NDArray[np.float64] | None:
    """Where unevenly spaced slices lie along the third axis of `affine_ras`.

    Args:
        slices: accepted, sorted by position.

    Returns:
        (N,) in steps of the mean spacing, from 0 to N - 1; None for even spacing.
    """
    heights = heights_mm(slices)
    gaps = np.diff(heights)
    median, tolerance = _even_gap(slices, gaps)
    limit = max(LINE_TOLERANCE * median, SIDEWAYS_ROUNDING_MM)
    if np.abs(gaps - median).max() <= tolerance and _off_even_steps(heights).max() <= limit:
        return None
    positions: NDArray[np.float64] = (heights - heights[0]) / np.mean(gaps)
    return positions


def _neighbours(slices: Sequence[Slice], index: int) -> tuple[str, str]:
    """The names of the two slices beside the gap of that index."""
    count = len(slices)
    below = slice_name(slices[index].path, index, count)
    above = slice_name(slices[index + 1].path, index + 1, count)
    if below == above:  # files of one name in two folders, or frames of one file
        return f"slice {index + 1} of {count}", f"slice {index + 2} of {count}"
    return below, above


def _gap_message(
    slices: Sequence[Slice], index: int, gaps: NDArray[np.float64], median: float
) -> str:
    """What was wanted, what was found and between which slices."""
    below, above = _neighbours(slices, index)
    return (
        f"slices should be {median:.3f} mm apart; {gaps[index]:.3f} mm between {below} and {above}"
    )


def affine_ras(slices: Sequence[Slice]) -> NDArray[np.float64]:
    """(4, 4) float64, voxel (column, row, slice) to RAS mm, of sorted slices.

    The third column is the mean step between positions, so a tilted gantry gives a sheared affine
    (PS3.3 C.7.6.2.1.1 gives the first two). One slice has no step: its third column is NaN.
    """
    row, column = plane_axes(slices[0])
    spacing_mm = slices[0].spacing_mm
    first = np.asarray(slices[0].position, dtype=np.float64)
    last = np.asarray(slices[-1].position, dtype=np.float64)
    if spacing_mm is None:
        raise ValueError("the slices should have passed require_position")
    affine = np.eye(4)
    affine[:3, 0] = row * spacing_mm[0]
    affine[:3, 1] = column * spacing_mm[1]
    affine[:3, 2] = (last - first) / (len(slices) - 1) if len(slices) > 1 else np.nan
    affine[:3, 3] = first
    ras: NDArray[np.float64] = RAS_FROM_LPS @ affine
    return ras


def tilt_degrees(slices: Sequence[Slice]) -> float:
    """The angle between the normal of the slices and the line they follow; NaN for one slice."""
    if len(slices) < 2:
        return float("nan")
    row, column = plane_axes(slices[0])
    first = np.asarray(slices[0].position, dtype=np.float64)
    line = np.asarray(slices[-1].position, dtype=np.float64) - first
    along = float(line @ np.cross(row, column))
    sideways = float(np.hypot(line @ row, line @ column))
    return float(np.degrees(np.arctan2(sideways, along)))


def step_mm(slices: Sequence[Slice]) -> tuple[float, float, float]:
    """(x, y, z) mm: the pixel spacing and the median gap; NaN where the slices do not say."""
    nan = float("nan")
    if not slices:
        return nan, nan, nan
    x, y = slices[0].spacing_mm or (nan, nan)
    if len(slices) < 2 or any(item.position is None for item in slices):
        return x, y, nan
    if slices[0].orientation is None:
        return x, y, nan
    gaps = np.abs(np.diff(np.sort(heights_mm(slices))))
    return x, y, float(np.median(gaps))
