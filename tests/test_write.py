"""What is written as DICOM slices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from conftest import AFFINE, small_ct

from liverseg.dicom.write import SeriesHeader, write_ct_series
from liverseg.scans import found_scans, read_scan


def test_a_slice_says_where_it_lies_in_the_patients_lps_system(tmp_path: Path) -> None:
    image, affine = small_ct()
    third = pydicom.dcmread(write_ct_series(image, affine, tmp_path)[2])
    # RAS (95, -83.25, 34.5) and two steps of -3 mm along z; LPS turns the first two signs.
    assert third.ImagePositionPatient == [-95, 83.25, 28.5]
    assert third.ImageOrientationPatient == [1, 0, 0, 0, -1, 0]
    assert third.PixelSpacing == [1.5, 2.0]
    assert (third.Rows, third.Columns) == (32, 40)
    assert third.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian


def test_values_below_air_are_written_with_a_sign(tmp_path: Path) -> None:
    image, affine = small_ct()
    image[0, 0, 0] = -3024
    image[1, 0, 0] = 32767
    write_ct_series(image, affine, tmp_path)
    with found_scans([tmp_path]) as scans:
        np.testing.assert_array_equal(read_scan(scans[0]).image, image)


def test_an_oblique_volume_comes_back_where_it_was(tmp_path: Path) -> None:
    image, _ = small_ct()
    turn = np.eye(4)
    cosine, sine = np.cos(0.3), np.sin(0.3)
    turn[:3, :3] = [[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]]
    write_ct_series(image, turn @ AFFINE, tmp_path)
    with found_scans([tmp_path]) as scans:
        volume = read_scan(scans[0])
    np.testing.assert_array_equal(volume.image, image)
    np.testing.assert_allclose(volume.affine, turn @ AFFINE, atol=1e-9)


def test_a_left_handed_volume_comes_back_with_its_slices_turned_round(tmp_path: Path) -> None:
    image, affine = small_ct()
    affine[:3, 2] *= -1  # DICOM's slices are in order along rows x columns
    write_ct_series(image, affine, tmp_path)
    with found_scans([tmp_path]) as scans:
        volume = read_scan(scans[0])
    np.testing.assert_array_equal(volume.image, image[:, :, ::-1])
    np.testing.assert_allclose(volume.affine @ [0, 0, 11, 1], affine @ [0, 0, 0, 1])


def test_sheared_rows_and_columns_are_refused(tmp_path: Path) -> None:
    image, affine = small_ct()
    affine[0, 1] = 0.2
    with pytest.raises(ValueError, match="right angles"):
        write_ct_series(image, affine, tmp_path)


def test_other_than_int16_volumes_are_refused(tmp_path: Path) -> None:
    image, affine = small_ct()
    with pytest.raises(ValueError, match="int16"):
        write_ct_series(image.astype(np.float32), affine, tmp_path)


def test_identifiers_are_new_ones_unless_the_series_has_its_own(tmp_path: Path) -> None:
    image, affine = small_ct()
    named = SeriesHeader(study_uid="1.2", series_uid="1.2.3")
    written = [
        [pydicom.dcmread(path) for path in write_ct_series(image, affine, tmp_path / name, header)]
        for name, header in (("a", named), ("b", named), ("c", SeriesHeader()))
    ]
    first, again, other = ([dataset.SOPInstanceUID for dataset in each] for each in written)
    assert first == again
    assert len({*first, *other}) == 2 * len(first)
    assert {dataset.SeriesInstanceUID for dataset in written[0]} == {"1.2.3"}
