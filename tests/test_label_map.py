"""Label maps: read whole, or refused in words that say what is wrong."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from conftest import AFFINE

from liverseg.label_map import read_label_map
from liverseg.masks import read_pair

VALUES = np.random.default_rng(0).integers(0, 3, (40, 38, 30)).astype(np.uint8)


@pytest.fixture(params=["map.nii", "map.nii.gz", "MAP.NII.GZ"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    place: Path = tmp_path / request.param
    nib.save(nib.Nifti1Image(VALUES, AFFINE), place)
    return place


def changed(path: Path, content: bytes) -> Path:
    place = path.with_name("secret." + path.name.partition(".")[2])
    place.write_bytes(content)
    return place


def refusal(path: Path) -> str:
    with pytest.raises(ValueError, match=r"\w") as raised:
        read_label_map(path)
    assert "secret" not in str(raised.value)
    assert "Error" not in str(raised.value)
    return str(raised.value)


def test_whole_file_is_read(path: Path) -> None:
    values, affine = read_label_map(path)
    assert np.array_equal(values, VALUES)
    assert affine == pytest.approx(AFFINE)


def test_file_without_its_end_is_refused(path: Path) -> None:
    assert "ends too early" in refusal(changed(path, path.read_bytes()[:-2000]))


def test_file_of_another_kind_is_refused(path: Path) -> None:
    refusal(changed(path, b"no image at all" * 40))
    refusal(changed(path, b""))


def test_header_that_is_damaged_is_refused(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(VALUES, AFFINE), tmp_path / "map.nii")
    for place, value in ((40, 0xFF), (42, 0x80), (70, 0x77)):  # dim, datatype
        content = bytearray((tmp_path / "map.nii").read_bytes())
        content[place : place + 2] = bytes([value, value])
        refusal(changed(tmp_path / "map.nii", bytes(content)))


@pytest.mark.parametrize("name", ["map.nii.gz", "MAP.NII.GZ"])
def test_compressed_file_with_a_flipped_bit_is_never_another_map(tmp_path: Path, name: str) -> None:
    nib.save(nib.Nifti1Image(VALUES, AFFINE), tmp_path / name)
    content = (tmp_path / name).read_bytes()
    refused = 0
    for place in range(12, len(content) - 8, len(content) // 60):
        damaged = bytearray(content)
        damaged[place] ^= 4
        file = changed(tmp_path / name, bytes(damaged))
        try:
            assert np.array_equal(read_label_map(file)[0], VALUES)
        except ValueError:
            refused += 1
    assert refused > 50


def test_file_that_is_not_there_stays_that(path: Path) -> None:
    path.unlink()
    with pytest.raises(FileNotFoundError):
        read_label_map(path)


def test_mask_that_is_gone_is_refused_like_a_bad_one(path: Path) -> None:
    with pytest.raises(ValueError, match="the reference is not there any more"):
        read_pair(path, path.with_name("gone.nii.gz"))


def test_mask_that_is_damaged_is_refused_with_its_role(path: Path) -> None:
    cut = changed(path, path.read_bytes()[:-2000])
    with pytest.raises(ValueError, match=r"reference should be a whole NIfTI file; .*too early"):
        read_pair(path, cut)
