"""Reading a series: HU and places, to the voxel."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from conftest import edit_slices, phantom, small_ct
from pydicom.dataset import FileDataset

from liverseg.dicom.write import write_ct_series
from liverseg.errors import ScanRejected
from liverseg.scans import Volume, found_scans, read_scan


def read_only(path: Path) -> Volume:
    """The one accepted scan at a path."""
    with found_scans([path]) as scans:
        accepted = [scan for scan in scans if scan.accepted]
        assert len(accepted) == 1
        return read_scan(accepted[0])


def test_a_voxel_keeps_its_place_and_its_hu(small_dicom: Path) -> None:
    image, _ = small_ct()
    volume = read_only(small_dicom)
    assert volume.image.dtype == np.int16
    assert volume.image[7, 3, 2] == image[7, 3, 2]
    # 95 - 2 * 7, -83.25 + 1.5 * 3, 34.5 - 3 * 2
    np.testing.assert_allclose(volume.affine @ [7, 3, 2, 1], [81, -78.75, 28.5, 1])


def test_the_volume_lies_in_memory_as_nifti_stores_it(small_dicom: Path) -> None:
    assert read_only(small_dicom).image.flags.f_contiguous


def test_a_tilted_gantry_gives_a_sheared_affine(tmp_path: Path) -> None:
    image, affine = small_ct()
    affine[1, 2] = 3 * np.tan(np.radians(20))  # 20 degrees: y moves with every 3 mm of z
    write_ct_series(image, affine, tmp_path)
    volume = read_only(tmp_path)
    np.testing.assert_array_equal(volume.image, image)
    np.testing.assert_allclose(volume.affine, affine, atol=1e-9)
    assert volume.notes[-1] == "gantry tilt of 20.0 degrees"


def test_padding_and_values_below_air_stay_as_they_are(tmp_path: Path) -> None:
    image, affine = small_ct()
    image[:5, :5] = -2000
    write_ct_series(image, affine, tmp_path)

    def change(dataset: FileDataset, index: int) -> None:
        dataset.add_new("PixelPaddingValue", "SS", -2000)

    edit_slices(tmp_path, change)
    np.testing.assert_array_equal(read_only(tmp_path).image, image)


def test_hu_that_nothing_declares_are_read_though_a_phantom_has_no_fat(tmp_path: Path) -> None:
    image, affine, _ = phantom()
    write_ct_series(image, affine, tmp_path)

    def change(dataset: FileDataset, index: int) -> None:
        values = np.frombuffer(dataset.PixelData, "<u2").astype(np.int64)
        hu = values * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
        dataset.PixelData = hu.astype("<i2").tobytes()
        dataset.PixelRepresentation = 1
        del dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType

    edit_slices(tmp_path, change)
    np.testing.assert_array_equal(read_only(tmp_path).image, image)


def test_padding_that_does_not_fit_16_bits_becomes_air(small_dicom: Path) -> None:
    def change(dataset: FileDataset, index: int) -> None:
        values = np.frombuffer(dataset.PixelData, "<u2").astype("<i2").copy()
        values[0] = -32768  # with the intercept of -1024: -33792
        dataset.PixelData = values.tobytes()
        dataset.PixelRepresentation = 1
        dataset.add_new("PixelPaddingValue", "US", 0x8000)  # the same bits without a sign

    edit_slices(small_dicom, change)
    image, _ = small_ct()
    volume = read_only(small_dicom)
    assert (volume.image[0, 0] == -1024).all()
    np.testing.assert_array_equal(volume.image[1:], image[1:])


def test_fractions_of_hu_are_rounded_to_the_nearest(small_dicom: Path) -> None:
    def change(dataset: FileDataset, index: int) -> None:
        dataset.RescaleSlope, dataset.RescaleIntercept = "0.25", "-1024.5"
        values = np.full(40 * 32, 4 * 1024, dtype="<u2")  # 1024 - 1024.5 = -0.5, to even: 0
        values[:2] = 4 * 1024 + 3, 4 * 1024 - 1  # 0.25 and -0.75
        dataset.PixelData = values.tobytes()

    edit_slices(small_dicom, change)
    image = read_only(small_dicom).image
    np.testing.assert_array_equal(image[:3, 0, 0], [0, -1, 0])


@pytest.mark.parametrize("spacing_mm", [0.5, 0.625, 0.7, 1.25])
@pytest.mark.parametrize("about", ["no axis", "x, shearing", "x and z"])
def test_positions_with_two_decimals_are_even(
    tmp_path: Path, spacing_mm: float, about: str
) -> None:
    image, affine = small_ct()
    affine[2, 2] = -spacing_mm
    if about == "x, shearing":
        affine[1, 2] = spacing_mm * np.tan(np.radians(20))
    if about == "x and z":
        c, s = np.cos(0.4), np.sin(0.4)
        affine[:3] = [[c, -s, 0], [s, c, 0], [0, 0, 1]] @ affine[:3]
        affine[:3] = [[1, 0, 0], [0, c, -s], [0, s, c]] @ affine[:3]
    image = np.concatenate([image] * 4, axis=2)
    write_ct_series(image, affine, tmp_path)

    def round_positions(dataset: FileDataset, index: int) -> None:
        place = [f"{float(value):.2f}" for value in dataset.ImagePositionPatient]
        dataset.ImagePositionPatient = place

    edit_slices(tmp_path, round_positions)
    volume = read_only(tmp_path)
    np.testing.assert_array_equal(volume.image, image)
    np.testing.assert_allclose(volume.affine, affine, atol=0.006)


def test_slices_whose_directions_differ_by_a_few_ten_thousandths_stay(small_dicom: Path) -> None:
    def turn(dataset: FileDataset, index: int) -> None:
        # The slices lie within 0.0007 of their middle, the first and the last further apart.
        off = {0: 4.5e-4, 11: -7e-4}.get(index, 0)
        dataset.ImageOrientationPatient = [1, off, 0, off, -1, 0]

    edit_slices(small_dicom, turn)
    volume = read_only(small_dicom)
    np.testing.assert_array_equal(volume.image, small_ct()[0])
    assert volume.notes == ()


def test_a_file_that_changes_after_it_was_found_is_refused(small_dicom: Path) -> None:
    with found_scans([small_dicom]) as scans:
        path = small_dicom / "IM0003.dcm"
        path.write_bytes(path.read_bytes()[:-10])
        with pytest.raises(ScanRejected, match=r"TRUNCATED.*IM0003\.dcm"):
            read_scan(scans[0])


def test_lossy_compression_is_said(small_dicom: Path) -> None:
    def change(dataset: FileDataset, index: int) -> None:
        dataset.LossyImageCompression = "01"

    edit_slices(small_dicom, change)
    assert "compressed with loss" in " ".join(read_only(small_dicom).notes)


def test_the_ircad_export_lies_on_its_labels_grid(real_data: Path) -> None:
    volume = read_only(real_data / "ircadb_01" / "dicom.zip")
    label = nib.load(real_data / "ircadb_01" / "liver.nii.gz")
    assert volume.image.shape == label.shape == (512, 512, 129)
    np.testing.assert_allclose(volume.affine, label.affine, atol=1e-5)
    liver = np.asarray(label.dataobj) > 0
    assert np.median(volume.image[liver]) == 112  # data/README.md


def test_siemens_slices_with_blank_identifiers_are_read(real_data: Path) -> None:
    volume = read_only(real_data / "siemens_j2k" / "dicom")
    label = nib.load(real_data / "siemens_j2k" / "totalsegmentator_liver.nii.gz")
    assert volume.image.shape == label.shape == (512, 512, 20)
    # The same grid, its rows counted from the other side: dcm2niix turns them.
    turned = np.diag([1.0, -1.0, 1.0, 1.0])
    turned[1, 3] = 511
    np.testing.assert_allclose(volume.affine @ turned, label.affine, atol=1e-5)
    liver = np.asarray(label.dataobj)[:, ::-1] > 0
    assert 80 < np.median(volume.image[liver]) < 140  # contrast-enhanced liver


def test_of_several_damaged_slices_the_first_is_named(small_dicom: Path) -> None:
    with found_scans([small_dicom]) as scans:
        for name in ("IM0009.dcm", "IM0004.dcm", "IM0011.dcm"):
            path = small_dicom / name
            path.write_bytes(path.read_bytes()[:-10])
        first, last = scans[0].files[0].name, scans[0].files[-1].name
        assert (first, last) == ("IM0001.dcm", "IM0012.dcm")
        with pytest.raises(ScanRejected, match=r"1280 pixels should follow; 1275 in IM0004\.dcm"):
            read_scan(scans[0])


def test_that_no_header_declares_hu_is_said_before_the_pixels_are_read(small_dicom: Path) -> None:
    def undeclared(dataset: FileDataset, index: int) -> None:
        del dataset.RescaleSlope, dataset.RescaleIntercept

    edit_slices(small_dicom, undeclared)
    with found_scans([small_dicom]) as (scan,):
        assert scan.accepted
        assert any("do not say that the values are HU" in note for note in scan.notes)
        with pytest.raises(ScanRejected, match="NO_RESCALE"):
            read_scan(scan)
