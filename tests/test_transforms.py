"""The MONAI transforms: what they read, where it lies, and what they refuse."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from conftest import AFFINE, SHAPE, edit_slices, phantom
from monai.data import MetaTensor
from pydicom.dataset import FileDataset

from liverseg.cleaning import KeepLiverd
from liverseg.errors import ScanRejected
from liverseg.scans import Volume, read_scan, scan_at
from liverseg.transforms import (
    LoadLabeld,
    LoadScand,
    ToNetworkGridd,
    ToScanGridd,
)


def label_file(folder: Path, label: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    path = folder / "label.nii.gz"
    nib.save(nib.Nifti1Image(label.astype(np.uint8), affine), path)
    return path


def test_folder_of_dicom_and_nifti_give_the_same_scan(
    phantom_dicom: Path, phantom_nifti: Path
) -> None:
    image, affine, _ = phantom()
    for path in (phantom_dicom, phantom_nifti):
        scan = LoadScand("image")({"image": str(path)})["image"]
        assert scan.dtype == torch.int16
        assert scan.shape == (1, *SHAPE)
        back = nib.as_closest_canonical(nib.Nifti1Image(scan[0].numpy(), scan.affine.numpy()))
        wanted = nib.as_closest_canonical(nib.Nifti1Image(image, affine))
        assert np.array_equal(np.asarray(back.dataobj), np.asarray(wanted.dataobj))
        assert np.allclose(back.affine, wanted.affine, atol=1e-4)


def test_scan_that_has_been_read_is_taken_as_it_is() -> None:
    image, affine, _ = phantom()
    scan = LoadScand("image")({"image": Volume(image, affine, ())})["image"]
    assert np.array_equal(scan[0].numpy(), image)
    assert np.array_equal(scan.affine.numpy(), affine)


def test_path_without_a_scan_is_refused(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("no image")
    with pytest.raises(ScanRejected, match="NOT_CT"):
        LoadScand("image")({"image": str(tmp_path)})
    with pytest.raises(FileNotFoundError):
        LoadScand("image")({"image": str(tmp_path / "absent")})


def test_a_value_that_means_two_organs_is_refused() -> None:
    """Not silently the other organ, so that a training would have no liver to learn."""
    with pytest.raises(ValueError, match=r"should mean one organ; 1 would mean the liver .*\(1,\)"):
        LoadLabeld("label", labels=[1], others=[[1], [2]])
    with pytest.raises(ValueError, match="3 would mean"):
        LoadLabeld("label", labels=[5], others=[[3], [2, 3]])


def test_label_values_of_the_configuration_become_liver(tmp_path: Path) -> None:
    image, affine, liver = phantom()
    values = np.where(liver > 0, 5, 7)
    values[:4] = 6
    path = label_file(tmp_path, values)
    data = {"image": LoadScand("image")({"image": Volume(image, affine, ())})["image"]}
    label = LoadLabeld("label", labels=[5, 6])({**data, "label": str(path)})["label"]
    expected = liver.copy()
    expected[:4] = 1
    assert label.dtype == torch.uint8
    assert np.array_equal(label[0].numpy(), expected)


def test_label_on_another_grid_is_refused_with_both_sides(tmp_path: Path) -> None:
    image, affine, liver = phantom()
    data = LoadScand("image")({"image": Volume(image, affine, ())})
    short = label_file(tmp_path, liver[:, :, :-1])
    with pytest.raises(ValueError, match=r"\(96, 112, 24\); it has \(96, 112, 23\)"):
        LoadLabeld("label", labels=[1])({**data, "label": str(short)})
    moved = affine.copy()
    moved[2, 3] += 3.0
    away = label_file(tmp_path, liver, moved)
    with pytest.raises(ValueError, match=r"3\.00 mm away"):
        LoadLabeld("label", labels=[1])({**data, "label": str(away)})


def test_label_without_liver_says_what_it_holds(tmp_path: Path) -> None:
    image, affine, liver = phantom()
    data = LoadScand("image")({"image": Volume(image, affine, ())})
    path = label_file(tmp_path, liver * 2)
    with pytest.raises(ValueError, match=r"label\.nii\.gz should hold 5 .*; it holds 0, 2"):
        LoadLabeld("label", labels=[5])({**data, "label": str(path)})


@pytest.mark.parametrize("content", [b"no image", b"\x1f\x8b broken", b""])
def test_label_that_cannot_be_read_is_named(tmp_path: Path, content: bytes) -> None:
    image, affine, _ = phantom()
    data = LoadScand("image")({"image": Volume(image, affine, ())})
    path = tmp_path / "bad.nii.gz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"bad\.nii\.gz should be a whole NIfTI label"):
        LoadLabeld("label", labels=[5])({**data, "label": str(path)})


def test_refused_training_image_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bad.nii.gz"
    path.write_bytes(b"no image")
    with pytest.raises(ScanRejected, match=r"\(bad\.nii\.gz\)"):
        LoadScand("image")({"image": str(path)})


def test_mask_of_the_network_comes_back_onto_the_scan() -> None:
    image, affine, liver = phantom()
    data = LoadScand("image")({"image": Volume(image, affine, ())})
    data = ToNetworkGridd("image", spacing_mm=[3, 3, 3], window=[-100, 250])(data)
    assert float(data["image"].min()) == 0.0
    assert float(data["image"].max()) == 1.0
    # The liver is 110 HU, its surroundings 40: a logit that a threshold at 75 HU gives.
    logit = (data["image"] - (75 + 100) / 350) * (data["image"] < 0.8)
    for pred in (logit, torch.cat([torch.zeros_like(logit), logit])):
        mask = ToScanGridd("pred")({**data, "pred": pred})["pred"]
        mask = KeepLiverd("pred")({"pred": mask})["pred"]
        assert mask.shape == (1, *SHAPE)
        assert np.allclose(mask.affine.numpy(), affine)
        overlap = 2 * (mask[0].numpy() & liver).sum() / (mask.sum() + liver.sum())
        assert float(overlap) > 0.95


def test_own_spacing_of_a_scan_leaves_its_voxels_as_they_are() -> None:
    image, affine, _ = phantom()
    turned = np.ascontiguousarray(image.transpose(2, 0, 1))  # axes S, R, A
    scan = MetaTensor(torch.from_numpy(turned)[None], affine=affine[:, [2, 0, 1, 3]])
    step = ToNetworkGridd("image", spacing_mm=None, window=(-100, 250))
    found = step({"image": scan})["image"]
    straight = torch.from_numpy(image[::-1, :, ::-1].copy())  # R and S now rise with the index
    expected = (straight.float().clamp(-100, 250) + 100) / 350
    assert torch.allclose(found.as_tensor()[0], expected, atol=1e-6)
    assert found.affine[:3, :3].diagonal().tolist() == pytest.approx([2.0, 1.5, 3.0])


def test_cleaning_says_what_it_removed() -> None:
    mask = torch.zeros(1, 10, 10, 10, dtype=torch.uint8)
    mask[0, :3, :3, :3] = 1  # 27 voxels
    mask[0, 6:7, 6:9, 6:7] = 1  # 3 voxels
    meta = KeepLiverd("pred")({"pred": mask})["pred"].meta
    assert meta["components"] == 2
    assert meta["removed_share"] == pytest.approx(0.1)


@pytest.mark.parametrize(("least_ml", "kept"), [(0.0, 27), (0.7, 27), (0.8, 0)])
def test_component_too_small_for_a_liver_is_none(least_ml: float, kept: int) -> None:
    """27 voxels of 27 mm3 are 0.729 ml."""
    mask = torch.zeros(1, 10, 10, 10, dtype=torch.uint8)
    mask[0, :3, :3, :3] = 1
    item = MetaTensor(mask, affine=torch.diag(torch.tensor([-3.0, 3.0, 3.0, 1.0])))
    cleaned = KeepLiverd("pred", least_ml)({"pred": item})["pred"]
    assert int(cleaned.sum()) == kept
    assert cleaned.meta["components"] == 1
    assert cleaned.meta["removed_share"] == (0.0 if kept else 1.0)


def test_bright_padding_is_air_for_the_network_and_stays_in_the_scan(phantom_dicom: Path) -> None:
    def pad(dataset: FileDataset, index: int) -> None:
        values = np.frombuffer(dataset.PixelData, "<u2").copy()
        values[:200] = 4095
        dataset.PixelData = values.tobytes()
        dataset.add_new("PixelPaddingValue", "US", 4095)

    edit_slices(phantom_dicom, pad)
    with scan_at(phantom_dicom) as scan:
        volume = read_scan(scan)
    assert (volume.image == 3071).sum() == 200 * SHAPE[2]
    assert "padding of 3071 HU was taken for air" in volume.notes
    loaded = LoadScand("image")({"image": volume})["image"].numpy()[0]
    assert np.array_equal(loaded == -1024, volume.image == 3071)


def test_padding_that_may_be_tissue_is_left_as_it_is(phantom_dicom: Path) -> None:
    edit_slices(
        phantom_dicom, lambda dataset, index: dataset.add_new("PixelPaddingValue", "US", 1064)
    )
    with scan_at(phantom_dicom) as scan:
        volume = read_scan(scan)
    loaded = LoadScand("image")({"image": volume})["image"].numpy()[0]
    assert np.array_equal(loaded, volume.image)
