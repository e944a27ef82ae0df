"""The same voxels at the same places as dcm2niix, wherever it reads correctly."""

from __future__ import annotations

import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from conftest import AFFINE, edit_slices, small_ct
from numpy.typing import NDArray
from pydicom.dataset import FileDataset

from liverseg.dicom.write import write_ct_series
from liverseg.scans import read_scan, scan_at

# dcm2niix stores single precision.
TOLERANCE_MM = 1e-4


@pytest.fixture(scope="session")
def dcm2niix() -> str:
    """The converter; it may be missing on a desk, not where the tests count."""
    found = shutil.which("dcm2niix")
    if found is None:
        missing = "dcm2niix is missing: apt-get install dcm2niix"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return found


def converted(program: str, folder: Path, output: Path) -> nib.Nifti1Image:
    """What dcm2niix makes of a folder; a tilted gantry's second, straightened file is not it."""
    output.mkdir()
    command = [program, "-z", "n", "-b", "n", "-m", "y", "-o", str(output), str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    (path,) = (path for path in output.glob("*.nii") if "_Tilt" not in path.name)
    return nib.nifti1.load(path)


def assert_same_volume(folder: Path, theirs: nib.Nifti1Image) -> None:
    """Both with their axes along R, A, S: dcm2niix turns the rows of a slice around."""
    with scan_at(folder) as scan:
        volume = read_scan(scan)
    ours = nib.as_closest_canonical(nib.Nifti1Image(volume.image, volume.affine))
    theirs = nib.as_closest_canonical(theirs)
    np.testing.assert_array_equal(np.asanyarray(ours.dataobj), theirs.get_fdata())
    np.testing.assert_allclose(ours.affine, theirs.affine, atol=TOLERANCE_MM)


def turned(plane: str) -> NDArray[np.float64]:
    """AFFINE with its slices in another plane or the patient turned around."""
    affine = AFFINE.copy()
    if plane == "coronal":
        affine[:3, :3] = affine[:3, [0, 2, 1]] * [1, 1, -1]
    elif plane == "sagittal":
        affine[:3, :3] = affine[:3, [1, 2, 0]]
    elif plane == "feet first":
        affine[:3, :3] *= [-1, 1, -1]
    elif plane == "oblique":
        cosine, sine = np.cos(0.3), np.sin(0.3)
        affine[:3, :3] = [[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]] @ affine[:3, :3]
    return affine


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal", "feet first", "oblique"])
def test_every_plane_has_the_voxels_of_dcm2niix(tmp_path: Path, dcm2niix: str, plane: str) -> None:
    write_ct_series(small_ct()[0], turned(plane), tmp_path / "dicom")
    theirs = converted(dcm2niix, tmp_path / "dicom", tmp_path / "out")
    assert_same_volume(tmp_path / "dicom", theirs)


def test_a_tilted_gantry_has_the_voxels_of_dcm2niix(tmp_path: Path, dcm2niix: str) -> None:
    affine = AFFINE.copy()
    affine[1, 2] = 3 * np.tan(np.radians(15))
    write_ct_series(small_ct()[0], affine, tmp_path / "dicom")
    theirs = converted(dcm2niix, tmp_path / "dicom", tmp_path / "out")
    assert_same_volume(tmp_path / "dicom", theirs)


def test_rescale_of_twelve_bits_has_the_values_of_dcm2niix(tmp_path: Path, dcm2niix: str) -> None:
    def change(dataset: FileDataset, index: int) -> None:
        dataset.BitsStored, dataset.HighBit = 12, 11
        dataset.RescaleSlope, dataset.RescaleIntercept = 2, -1000

    write_ct_series(*small_ct(), tmp_path / "dicom")
    edit_slices(tmp_path / "dicom", change)
    theirs = converted(dcm2niix, tmp_path / "dicom", tmp_path / "out")
    assert_same_volume(tmp_path / "dicom", theirs)


def test_the_ircad_export_has_the_voxels_of_dcm2niix(
    real_data: Path, tmp_path: Path, dcm2niix: str
) -> None:
    with zipfile.ZipFile(real_data / "ircadb_01" / "dicom.zip") as archive:
        archive.extractall(tmp_path / "dicom")
    theirs = converted(dcm2niix, tmp_path / "dicom", tmp_path / "out")
    assert_same_volume(tmp_path / "dicom", theirs)


def test_siemens_slices_have_the_voxels_of_dcm2niix(
    real_data: Path, tmp_path: Path, dcm2niix: str
) -> None:
    folder = real_data / "siemens_j2k" / "dicom"
    assert_same_volume(folder, converted(dcm2niix, folder, tmp_path / "out"))
