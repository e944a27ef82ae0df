"""Read the slices of one series into an HU volume: every voxel at its place, or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from liverseg.dicom.geometry import affine_ras, slice_name, tilt_degrees
from liverseg.dicom.header import quiet_pydicom
from liverseg.dicom.image import Layout, Slice
from liverseg.dicom.native import is_native, read_native
from liverseg.dicom.pixels import read_stored
from liverseg.dicom.rescale import is_undeclared
from liverseg.errors import ScanRejected
from liverseg.hounsfield import (
    HU_MAX,
    HU_MIN,
    PLAUSIBLE_AIR_HU,
    counted,
    is_1024_low,
    is_off_by_1024,
    looks_like_hu,
    some_slices,
)

AIR_HU = -1024  # what "no data" becomes when its own value does not fit int16
# Padding that is brighter than any soft tissue: what is darker may be a value of tissue, too, which
# some programs give for padding that is nowhere in the images.
BRIGHT_PADDING_HU = 1000
TILT_NOTED_DEGREES = 0.1
READERS = 4  # files read at one time; more gain nothing on a local disk


def read_volume(
    slices: Sequence[Slice],
) -> tuple[NDArray[np.int16], NDArray[np.float64], tuple[str, ...]]:
    """Read an accepted series.

    Args:
        slices: sorted by position, as `discover` accepts them.

    Returns:
        image: (X, Y, Z) int16, HU; X along a row, contiguous in X first, as NIfTI stores it.
        affine: (4, 4) float64, voxel to RAS mm; sheared for a tilted gantry.
        notes: what a reader of the report should know.

    Raises:
        ScanRejected: TRUNCATED, CORRUPT or UNREADABLE, naming the slice; HU_IMPLAUSIBLE when a
            value does not fit int16; NO_RESCALE or HU_IMPLAUSIBLE when the values are not
            declared as HU and do not look like it.
    """
    layout = slices[0].layout
    # Slice after slice in memory: each is one block, and the transpose is NIfTI's own order.
    by_slice = np.empty((len(slices), layout.rows, layout.columns), dtype=np.int16)
    opened: dict[Path, Dataset] = {}

    def read(index: int) -> None:
        name = slice_name(slices[index].path, index, len(slices))
        read_hu(slices[index], name, by_slice[index], opened)

    with quiet_pydicom():
        # Reading files and adding numbers leave Python free for others; decoders do not.
        workers = READERS if all(map(is_native, slices)) else 1
        with ThreadPoolExecutor(workers) as pool:
            for _ in pool.map(read, range(len(slices))):  # raises what the first slice raised
                pass
    image = by_slice.transpose(2, 1, 0)  # (X, Y, Z)
    _require_hu(slices, image)
    notes = []
    tilt = tilt_degrees(slices)
    if tilt > TILT_NOTED_DEGREES:
        notes.append(f"gantry tilt of {tilt:.1f} degrees")
    return image, affine_ras(slices), tuple(notes)


def read_hu(item: Slice, name: str, out: NDArray[np.int16], opened: dict[Path, Dataset]) -> None:
    """Read one image as HU into `out`, (rows, columns); see `read_volume` for what it raises."""
    stored = read_native(item, name, out) if is_native(item) else read_stored(item, name, opened)
    slope = 1.0 if item.slope is None else item.slope
    intercept = 0.0 if item.intercept is None else item.intercept
    if slope == 1 and intercept.is_integer() and _sums_fit(stored, intercept, item.layout):
        # The sums fit int16, so adding modulo 2^16 is exact, whatever the type of the values.
        if stored.base is not out:
            np.copyto(out, stored, casting="unsafe")
        if intercept:
            wrapping = out.view(np.uint16)
            wrapping += np.uint16(int(intercept) % (1 << 16))
        return
    hu = np.rint(stored * np.float64(slope) + intercept)
    outside = (hu < HU_MIN) | (hu > HU_MAX)
    if outside.any():
        if not is_padding(stored[outside], item).all():
            raise ScanRejected(
                "HU_IMPLAUSIBLE",
                f"HU should fit 16 bits; got {hu.min():g} to {hu.max():g} in {name}",
            )
        hu[outside] = AIR_HU
    np.copyto(out, hu, casting="unsafe")


def _sums_fit(stored: NDArray[Any], intercept: float, layout: Layout) -> bool:
    """Whether every stored value plus the intercept is an int16."""
    half = 1 << (layout.bits_stored - 1)
    low, high = (-half, half - 1) if layout.signed else (0, 2 * half - 1)
    if low + intercept >= HU_MIN and high + intercept <= HU_MAX:
        return True  # whatever the values are: the usual 12 bits need no look
    return bool(stored.min() + intercept >= HU_MIN and stored.max() + intercept <= HU_MAX)


def is_padding(stored: NDArray[Any], item: Slice) -> NDArray[np.bool_]:
    """Which stored values mean "no data"; written with either sign, so compared modulo 2^bits."""
    if item.layout.padding is None:
        return np.zeros(stored.shape, dtype=np.bool_)
    modulus = 1 << item.layout.bits_allocated
    low, high = item.layout.padding
    span = high - low
    return (stored.astype(np.int64) - low) % modulus <= span


def bright_padding(slices: Sequence[Slice]) -> tuple[int, int] | None:
    """The HU, lowest and highest, of padding that would look like bone or metal; else None.

    Args:
        slices: of an accepted series; None, too, where their padding becomes different HU.
    """
    ranges = {_padding_hu(item) for item in slices}
    low, end = ranges.pop()
    return (low, end - 1) if not ranges and BRIGHT_PADDING_HU < low < end else None


def _padding_hu(item: Slice) -> tuple[int, int]:
    """The HU that padding has become, and one above; an empty range where there is none."""
    if item.layout.padding is None:
        return 0, 0
    half, modulus = 1 << (item.layout.bits_allocated - 1), 1 << item.layout.bits_allocated
    lowest = -half if item.layout.signed else 0  # written with either sign
    stored = [(value - lowest) % modulus + lowest for value in item.layout.padding]
    slope = 1.0 if item.slope is None else item.slope
    ends = np.rint([value * slope + (item.intercept or 0) for value in stored])
    low, high = np.clip(np.sort(ends), HU_MIN, HU_MAX).astype(int)
    return int(low), int(high) + 1


def _require_hu(slices: Sequence[Slice], image: NDArray[np.int16]) -> None:
    """Refuse values that are declared as HU and are not, or are not declared and do not look it."""
    declared = not is_undeclared(slices)
    counts = counted(some_slices(image) if declared else image.transpose(2, 0, 1))
    low, high = _padding_hu(slices[0])
    counts[low - HU_MIN : high - HU_MIN] = 0  # no evidence, whatever it says
    if declared:
        if is_off_by_1024(counts):
            raise ScanRejected(
                "HU_IMPLAUSIBLE",
                "tissue should lie around 0 HU and fat below; it lies around 1024, as if the "
                "intercept were lost",
            )
        if is_1024_low(counts):
            raise ScanRejected(
                "HU_IMPLAUSIBLE",
                "tissue should lie around 0 HU and air at -1000; they lie around -1024 and -2024, "
                "as if the intercept had been applied already",
            )
        return
    if looks_like_hu(counts):
        return
    what = (
        f"values from {image.min()} to {image.max()} without air below {PLAUSIBLE_AIR_HU} HU "
        "and tissue around 0"
    )
    if any(item.intercept is None or item.slope is None for item in slices):
        raise ScanRejected(
            "NO_RESCALE", f"RescaleSlope and RescaleIntercept should be given; {what}"
        )
    raise ScanRejected("HU_IMPLAUSIBLE", f"RescaleType should be HU; {what}")
