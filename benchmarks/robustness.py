"""What the masks lose when a scan gets worse, and what is found where there is no liver.

    python -m benchmarks.robustness [SCAN REFERENCE]
    python -m benchmarks.robustness --without-liver
    python -m benchmarks.robustness --folds FOLDER [N ...]

By default 3D-IRCADb-01 patient 1 of the data folder (LIVERSEG_DATA), which no training has seen.
The last rows hold no liver: the volume found should be 0. The second command cuts such fields of
view from all BTCV scans, on which the shipped networks were trained. The third does all of it with
every BTCV scan and the networks of benchmarks.cross_validation that have not seen it, those of the
folds N or of all five, and prints means.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
import numpy.typing as npt

from benchmarks.cross_validation import FOLDS, coarse_of, list_of
from liverseg.bundle_files import bundle_root
from liverseg.datalist import load_data_list
from liverseg.pipeline import Pipeline, load_pipeline
from liverseg.scans import Volume, read_scan, scan_at

DATA = Path(os.environ.get("LIVERSEG_DATA", Path(__file__).parents[2] / "shared" / "data"))
MM3_PER_ML = 1000.0
TISSUE_HU = (-300, 400)  # what a scanner's calibration and noise change, air and metal apart
STEATOSIS_HU = -60
# Lesions painted into the liver: how many, of which radii, with which mean and noise.
LESIONS = (
    ("tumour of 100 mm", 1, (50.0, 50.0)),
    ("25 of 12 to 36 mm", 25, (6.0, 18.0)),
)
LESION_HU = (45.0, 12.0)
THICK_MM = 5.0
SLAB_MM = 60.0
GAP_MM = 15.0  # between the liver and a field of view that holds none of it
LEAST_MM = 60.0  # of such a field of view
SEED = 0
BTCV_LIVER = 5

_Image = npt.NDArray[np.int16]
_Mask = npt.NDArray[np.bool_]


def straightened(
    scan: Path, reference: Path, liver: int | None = None
) -> tuple[_Image, _Mask, npt.NDArray[np.float64]]:
    """Scan and reference with axes to R, A, S; liver is its label, when there are others."""
    with scan_at(scan) as found:
        volume = read_scan(found)
    image = nib.as_closest_canonical(nib.Nifti1Image(volume.image, volume.affine))
    label = nib.as_closest_canonical(nib.load(reference))
    if image.shape != label.shape or not np.allclose(image.affine, label.affine, atol=0.01):
        raise ValueError(f"scan {image.shape} and reference {label.shape} lie on different grids")
    values = np.asanyarray(label.dataobj)
    mask = values > 0 if liver is None else values == liver
    return np.asanyarray(image.dataobj).astype(np.int16), mask, image.affine


def worse(
    image: _Image, mask: _Mask, affine: npt.NDArray[np.float64]
) -> Iterator[tuple[str, _Image, _Mask, npt.NDArray[np.float64]]]:
    """The scan as it is, then worse ones: name, image, reference, affine."""
    random = np.random.default_rng(SEED)
    tissue = (image > TISSUE_HU[0]) & (image < TISSUE_HU[1])
    yield "as it is", image, mask, affine
    for shift in (-30, 30):
        yield f"{shift:+d} HU", (image + shift * tissue).astype(np.int16), mask, affine
    for sigma in (20, 40):
        noise = random.normal(0, sigma, image.shape) * tissue
        yield f"noise of {sigma} HU", (image + noise).astype(np.int16), mask, affine
    fatty = (image + STEATOSIS_HU * mask).astype(np.int16)
    yield f"liver at {STEATOSIS_HU:+d} HU", fatty, mask, affine
    for name, count, radii_mm in LESIONS:
        lesions = painted(mask, affine, count, radii_mm)
        dark = image.copy()
        dark[lesions] = random.normal(*LESION_HU, int(lesions.sum())).round()
        yield name, dark, mask, affine
    yield thick(image, mask, affine)
    yield from fields_of_view(image, mask, affine)


def painted(
    mask: _Mask, affine: npt.NDArray[np.float64], count: int, radii_mm: tuple[float, float]
) -> _Mask:
    """Where lesions are: what of balls around voxels of the liver lies within it."""
    random = np.random.default_rng(SEED)  # the same with another count of rows before
    inside = np.flatnonzero(mask)
    lesions = np.zeros_like(mask)
    for _ in range(count):
        centre = np.unravel_index(random.choice(inside), mask.shape)
        radius_mm = random.uniform(*radii_mm)
        offsets = [
            ((np.arange(length) - at) * step).astype(np.float32)
            for length, at, step in zip(mask.shape, centre, np.diag(affine), strict=False)
        ]
        near = np.ix_(*(np.abs(offset) < radius_mm for offset in offsets))
        x, y, z = np.ix_(*(offset[np.abs(offset) < radius_mm] for offset in offsets))
        lesions[near] |= x * x + y * y + z * z < radius_mm**2
    return lesions & mask


def fields_of_view(
    image: _Image, mask: _Mask, affine: npt.NDArray[np.float64]
) -> Iterator[tuple[str, _Image, _Mask, npt.NDArray[np.float64]]]:
    """Parts of the scan along the body, as `worse` has them."""
    slices = np.nonzero(mask.any(axis=(0, 1)))[0]
    step = float(affine[2, 2])
    middle = int(slices[0] + slices[-1]) // 2
    half = round(SLAB_MM / step / 2)
    gap = round(GAP_MM / step)
    for name, low, high in (
        ("upper half of the liver", middle, image.shape[2]),
        ("lower half of the liver", 0, middle),
        (f"slab of {SLAB_MM:g} mm", middle - half, middle + half),
        ("below the liver", 0, slices[0] - gap),
        ("above the liver", slices[-1] + gap, image.shape[2]),
    ):
        low, high = max(0, low), min(high, image.shape[2])
        if (high - low) * step >= LEAST_MM - step:
            moved = affine.copy()
            moved[:3, 3] += low * affine[:3, 2]
            yield name, image[:, :, low:high], mask[:, :, low:high], moved


def thick(
    image: _Image, mask: _Mask, affine: npt.NDArray[np.float64]
) -> tuple[str, _Image, _Mask, npt.NDArray[np.float64]]:
    """Slices averaged to about 5 mm; the reference keeps the thin ones.

    A reference of thick slices would have to round where half of one is liver, and with two slices
    to one that is the whole of its ends.
    """
    many = max(2, round(THICK_MM / float(affine[2, 2])))
    count = image.shape[2] // many
    shape = (*image.shape[:2], count, many)
    thicker = image[:, :, : count * many].reshape(shape).mean(axis=3).round().astype(np.int16)
    moved = affine.copy()
    moved[:3, 3] += affine[:3, 2] * (many - 1) / 2
    moved[:3, 2] *= many
    return f"slices of {moved[2, 2]:.1f} mm", thicker, mask[:, :, : count * many], moved


def segmented(pipeline: Pipeline, volume: Volume) -> _Mask:
    """The mask of a scan in memory."""
    data = pipeline.preprocessing({"image": volume})
    data["pred"] = pipeline.inferer(data["image"][None].to(pipeline.device), pipeline.network)[0]
    mask: _Mask = pipeline.postprocessing(data)["pred"][0].cpu().numpy() > 0
    return mask


class Row(NamedTuple):
    """What was found in one scan."""

    name: str
    dice: float  # NaN where the reference is empty
    reference_ml: float
    found_ml: float


def row_of(
    pipeline: Pipeline, name: str, image: _Image, mask: _Mask, affine: npt.NDArray[np.float64]
) -> Row:
    """Segment one scan and compare, on the slices of the reference where those are thinner."""
    found = segmented(pipeline, Volume(np.ascontiguousarray(image), affine, ()))
    many = mask.shape[2] // found.shape[2]
    found = found.repeat(many, axis=2)
    voxel_ml = abs(float(np.linalg.det(affine[:3, :3]))) / many / MM3_PER_ML
    total = int(found.sum() + mask.sum())
    dice = 2 * int((found & mask).sum()) / total if mask.any() else math.nan
    return Row(name, dice, mask.sum() * voxel_ml, found.sum() * voxel_ml)


def show(row: Row) -> None:
    """Print the row of one scan."""
    dice = "-" if math.isnan(row.dice) else f"{row.dice:.3f}"
    print(f"{row.name:<28}{dice:>8}{row.reference_ml:>14.0f}{row.found_ml:>10.0f}", flush=True)


def rows_of_fold(folder: Path, fold: int) -> list[Row]:
    """All rows of a fold's held-out scans, by the networks that have not seen them."""
    with tempfile.TemporaryDirectory() as name:
        bundle = Path(name)
        shutil.copytree(bundle_root() / "configs", bundle / "configs")
        (bundle / "models").mkdir()
        networks = folder / f"fold{fold}"
        for weights, source in (("model", networks / "model.pt"), ("coarse", coarse_of(networks))):
            for suffix in (".pt", ".pt.sha256"):
                there = source.with_suffix(suffix)
                shutil.copy(there, bundle / "models" / f"{weights}{suffix}")
        pipeline = load_pipeline(root=bundle)
    rows = []
    for case in load_data_list(list_of(fold), DATA, "validation"):
        scan = straightened(Path(case["image"]), Path(case["label"]), BTCV_LIVER)
        rows += [row_of(pipeline, *one) for one in worse(*scan)]
    return rows


def summary(rows: list[Row]) -> None:
    """Print what each kind of row has over all scans; that of thick slices is one kind."""
    kinds: dict[str, list[Row]] = {}
    for row in rows:
        kind = "slices of 5 to 10 mm" if row.name.startswith("slices") else row.name
        kinds.setdefault(kind, []).append(row)
    print(f"{'':<28}{'scans':>6}{'mean Dice':>11}{'worst':>8}{'mean ml':>9}{'none found':>12}")
    for kind, several in kinds.items():
        none = sum(row.found_ml == 0 for row in several)
        line = f"{kind:<28}{len(several):>6}"
        dice = [row.dice for row in several if not math.isnan(row.dice)]
        if dice:
            error = statistics.fmean(row.found_ml - row.reference_ml for row in several)
            line += f"{statistics.fmean(dice):>11.3f}{min(dice):>8.3f}{error:>+9.0f}"
        else:
            found = [row.found_ml for row in several]
            line += f"{'-':>11}{f'{max(found):.0f} ml':>8}{statistics.fmean(found):>+9.0f}"
        print(f"{line}{none:>12}")


def main() -> None:
    """Print the table that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, help="a scan and its reference")
    parser.add_argument("--without-liver", action="store_true", help="BTCV, shipped networks")
    parser.add_argument("--folds", nargs="+", help="a cross-validation's folder, and folds")
    told = parser.parse_args()
    if len(told.files) not in (0, 2):
        parser.error(f"a scan and its reference are wanted; got {len(told.files)} files")
    if told.folds:
        folder, *some = told.folds
        folds = [int(fold) for fold in some] or FOLDS
        summary([row for fold in folds for row in rows_of_fold(Path(folder), fold)])
        return
    pipeline = load_pipeline()
    print(f"{'':<28}{'Dice':>8}{'reference ml':>14}{'found ml':>10}")
    if told.without_liver:
        for scan in sorted((DATA / "btcv").glob("*_ct.nii.gz")):
            label = scan.with_name(scan.name.replace("_ct", "_label"))
            for name, *view in fields_of_view(*straightened(scan, label, BTCV_LIVER)):
                if not view[1].any():
                    show(row_of(pipeline, f"{scan.name[:9]}, {name}", *view))
        return
    folder = DATA / "ircadb_01"
    scan, reference = told.files or [folder / "dicom.zip", folder / "liver.nii.gz"]
    for name, *view in worse(*straightened(scan, reference)):
        show(row_of(pipeline, name, *view))


if __name__ == "__main__":
    main()
