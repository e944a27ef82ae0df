"""Uneven slices and a tilted gantry: to the network and back, the volume in ml right to 1 %."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from conftest import edit_slices
from numpy.typing import NDArray
from pydicom.dataset import FileDataset
from tiny_pipeline import Source, tiny_pipeline

from liverseg.batch import run_batch
from liverseg.case import Segmentation
from liverseg.dicom.write import write_ct_series
from liverseg.manifest import Row
from liverseg.scans import Finding, found_scans
from liverseg.uneven import even_slices, local_thickness

SHAPE = (80, 96, 46)
# LAS: the first axis points to the patient's left.
# The third axis points to the feet, as the normal of such slices does.
AFFINE = np.array([[-2.0, 0, 0, 80], [0, 1.5, 0, -70], [0, 0, -3.0, 250], [0, 0, 0, 1]])
HALF_AXES_MM = (60.0, 45.0, 50.0)
# 4/3 pi 60 45 50 mm3
LIVER_ML = 565.487
# Close in the upper half of the liver, wide in the lower: voxels of one size would give 11 % more.
GAPS_MM = (*np.resize([2.0, 1.5], 22), *np.resize([3.0, 4.0, 3.5], 23))
EVEN_HEIGHTS = 250 - 3.0 * np.arange(SHAPE[2])
TILT = np.tan(np.radians(18))


def uneven_heights() -> NDArray[np.float64]:
    return 250 - np.concatenate([[0.0], np.cumsum(GAPS_MM)])


def ellipsoid(heights: NDArray[np.float64], tilt: float) -> NDArray[np.bool_]:
    """(X, Y, Z) whether a voxel of slices at these heights is inside."""
    middle = (heights[0] + heights[-1]) / 2
    centre = np.array([0, 0, middle])
    x = 80 - 2.0 * np.arange(SHAPE[0])[:, None, None]
    y = -70 + 1.5 * np.arange(SHAPE[1])[:, None] + tilt * (heights - middle)
    place = np.stack(np.broadcast_arrays(x, y, heights), axis=-1) - centre
    return ((place / HALF_AXES_MM) ** 2).sum(axis=-1) <= 1


def write_phantom(folder: Path, heights: NDArray[np.float64], tilt: float = 0.0) -> None:
    """An ellipsoid at the top of the window in air, on slices at these heights."""
    image = np.where(ellipsoid(heights, tilt), 250, -1000).astype(np.int16)
    write_ct_series(image, AFFINE, folder)

    def move(dataset: FileDataset, index: int) -> None:
        y = -70 + tilt * (heights[index] - (heights[0] + heights[-1]) / 2)
        dataset.ImagePositionPatient = [-80, round(-y, 6), round(heights[index], 6)]

    edit_slices(folder, move)


@dataclass(frozen=True)
class Done:
    """What a batch has left of one phantom."""

    row: Row
    case: Path

    @property
    def mask(self) -> nib.Nifti1Image:
        return nib.nifti1.load(self.case / "liver.nii.gz")

    def sentences(self, code: str) -> list[str]:
        flags = json.loads((self.case / "report.json").read_text())["flags"]
        return [flag["sentence"] for flag in flags if flag["code"] == code]


# Name, heights, tilt; in one batch, since the network's process takes a while to start.
PHANTOMS = {
    "uneven": (uneven_heights(), 0.0),
    "uneven and tilted": (uneven_heights(), TILT),
    "tilted": (EVEN_HEIGHTS, TILT),
}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Done]:
    """The three phantoms, segmented with --resample-irregular."""
    root = tmp_path_factory.mktemp("uneven")
    folders = []
    for name, (heights, tilt) in PHANTOMS.items():
        folders.append(root / name)
        write_phantom(folders[-1], heights, tilt)
    output = root / "out"
    rows = run_batch(
        folders, output, Segmentation(output, Source(tiny_pipeline)), finding=Finding(True)
    )
    return {
        name: Done(row, output / "cases" / row.case_id)
        for name, row in zip(PHANTOMS, rows, strict=True)
    }


def assert_mask_on_slices(mask: nib.Nifti1Image, wanted: NDArray[np.bool_]) -> None:
    """At most 2 % of the liver's voxels differ, in no slice more than a tenth of the largest."""
    found = np.asanyarray(mask.dataobj) > 0
    assert found.shape == wanted.shape
    wrong = (found ^ wanted).sum(axis=(0, 1))
    assert wrong.sum() <= 0.02 * wanted.sum()
    assert wrong.max() <= 0.1 * wanted.sum(axis=(0, 1)).max()


def test_a_slice_stands_for_half_the_gap_on_either_side() -> None:
    positions = np.array([0.0, 1.0, 3.0, 4.0])
    np.testing.assert_array_equal(local_thickness(positions), [1, 1.5, 1.5, 1])
    np.testing.assert_array_equal(local_thickness(np.arange(5.0)), np.ones(5))


def test_the_regular_grid_is_as_fine_as_the_closest_slices() -> None:
    positions = np.array([0.0, 0.5, 2.0, 3.0])
    # HU that grow by 20 a mean spacing, whatever the spacing is.
    image = np.broadcast_to((20 * positions).astype(np.int16), (3, 4, 4))
    even, affine = even_slices(image, AFFINE, positions, (-100.0, 250.0))
    np.testing.assert_array_equal(even[1, 2], [0, 10, 20, 30, 40, 50, 60])
    assert even.dtype == np.int16
    np.testing.assert_allclose(affine[:3, 2], [0, 0, -1.5])
    np.testing.assert_allclose(affine[:3, 3], AFFINE[:3, 3])


def test_padding_does_not_bleed_into_tissue() -> None:
    positions = np.array([0.0, 0.5, 1.5, 3.0])
    image = np.full((2, 2, 4), 40, np.int16)
    image[:, :, 2] = -2000
    even, _ = even_slices(image, AFFINE, positions, (-100.0, 250.0))
    # At 1.0, half way between 40 and padding that counts as -100.
    assert even[0, 0, 2] == -30


def test_a_pair_of_slices_that_almost_touch_does_not_blow_up_the_grid() -> None:
    positions = np.array([0.0, 0.001, 1.5, 3.0])
    even, affine = even_slices(np.zeros((2, 2, 4), np.int16), AFFINE, positions, (0.0, 1.0))
    assert even.shape == (2, 2, 13)  # four for each of the three gaps
    np.testing.assert_allclose(affine[2, 2] * 12, -9)


@pytest.mark.parametrize("name", PHANTOMS)
def test_the_volume_is_right_to_one_percent(done: dict[str, Done], name: str) -> None:
    assert done[name].row.status == "done", done[name].row
    assert done[name].row.volume_ml == pytest.approx(LIVER_ML, rel=0.01)


@pytest.mark.parametrize("name", PHANTOMS)
def test_report_and_manifest_have_one_spacing(done: dict[str, Done], name: str) -> None:
    row = done[name].row
    geometry = json.loads((done[name].case / "report.json").read_text())["geometry"]
    assert geometry["spacing_mm"] == [row.spacing_x_mm, row.spacing_y_mm, row.spacing_z_mm]
    heights, _ = PHANTOMS[name]
    assert row.spacing_z_mm == pytest.approx(np.ptp(heights) / (SHAPE[2] - 1))


@pytest.mark.parametrize("name", PHANTOMS)
def test_the_mask_lies_on_the_original_slices(done: dict[str, Done], name: str) -> None:
    heights, tilt = PHANTOMS[name]
    assert_mask_on_slices(done[name].mask, ellipsoid(heights, tilt))
    # The step of the files: straight down, and along y as far as the gantry is tilted.
    mean = (heights[0] - heights[-1]) / (SHAPE[2] - 1)
    np.testing.assert_allclose(done[name].mask.affine[:3, 2], [0, -tilt * mean, -mean], atol=1e-5)


def test_uneven_slices_are_flagged_with_the_spacing_of_the_files(done: dict[str, Done]) -> None:
    # 11 * 3.5 + 8 * (3 + 4) + 7 * 3.5 = 119 mm in 45 gaps: 2.64 mm; along the tilt 2.64 / cos 18°
    for name, spacing in (("uneven", "2.64 mm"), ("uneven and tilted", "2.78 mm")):
        (sentence,) = done[name].sentences("IRREGULAR_SPACING")
        assert f"mean spacing, {spacing}" in sentence
        notes = done[name].sentences("NOTE")
        assert "unevenly spaced slices, 1.500 to 4.000 mm apart" in notes
    assert done["tilted"].sentences("IRREGULAR_SPACING") == []


def test_uneven_slices_are_refused_by_default(tmp_path: Path) -> None:
    write_phantom(tmp_path / "dicom", uneven_heights())
    output = tmp_path / "out"
    (row,) = run_batch([tmp_path / "dicom"], output, Segmentation(output, Source(tiny_pipeline)))
    assert (row.status, row.code) == ("rejected", "IRREGULAR_SPACING")
    assert not list(output.glob("cases/*"))


def irregular_code(folder: Path) -> str:
    with found_scans([folder], Finding(True)) as scans:
        (scan,) = scans
        return scan.code


def test_missing_slices_are_refused_all_the_same(tmp_path: Path) -> None:
    write_phantom(tmp_path, 250 - 2.5 * np.delete(np.arange(SHAPE[2] + 2), [20, 21]))
    assert irregular_code(tmp_path) == "MISSING_SLICES"


def test_one_missing_slice_among_slightly_uneven_ones_is_refused(tmp_path: Path) -> None:
    heights = 250 - 2.5 * np.delete(np.arange(SHAPE[2] + 1), 20)
    heights[30:] -= 0.1  # one gap of 2.6 mm beside the one of 5 mm
    write_phantom(tmp_path, heights)
    assert irregular_code(tmp_path) == "MISSING_SLICES"


def test_a_gap_too_wide_to_interpolate_is_refused_all_the_same(tmp_path: Path) -> None:
    heights = uneven_heights()
    heights[20:] -= 9.7
    write_phantom(tmp_path, heights)
    assert irregular_code(tmp_path) == "IRREGULAR_SPACING"


def test_uneven_slices_off_the_line_are_refused_all_the_same(tmp_path: Path) -> None:
    write_phantom(tmp_path, uneven_heights(), TILT)

    def shift(dataset: FileDataset, index: int) -> None:
        if index == 11:
            x, y, z = dataset.ImagePositionPatient
            dataset.ImagePositionPatient = [x, y + 0.5, z]

    edit_slices(tmp_path, shift)
    assert irregular_code(tmp_path) == "IRREGULAR_SPACING"
