"""Scores: numbers a pencil can check, on a flipped grid of 2 x 1.5 x 3 mm."""

from __future__ import annotations

import math
from dataclasses import asdict

import numpy as np
import pytest
from conftest import AFFINE, SPACING_MM
from numpy.typing import NDArray

from liverseg.metrics import METRICS, SLIVER07_ERRORS, Scores, scores, sliver07_score
from liverseg.surface import surface_distances

VOXEL_ML = 0.009  # 2 x 1.5 x 3 mm
NAN = math.nan


def box(*sides: slice, shape: tuple[int, int, int] = (9, 8, 7)) -> NDArray[np.uint8]:
    mask = np.zeros(shape, dtype=np.uint8)
    mask[sides] = 1
    return mask


def rod(length: int) -> NDArray[np.uint8]:
    """Voxels in a row along x, 2 mm apart: every one of them is on the border."""
    return box(slice(1, 1 + length), slice(3, 4), slice(2, 3))


def test_a_rod_of_five_voxels_against_one_of_three_scores_what_a_pencil_says() -> None:
    # Distances in mm: of the prediction 0 0 0 2 4, of the reference 0 0 0.
    expected = Scores(
        dice=6 / 8,
        voe_percent=40.0,
        rvd_percent=200 / 3,
        asd_mm=6 / 8,
        rmsd_mm=math.sqrt(20 / 8),
        msd_mm=4.0,
        hd95_mm=3.6,  # at 0.95 x 4 of the way through 0 0 0 2 4
        nsd_1mm=6 / 8,
        nsd_2mm=7 / 8,
        nsd_3mm=7 / 8,
        volume_error_ml=2 * VOXEL_ML,
        # VOE and RVD are too large to score; 25 x 0.75 / 1.0, 25 x 1.5811 / 1.8, 25 x 4 / 19
        sliver07_score=(0 + 0 + 81.25 + 78.0398 + 94.7368) / 5,
    )
    found = scores(rod(5), rod(3), AFFINE)
    assert asdict(found) == pytest.approx(asdict(expected), abs=1e-4)


def test_too_small_a_prediction_has_negative_volume_differences() -> None:
    found = scores(rod(3), rod(5), AFFINE)
    assert found.rvd_percent == pytest.approx(-40.0)
    assert found.volume_error_ml == pytest.approx(-2 * VOXEL_ML)
    assert found.hd95_mm == pytest.approx(3.6)


@pytest.mark.parametrize(
    ("step", "distance_mm"),
    [((1, 0, 0), 2.0), ((0, 1, 0), 1.5), ((0, 0, 1), 3.0), ((1, 2, 1), math.sqrt(4 + 9 + 9))],
)
def test_distance_of_two_voxels_takes_each_axis_by_its_own_spacing(
    step: tuple[int, int, int], distance_mm: float
) -> None:
    pred = np.roll(rod(1), step, (0, 1, 2))
    found = scores(pred, rod(1), AFFINE)
    for value in (found.asd_mm, found.rmsd_mm, found.msd_mm, found.hd95_mm):
        assert value == pytest.approx(distance_mm)


def test_tilted_slices_are_measured_along_the_tilt() -> None:
    tilted = np.diag([2.0, 1.5, 3.0, 1.0])
    tilted[1, 2] = 1.0  # each slice is 3 mm higher and 1 mm further forward
    found = scores(np.roll(rod(1), 1, 2), rod(1), tilted)
    assert found.asd_mm == pytest.approx(math.sqrt(10))
    # Against the tilt: a slice up and a row back is 3 mm up and 1 - 1.5 mm forward.
    found = scores(np.roll(rod(1), (1, -1), (2, 1)), rod(1), tilted)
    assert found.asd_mm == pytest.approx(math.sqrt(9.25))
    assert found.volume_error_ml == 0


def test_identical_masks_score_best() -> None:
    mask = box(slice(2, 6), slice(1, 5), slice(2, 6))
    found = scores(mask, mask, AFFINE)
    best = dict.fromkeys(METRICS, 0.0) | dict.fromkeys(("nsd_1mm", "nsd_2mm", "nsd_3mm"), 1.0)
    assert asdict(found) == best | {"dice": 1.0, "sliver07_score": 100.0}


EMPTY = np.zeros((9, 8, 7), dtype=np.uint8)
DISTANCES = ("asd_mm", "rmsd_mm", "msd_mm", "hd95_mm")
NSD = ("nsd_1mm", "nsd_2mm", "nsd_3mm")


@pytest.mark.parametrize(
    ("pred", "ref", "overlap", "nsd", "volume_error_ml", "score"),
    [
        (EMPTY, rod(5), (0.0, 100.0, -100.0), 0.0, -5 * VOXEL_ML, 0.0),
        (rod(5), EMPTY, (0.0, 100.0, NAN), 0.0, 5 * VOXEL_ML, NAN),
        (EMPTY, EMPTY, (NAN, NAN, NAN), NAN, 0.0, NAN),
    ],
    ids=["no prediction", "no reference", "neither"],
)
def test_empty_masks_score_what_the_table_says(
    pred: NDArray[np.uint8],
    ref: NDArray[np.uint8],
    overlap: tuple[float, float, float],
    nsd: float,
    volume_error_ml: float,
    score: float,
) -> None:
    expected = dict(zip(METRICS, overlap, strict=False))
    expected |= dict.fromkeys(DISTANCES, NAN) | dict.fromkeys(NSD, nsd)
    expected |= {"volume_error_ml": volume_error_ml, "sliver07_score": score}
    assert asdict(scores(pred, ref, AFFINE)) == pytest.approx(expected, nan_ok=True)


def test_distance_to_a_mask_that_is_not_there_is_infinite() -> None:
    distances = surface_distances(rod(5), EMPTY, AFFINE)
    assert distances.pred_to_ref_mm.tolist() == [math.inf] * 5
    assert distances.ref_to_pred_mm.size == 0


def test_a_liver_cut_by_the_field_of_view_has_a_border_there() -> None:
    whole = np.ones((3, 3, 3), dtype=np.uint8)
    centre = box(slice(1, 2), slice(1, 2), slice(1, 2), shape=(3, 3, 3))
    distances = surface_distances(whole, centre, AFFINE)
    assert distances.pred_to_ref_mm.size == 26  # all but the voxel in the middle
    assert distances.ref_to_pred_mm == pytest.approx([1.5])
    assert distances.pred_to_ref_mm.max() == pytest.approx(math.sqrt(4 + 2.25 + 9))


def test_voxels_below_an_edge_are_border_only_among_more_neighbours() -> None:
    # A cube of 3 with one edge voxel taken out: its middle then touches the outside by an edge.
    cube = box(slice(2, 5), slice(2, 5), slice(2, 5))
    cube[2, 2, 3] = 0
    counts = [
        surface_distances(cube, cube, AFFINE, connectivity).pred_to_ref_mm.size
        for connectivity in (1, 2, 3)
    ]
    assert counts == [25, 26, 26]


def test_any_value_but_zero_is_liver() -> None:
    values = rod(5) * np.float32(-2.5)
    values[1] *= 3
    assert scores(values, rod(3).astype(bool), AFFINE) == scores(rod(5), rod(3), AFFINE)


def test_axes_in_another_order_or_direction_score_the_same() -> None:
    pred, ref = box(slice(1, 6), slice(2, 5), slice(2, 6)), box(slice(2, 8), slice(3, 6))
    turned = np.array([[0, 0, 2.0, 5], [-1.5, 0, 0, 6], [0, 3.0, 0, 7], [0, 0, 0, 1]])
    turned_masks = [mask.transpose(1, 2, 0)[::-1, :, ::-1] for mask in (pred, ref)]
    found = asdict(scores(turned_masks[0], turned_masks[1], turned))
    assert found == pytest.approx(asdict(scores(pred, ref, AFFINE)))


def test_a_distance_that_single_precision_makes_too_long_is_within_its_tolerance() -> None:
    affine = np.diag([np.float32(0.6), 1.0, 1.0, 1.0]).astype(np.float64)
    assert scores(np.roll(rod(1), 5, 0), rod(1), affine).nsd_3mm == 1  # 5 x 0.60000002 mm


def test_the_error_of_a_second_human_scores_75() -> None:
    assert sliver07_score(SLIVER07_ERRORS) == pytest.approx(75)
    assert sliver07_score({name: -error for name, error in SLIVER07_ERRORS.items()}) == 75
    five_times = {name: 5 * error for name, error in SLIVER07_ERRORS.items()}
    assert sliver07_score(five_times) == 0


def test_masks_on_different_grids_are_both_named() -> None:
    with pytest.raises(ValueError, match="got 9 x 8 x 7 and 9 x 8 x 6 voxels"):
        scores(rod(3), rod(3)[..., :-1], AFFINE)


@pytest.mark.parametrize("name", ["prediction", "reference"])
def test_mask_that_holds_nan_is_named(name: str) -> None:
    masks = {"prediction": rod(3), "reference": rod(3)}
    masks[name] = masks[name].astype(np.float64)
    masks[name][0, 0, 0] = NAN
    with pytest.raises(ValueError, match=rf"{name} should hold finite numbers; 1 of 504 voxels"):
        scores(masks["prediction"], masks["reference"], AFFINE)


@pytest.mark.parametrize(("spacing", "got"), [(0.0, "2 x 0 x 3"), (NAN, "2 x nan x 3")])
def test_spacing_that_is_none_is_refused(spacing: float, got: str) -> None:
    affine = np.diag([SPACING_MM[0], spacing, SPACING_MM[2], 1.0])
    with pytest.raises(ValueError, match=f"above 0 mm in every direction; got {got} mm"):
        scores(rod(3), rod(3), affine)


def test_affine_with_parallel_axes_is_refused() -> None:
    affine = AFFINE.copy()
    affine[:3, 1] = affine[:3, 0]
    with pytest.raises(ValueError, match="two of them are parallel"):
        scores(rod(3), rod(3), affine)
