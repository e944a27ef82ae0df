"""Reading a series: HU and places, to the voxel."""

from __future__ import annotations

import copy
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from conftest import AFFINE, edit_slices, small_ct
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence
from pydicom.uid import generate_uid

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


@pytest.mark.parametrize("turn", ["coronal", "sagittal", "feet first", "prone"])
def test_other_planes_and_positions_are_read_exactly(tmp_path: Path, turn: str) -> None:
    image, _ = small_ct()
    affine = AFFINE.copy()
    columns = {"coronal": [0, 2, 1], "sagittal": [1, 2, 0], "feet first": [0, 1, 2]}
    affine[:3, :3] = affine[:3, columns.get(turn, [0, 1, 2])]
    if turn == "prone":
        affine[:3, :2] *= -1
    elif turn == "feet first":
        affine[:3, 0] *= -1
        affine[:3, 2] *= -1
    elif turn == "coronal":
        affine[:3, 2] *= -1  # rows x columns = slices, so that the order stays
    write_ct_series(image, affine, tmp_path)
    volume = read_only(tmp_path)
    np.testing.assert_array_equal(volume.image, image)
    np.testing.assert_allclose(volume.affine, affine, atol=1e-9)


def test_padding_and_values_below_air_stay_as_they_are(tmp_path: Path) -> None:
    image, affine = small_ct()
    image[:5, :5] = -2000
    write_ct_series(image, affine, tmp_path)

    def change(dataset: FileDataset, index: int) -> None:
        dataset.add_new("PixelPaddingValue", "SS", -2000)

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


def enhanced(source: Path, target: Path, *, per_frame_rescale: bool) -> None:
    """The slices of a folder as one enhanced multi-frame CT, frames in a shuffled order."""
    slices = [pydicom.dcmread(path) for path in sorted(source.iterdir())]
    slices = [slices[index] for index in (5, 0, 7, 2, 9, 4, 11, 6, 1, 8, 3, 10)]
    whole = copy.deepcopy(slices[0])
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        delattr(whole, keyword)
    for keyword in ("RescaleSlope", "RescaleIntercept", "RescaleType"):
        delattr(whole, keyword)
    whole.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2.1"
    whole.SOPInstanceUID = generate_uid()
    whole.NumberOfFrames = len(slices)
    whole.PixelData = b"".join(item.PixelData for item in slices)

    def group(**elements: object) -> Sequence:
        item = Dataset()
        for keyword, value in elements.items():
            setattr(item, keyword, value)
        return Sequence([item])

    rescale = {
        "PixelValueTransformationSequence": group(
            RescaleSlope=1, RescaleIntercept=-1024, RescaleType="HU"
        )
    }
    shared = group(
        PixelMeasuresSequence=group(PixelSpacing=slices[0].PixelSpacing),
        PlaneOrientationSequence=group(ImageOrientationPatient=slices[0].ImageOrientationPatient),
        **({} if per_frame_rescale else rescale),
    )
    whole.SharedFunctionalGroupsSequence = shared
    whole.PerFrameFunctionalGroupsSequence = Sequence(
        [
            group(
                PlanePositionSequence=group(ImagePositionPatient=item.ImagePositionPatient),
                **(rescale if per_frame_rescale else {}),
            )[0]
            for item in slices
        ]
    )
    whole.file_meta = slices[0].file_meta
    whole.file_meta.MediaStorageSOPClassUID = whole.SOPClassUID
    whole.file_meta.MediaStorageSOPInstanceUID = whole.SOPInstanceUID
    target.mkdir()
    whole.save_as(target / "enhanced.dcm", enforce_file_format=True)


@pytest.mark.parametrize("per_frame_rescale", [False, True])
@pytest.mark.parametrize("syntax", ["", pydicom.uid.RLELossless])
def test_an_enhanced_multi_frame_ct_is_read_exactly(
    small_dicom: Path, tmp_path: Path, per_frame_rescale: bool, syntax: str
) -> None:
    enhanced(small_dicom, tmp_path / "multi", per_frame_rescale=per_frame_rescale)
    if syntax:
        path = tmp_path / "multi" / "enhanced.dcm"
        dataset = pydicom.dcmread(path)
        dataset.compress(syntax)
        dataset.save_as(path)
    image, affine = small_ct()
    volume = read_only(tmp_path / "multi")
    np.testing.assert_array_equal(volume.image, image)
    np.testing.assert_allclose(volume.affine, affine, atol=1e-9)


def test_a_multi_frame_ct_without_its_groups_is_refused(small_dicom: Path, tmp_path: Path) -> None:
    enhanced(small_dicom, tmp_path / "multi", per_frame_rescale=False)
    path = tmp_path / "multi" / "enhanced.dcm"
    dataset = pydicom.dcmread(path)
    del dataset.PerFrameFunctionalGroupsSequence[3:]
    dataset.save_as(path)
    with found_scans([tmp_path / "multi"]) as scans:
        assert [scan.code for scan in scans] == ["UNSUPPORTED_MULTIFRAME"]


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
