"""Masks from files: one grid up to the order and direction of its axes, or a refusal."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from conftest import AFFINE
from numpy.typing import NDArray

from liverseg.masks import read_pair

SHAPE = (9, 8, 7)


def liver() -> NDArray[np.uint8]:
    """A shape that is another one after any flip or exchange of axes."""
    mask = np.zeros(SHAPE, dtype=np.uint8)
    mask[1:6, 2:4, 1:3] = 1
    mask[5, 4:7, 2] = 1
    return mask


def save(path: Path, values: NDArray[np.generic], affine: NDArray[np.float64] = AFFINE) -> Path:
    nib.save(nib.Nifti1Image(values, affine), path)
    return path


@pytest.fixture
def pred(tmp_path: Path) -> Path:
    return save(tmp_path / "pred.nii.gz", liver())


@pytest.mark.parametrize("codes", ["RAS", "LPI", "SAL", "PIR"])
def test_axes_in_another_order_or_direction_are_one_grid(
    pred: Path, tmp_path: Path, codes: str
) -> None:
    image = nib.Nifti1Image(liver(), AFFINE)
    wanted = nib.orientations.axcodes2ornt(codes)
    turn = nib.orientations.ornt_transform(nib.orientations.io_orientation(AFFINE), wanted)
    nib.save(image.as_reoriented(turn), tmp_path / "ref.nii.gz")
    pair = read_pair(pred, tmp_path / "ref.nii.gz")
    assert np.array_equal(pair.pred, liver() == 1)
    assert np.array_equal(pair.ref, liver() == 1)
    assert pair.affine == pytest.approx(AFFINE)


def test_tilted_grid_is_turned_too(tmp_path: Path) -> None:
    tilted = AFFINE.copy()
    tilted[1, 2] = 1.2
    turned = tilted @ nib.orientations.inv_ornt_aff([[0, 1], [1, -1], [2, 1]], SHAPE)
    pair = read_pair(
        save(tmp_path / "p.nii", liver(), tilted),
        save(tmp_path / "r.nii", liver()[:, ::-1], turned),
    )
    assert np.array_equal(pair.ref, liver() == 1)


def test_affines_that_differ_by_rounding_are_one_grid(pred: Path, tmp_path: Path) -> None:
    near = AFFINE.copy()
    near[:3, 3] += 0.05
    assert read_pair(pred, save(tmp_path / "r.nii", liver(), near)).ref.any()


def test_grid_that_lies_beside_is_refused_with_the_distance(pred: Path, tmp_path: Path) -> None:
    beside = AFFINE.copy()
    beside[0, 3] += 2.0
    with pytest.raises(ValueError, match=r"2 x 1\.5 x 3 and 2 x 1\.5 x 3 mm, .* up to 2\.00 mm"):
        read_pair(pred, save(tmp_path / "r.nii", liver(), beside))


def test_grid_of_another_size_is_refused_with_both_sides(pred: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="got 9 x 8 x 7 and 9 x 8 x 6 voxels"):
        read_pair(pred, save(tmp_path / "r.nii", liver()[..., 1:]))


def test_grid_with_another_spacing_is_refused_with_both_sides(pred: Path, tmp_path: Path) -> None:
    thicker = AFFINE @ np.diag([1, 1, 2.0, 1])
    with pytest.raises(ValueError, match=r"2 x 1\.5 x 3 and 2 x 1\.5 x 6 mm"):
        read_pair(pred, save(tmp_path / "r.nii", liver(), thicker))


def test_any_value_but_zero_is_liver_in_the_reference(pred: Path, tmp_path: Path) -> None:
    organs = liver() * np.uint8(5)
    organs[0, 0, 0] = 2
    pair = read_pair(pred, save(tmp_path / "r.nii", organs))
    assert np.array_equal(pair.ref, organs > 0)
    assert pair.ref_values == (2, 5)


def test_chosen_values_are_liver_in_the_reference(pred: Path, tmp_path: Path) -> None:
    organs = liver() * np.uint8(5)
    organs[0, 0, :3] = 2, 7, 7
    pair = read_pair(pred, save(tmp_path / "r.nii", organs), [5, 2])
    assert np.array_equal(pair.ref, np.isin(organs, (5, 2)))


def test_value_that_is_not_there_is_refused_with_those_that_are(pred: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="hold 6 or 7 where the liver is; it holds 1, 2"):
        organs = liver()
        organs[0, 0, 0] = 2
        read_pair(pred, save(tmp_path / "r.nii", organs), [6, 7])


def test_reference_without_any_organ_is_empty_not_refused(pred: Path, tmp_path: Path) -> None:
    assert not read_pair(pred, save(tmp_path / "r.nii", liver() * np.uint8(0)), [5]).ref.any()


def test_prediction_of_several_organs_is_refused(pred: Path, tmp_path: Path) -> None:
    organs = liver() * np.uint8(5)
    organs[0, 0, 0] = 2
    with pytest.raises(ValueError, match="0 and one other value; it also holds 2, 5"):
        read_pair(save(tmp_path / "p.nii", organs), pred)


def test_mask_with_nan_is_refused(pred: Path, tmp_path: Path) -> None:
    values = liver().astype(np.float32)
    values[0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="reference should hold finite numbers"):
        read_pair(pred, save(tmp_path / "r.nii", values))


def test_several_volumes_are_refused_and_one_in_four_dimensions_is_read(
    pred: Path, tmp_path: Path
) -> None:
    assert read_pair(pred, save(tmp_path / "r.nii", liver()[..., None])).ref.any()
    with pytest.raises(ValueError, match=r"should be one volume; its shape is \(9, 8, 7, 2\)"):
        read_pair(pred, save(tmp_path / "r.nii", np.stack([liver()] * 2, axis=-1)))


def test_spacing_of_zero_is_refused_with_the_side_that_has_it(pred: Path, tmp_path: Path) -> None:
    image = nib.Nifti1Image(liver(), AFFINE)
    image.set_sform(np.diag([2.0, 0.0, 3.0, 1.0]), code=1)
    nib.save(image, tmp_path / "r.nii")
    with pytest.raises(ValueError, match=r"reference: .* got 2 x 0 x 3 mm"):
        read_pair(pred, tmp_path / "r.nii")
