"""Files are whole or absent, private from creation on, and hold what they were given."""

from __future__ import annotations

import gzip
import math
import stat
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from liverseg.outputs import whole_file, write_json, write_nifti, write_text

AFFINE = np.array([[-2.0, 0, 0, 50], [0, 1.5, 0, -40], [0, 0, 3.0, 100], [0, 0, 0, 1]])


def test_file_that_fails_half_way_leaves_the_older_one(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), whole_file(path) as stream:
        stream.write(b"ne")
        raise KeyboardInterrupt
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "old"


def test_private_file_is_private_while_it_is_written(tmp_path: Path) -> None:
    with whole_file(tmp_path / "a.csv", 0o600) as stream:
        stream.write(b"secret")
        (part,) = tmp_path.iterdir()
        assert stat.S_IMODE(part.stat().st_mode) == 0o600
    write_text(tmp_path / "a.csv", "again", 0o600)
    assert stat.S_IMODE((tmp_path / "a.csv").stat().st_mode) == 0o600


def test_json_has_no_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"mean_hu": math.nan})
    assert not list(tmp_path.iterdir())


def test_nifti_holds_every_value_of_int16_unscaled(tmp_path: Path) -> None:
    image = np.linspace(-32768, 32767, 4 * 5 * 6).round().astype(np.int16).reshape(4, 5, 6)
    write_nifti(tmp_path / "a.nii.gz", image, AFFINE)
    read = nib.load(tmp_path / "a.nii.gz")
    assert read.get_data_dtype() == np.int16
    assert np.array_equal(np.asarray(read.dataobj), image)
    assert (int(read.header["sform_code"]), int(read.header["qform_code"])) == (1, 1)
    assert np.array_equal(read.get_qform(), AFFINE)


def test_sheared_grid_is_kept_in_the_sform_alone(tmp_path: Path) -> None:
    affine = AFFINE.copy()
    affine[1, 2] = 0.75
    write_nifti(tmp_path / "a.nii.gz", np.zeros((4, 5, 6), np.uint8), affine)
    read = nib.load(tmp_path / "a.nii.gz")
    assert np.array_equal(read.affine, affine)
    assert int(read.header["qform_code"]) == 0


def test_same_mask_gives_the_same_bytes(tmp_path: Path) -> None:
    mask = np.ones((4, 5, 6), np.uint8)
    for name in ("a.nii.gz", "b.nii.gz"):
        write_nifti(tmp_path / name, mask, AFFINE)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_a_nifti_is_a_gzip_file_as_others_read_it_and_the_same_each_time(tmp_path: Path) -> None:
    mask = np.zeros((30, 20, 10), np.uint8)
    mask[4:9, 3:8, 2:7] = 1
    files = [tmp_path / name for name in ("one.nii.gz", "two.nii.gz")]
    for path in files:
        write_nifti(path, mask, np.diag([0.7, 0.8, 2.5, 1.0]))
    one, two = (path.read_bytes() for path in files)
    assert one == two
    assert one[4:8] == bytes(4)  # no time
    assert gzip.decompress(one)[352:] == mask.tobytes(order="F")
