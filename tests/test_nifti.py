"""NIfTI: the header decides, then the data is read as HU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from conftest import AFFINE, small_ct
from wrapped import both_absent, field, qform_only, voxel_size, write_nifti

from liverseg.errors import ScanRejected
from liverseg.nifti import read_nifti, read_nifti_header


@pytest.mark.parametrize("name", ["ct.nii", "ct.nii.gz"])
@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32, np.float64, ">i2"])
def test_every_number_type_is_read_exactly(tmp_path: Path, name: str, dtype: Any) -> None:
    image, _ = small_ct()
    read, affine, _ = read_nifti(write_nifti(tmp_path / name, image.astype(dtype)))
    np.testing.assert_array_equal(read, image)
    np.testing.assert_array_equal(affine, AFFINE)
    assert read.dtype == np.int16
    assert read.flags.f_contiguous


def test_nifti_2_is_read(tmp_path: Path) -> None:
    image, _ = small_ct()
    nib.save(nib.Nifti2Image(image, AFFINE), tmp_path / "two.nii.gz")
    np.testing.assert_array_equal(read_nifti(tmp_path / "two.nii.gz")[0], image)


def test_scaled_values_are_hu(tmp_path: Path) -> None:
    def change(header: Any) -> None:
        header["scl_slope"], header["scl_inter"] = 2, -125

    stored = np.full((10, 9, 8), 100, dtype=np.uint8)
    stored[0, 0, 0] = 200
    stored[2, 0, 0] = 0
    image = read_nifti(write_nifti(tmp_path / "ct.nii.gz", stored, change))[0]
    assert image[0, 0, 0] == 275  # 2 * 200 - 125
    assert image[1, 0, 0] == 75


def test_an_axis_of_one_volume_is_dropped(tmp_path: Path) -> None:
    image, _ = small_ct()
    assert read_nifti(write_nifti(tmp_path / "ct.nii", image[..., None]))[0].shape == image.shape


def test_the_header_gives_spacing_and_shape(tmp_path: Path) -> None:
    header = read_nifti_header(write_nifti(tmp_path / "ct.nii", small_ct()[0]))
    assert header.shape == (40, 32, 12)
    assert header.spacing_mm == (2.0, 1.5, 3.0)


def quaternion(**fields: Any) -> Callable[[Any], None]:
    """A header with a qform alone, and other fields."""

    def change(header: Any) -> None:
        qform_only(header)
        for name, value in fields.items():
            header[name] = value

    return change


def mirrored(header: Any) -> None:
    """A header whose forms have left and right the other way round."""
    header.set_qform(AFFINE, 1)
    header["srow_x"] = [2, 0, 0, 95]


BAD_HEADERS: dict[str, tuple[Callable[[Any], None], str]] = {
    "neither qform nor sform": (both_absent, "BAD_NIFTI"),
    "a spacing of zero": (voxel_size(0), "BAD_NIFTI"),
    "a negative spacing": (voxel_size(-3), "BAD_NIFTI"),
    "a spacing that is no number": (voxel_size(np.nan), "BAD_NIFTI"),
    "a spacing other than the affine's": (voxel_size(4), "BAD_NIFTI"),
    "metres": (field("xyzt_units", 1), "BAD_NIFTI"),
    "microns": (field("xyzt_units", 3), "BAD_NIFTI"),
    "colours": (field("datatype", 128), "BAD_NIFTI"),
    "complex numbers": (field("datatype", 32), "BAD_NIFTI"),
    "an affine without an inverse": (field("srow_z", [0, 0, 0, 0]), "BAD_NIFTI"),
    "a quaternion that is none": (quaternion(quatern_b=0.9, quatern_c=0.9), "BAD_NIFTI"),
    "a quaternion that is no number": (quaternion(quatern_b=np.nan), "BAD_NIFTI"),
    "a handedness of 3": (quaternion(pixdim=[3, 2, 1.5, 3, 1, 1, 1, 1]), "BAD_NIFTI"),
    "a qform that mirrors the sform": (mirrored, "BAD_NIFTI"),
    "three volumes": (field("dim", [4, 40, 32, 4, 3, 1, 1, 1]), "BAD_NIFTI"),
    "a negative dimension": (field("dim", [3, 40, -32, 12, 1, 1, 1, 1]), "BAD_NIFTI"),
    "a plane": (field("dim", [2, 40, 32, 1, 1, 1, 1, 1]), "TOO_FEW_SLICES"),
    "seven slices": (field("dim", [3, 40, 32, 7, 1, 1, 1, 1]), "TOO_FEW_SLICES"),
    "more voxels than the file": (field("dim", [3, 40, 32, 13, 1, 1, 1, 1]), "TRUNCATED"),
    "too many voxels": (field("dim", [3, 2000, 2000, 2000, 1, 1, 1, 1]), "TOO_LARGE"),
    "voxels within the header": (field("vox_offset", 0), "BAD_NIFTI"),
    "voxels at no number": (field("vox_offset", np.nan), "BAD_NIFTI"),
    "no magic": (field("magic", b"x"), "BAD_NIFTI"),
}


@pytest.mark.parametrize("name", BAD_HEADERS)
def test_a_bad_header_is_refused_with_its_code(tmp_path: Path, name: str) -> None:
    change, code = BAD_HEADERS[name]
    path = write_nifti(tmp_path / "ct.nii", small_ct()[0], change)
    with pytest.raises(ScanRejected) as raised:
        read_nifti_header(path)
    assert raised.value.code == code


def test_a_qform_alone_is_read_and_no_handedness_is_the_usual_one(tmp_path: Path) -> None:
    read = read_nifti_header(write_nifti(tmp_path / "q.nii", small_ct()[0], quaternion()))
    np.testing.assert_allclose(read.affine, AFFINE, atol=1e-6)
    right = np.diag([2, 1.5, 3, 1.0])

    def without_handedness(header: Any) -> None:
        header.set_qform(right, 1)
        header["sform_code"] = 0
        header["pixdim"][0] = 0

    read = read_nifti_header(write_nifti(tmp_path / "0.nii", small_ct()[0], without_handedness))
    np.testing.assert_allclose(read.affine, right, atol=1e-6)


def test_a_void_sform_gives_way_to_the_qform(tmp_path: Path) -> None:
    def change(header: Any) -> None:
        header.set_qform(AFFINE, 1)
        for row in ("srow_x", "srow_y", "srow_z"):
            header[row] = 0

    _, affine, notes = read_nifti(write_nifti(tmp_path / "ct.nii", small_ct()[0], change))
    np.testing.assert_allclose(affine, AFFINE, atol=1e-6)
    assert notes == ("the sform is void; the qform was used",)


def test_a_qform_that_differs_from_the_sform_is_noted(tmp_path: Path) -> None:
    def change(header: Any) -> None:
        header.set_qform(AFFINE, 1)
        header["qoffset_x"] = 97

    _, affine, notes = read_nifti(write_nifti(tmp_path / "ct.nii", small_ct()[0], change))
    np.testing.assert_array_equal(affine, AFFINE)
    assert notes == ("qform and sform differ; sform was used",)


@pytest.mark.parametrize(
    "values",
    [
        (small_ct()[0] > 100).astype(np.uint8),
        ((small_ct()[0] + 1024) / 4096).astype(np.float32),
        (small_ct()[0] + 1024).astype(np.uint16),
    ],
    ids=["a label map", "from 0 to 1", "off by 1024"],
)
def test_a_volume_with_nothing_below_zero_is_no_hu(tmp_path: Path, values: Any) -> None:
    path = write_nifti(tmp_path / "ct.nii", values)
    with pytest.raises(ScanRejected, match=r"HU_IMPLAUSIBLE.*below 0"):
        read_nifti(path)


def test_values_without_bounds_are_said_shortly(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "ct.nii", np.full((10, 9, 8), 1e300))
    with pytest.raises(ScanRejected, match=r"got 1e\+300 to 1e\+300 in slice 1"):
        read_nifti(path)


def test_a_small_file_of_zeros_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "zeros.nii.gz", np.zeros((300, 300, 40), dtype=np.int16))
    with pytest.raises(ScanRejected, match="TOO_LARGE"):
        read_nifti_header(path)


@pytest.mark.parametrize(("cut", "code"), [(-2000, "TRUNCATED"), (-4, "TRUNCATED")])
def test_a_cut_gzip_is_refused(tmp_path: Path, cut: int, code: str) -> None:
    path = write_nifti(tmp_path / "ct.nii.gz", small_ct()[0])
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ScanRejected) as raised:
        read_nifti(path)
    assert raised.value.code == code


def test_a_gzip_with_a_wrong_checksum_is_refused(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "ct.nii.gz", small_ct()[0])
    content = bytearray(path.read_bytes())
    content[-8] ^= 0xFF  # the first byte of the CRC
    path.write_bytes(content)
    with pytest.raises(ScanRejected, match="CORRUPT"):
        read_nifti(path)


@pytest.mark.parametrize(
    ("value", "code"), [(np.nan, "BAD_NIFTI"), (np.inf, "BAD_NIFTI"), (1e6, "HU_IMPLAUSIBLE")]
)
def test_values_that_are_no_hu_are_refused(tmp_path: Path, value: float, code: str) -> None:
    image = small_ct()[0].astype(np.float32)
    image[3, 4, 5] = value
    path = write_nifti(tmp_path / "ct.nii", image)
    with pytest.raises(ScanRejected, match="slice 6") as raised:
        read_nifti(path)
    assert raised.value.code == code


@pytest.mark.parametrize("content", [b"", b"text, no image" * 40, b"\x1f\x8bnonsense" * 40])
def test_what_only_has_the_name_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "ct.nii.gz").write_bytes(content)
    with pytest.raises(ScanRejected) as raised:
        read_nifti_header(tmp_path / "ct.nii.gz")
    assert raised.value.code in ("BAD_NIFTI", "TRUNCATED", "CORRUPT")


def test_a_windowed_ct_is_read_as_it_is(real_data: Path) -> None:
    image, affine, _ = read_nifti(real_data / "btcv" / "btcv_0005_ct.nii.gz")
    reference = nib.load(real_data / "btcv" / "btcv_0005_ct.nii.gz")
    assert (image.min(), image.max()) == (-125, 275)
    np.testing.assert_array_equal(image[::8, ::8], np.asarray(reference.dataobj)[::8, ::8])
    np.testing.assert_array_equal(affine, reference.affine)
