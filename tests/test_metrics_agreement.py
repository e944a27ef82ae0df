"""Our scores beside those of MedPy, SimpleITK, MONAI and surface-distance, on random shapes."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK
import surface_distance
import torch
from conftest import SPACING_MM
from medpy.metric import binary as medpy
from monai.metrics import (
    compute_average_surface_distance,
    compute_hausdorff_distance,
    compute_surface_dice,
)
from numpy.typing import NDArray
from scipy import ndimage

from liverseg.metrics import scores
from liverseg.surface import surface_distances

AFFINE = np.diag([*SPACING_MM, 1.0])
SEEDS = range(4)
Masks = tuple[NDArray[np.bool_], NDArray[np.bool_]]


def blobs(seed: int) -> Masks:
    """Two random shapes that overlap, of several parts, some of them cut by the image border."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(30, 36, 24))
    fields = [ndimage.gaussian_filter(shared + rng.normal(size=shared.shape), 3) for _ in "ab"]
    return fields[0] > 0.02, fields[1] > 0.03


def noise(seed: int) -> Masks:
    """Two masks that are nearly all border."""
    rng = np.random.default_rng(seed)
    return rng.random((17, 15, 13)) < 0.5, rng.random((17, 15, 13)) < 0.01


@pytest.fixture(params=[*(f"blobs {seed}" for seed in SEEDS), "noise 0"])
def masks(request: pytest.FixtureRequest) -> Masks:
    kind, seed = request.param.split()
    return {"blobs": blobs, "noise": noise}[kind](int(seed))


def test_medpy_says_the_same(masks: Masks) -> None:
    pred, ref = masks
    found = scores(pred, ref, AFFINE)
    assert found.dice == pytest.approx(medpy.dc(pred, ref))
    assert found.voe_percent == pytest.approx(100 * (1 - medpy.jc(pred, ref)))
    assert found.rvd_percent == pytest.approx(100 * medpy.ravd(pred, ref))
    assert found.asd_mm == pytest.approx(medpy.assd(pred, ref, SPACING_MM))
    assert found.msd_mm == pytest.approx(medpy.hd(pred, ref, SPACING_MM))


def test_medpys_95th_percentile_is_of_both_directions_together(masks: Masks) -> None:
    pred, ref = masks
    pooled = surface_distances(pred, ref, AFFINE).both_mm
    assert np.percentile(pooled, 95) == pytest.approx(medpy.hd95(pred, ref, SPACING_MM))


@pytest.mark.parametrize("connectivity", [2, 3])
def test_medpy_says_the_same_of_borders_among_more_neighbours(
    masks: Masks, connectivity: int
) -> None:
    pred, ref = masks
    both = surface_distances(pred, ref, AFFINE, connectivity).both_mm
    expected = medpy.assd(pred, ref, SPACING_MM, connectivity=connectivity)
    assert both.mean() == pytest.approx(expected)


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")  # MONAI's own call
def test_monai_says_the_same(masks: Masks) -> None:
    pred, ref = masks
    pair = [torch.from_numpy(mask)[None, None] for mask in (pred, ref)]
    found = scores(pred, ref, AFFINE)
    symmetric = compute_average_surface_distance(*pair, True, True, spacing=SPACING_MM)
    assert found.asd_mm == pytest.approx(float(symmetric), rel=1e-5)
    hd95 = compute_hausdorff_distance(*pair, True, percentile=95, spacing=SPACING_MM)
    assert found.hd95_mm == pytest.approx(float(hd95), rel=1e-5)
    for tolerance_mm, value in ((1.0, found.nsd_1mm), (2.0, found.nsd_2mm), (3.0, found.nsd_3mm)):
        nsd = compute_surface_dice(*pair, [tolerance_mm], True, spacing=SPACING_MM)
        assert value == pytest.approx(float(nsd), rel=1e-5)


def sitk_images(masks: Masks) -> list[SimpleITK.Image]:
    images = [SimpleITK.GetImageFromArray(mask.astype(np.uint8).T) for mask in masks]
    for image in images:
        image.SetSpacing(SPACING_MM)
    return images


def test_simpleitk_says_the_same_of_overlap_and_volume(masks: Masks) -> None:
    found = scores(*masks, AFFINE)
    measures = SimpleITK.LabelOverlapMeasuresImageFilter()
    pred, ref = sitk_images(masks)
    measures.Execute(ref, pred)  # source, target
    assert found.dice == pytest.approx(measures.GetDiceCoefficient())
    assert found.voe_percent == pytest.approx(100 * (1 - measures.GetJaccardCoefficient()))
    # ITK's volume similarity is 2 (|source| - |target|) / (|source| + |target|).
    difference = found.rvd_percent / 100
    expected = -2 * difference / (2 + difference)
    assert measures.GetVolumeSimilarity() == pytest.approx(expected)


def test_simpleitks_hausdorff_distance_is_of_all_voxels_not_of_borders(masks: Masks) -> None:
    pred, ref = masks
    hausdorff = SimpleITK.HausdorffDistanceImageFilter()
    hausdorff.Execute(*sitk_images(masks))
    to_ref, to_pred = (ndimage.distance_transform_edt(~mask, SPACING_MM) for mask in (ref, pred))
    expected = max(to_ref[pred].max(), to_pred[ref].max())
    assert hausdorff.GetHausdorffDistance() == pytest.approx(expected)


def test_simpleitks_hausdorff_distance_is_ours_when_the_farthest_voxel_is_on_a_border() -> None:
    pred = np.zeros((20, 18, 16), dtype=bool)
    pred[4:10, 5:9, 3:8] = True
    ref = np.roll(pred, (3, 2, 1), (0, 1, 2))
    hausdorff = SimpleITK.HausdorffDistanceImageFilter()
    hausdorff.Execute(*sitk_images((pred, ref)))
    # The corner that is farthest out: 3 x 2, 2 x 1.5 and 1 x 3 mm.
    assert hausdorff.GetHausdorffDistance() == pytest.approx(54**0.5)
    assert scores(pred, ref, AFFINE).msd_mm == pytest.approx(54**0.5)


# The release of 2024 calls scipy by names that are going.
@pytest.mark.filterwarnings("ignore:Please import `:DeprecationWarning")
@pytest.mark.parametrize("seed", SEEDS)
def test_surface_distance_differs_by_its_weights_and_its_corners(seed: int) -> None:
    pred, ref = blobs(seed)
    found = scores(pred, ref, AFFINE)
    assert found.dice == pytest.approx(surface_distance.compute_dice_coefficient(ref, pred))
    theirs = surface_distance.compute_surface_distances(ref, pred, SPACING_MM)
    # Its surface goes through the corners of voxels, half a diagonal from the centres of ours.
    half_diagonal_mm = 0.5 * float(np.linalg.norm(SPACING_MM))
    hd = surface_distance.compute_robust_hausdorff(theirs, 100)
    assert found.msd_mm == pytest.approx(hd, abs=2 * half_diagonal_mm)
    asd = np.mean(surface_distance.compute_average_surface_distance(theirs))
    assert found.asd_mm == pytest.approx(asd, abs=half_diagonal_mm)
    for tolerance_mm, value in ((1, found.nsd_1mm), (2, found.nsd_2mm), (3, found.nsd_3mm)):
        nsd = surface_distance.compute_surface_dice_at_tolerance(theirs, tolerance_mm)
        assert value == pytest.approx(nsd, abs=0.1)
