"""Measurements on masks that a pencil can check."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from liverseg.report.flags import Found, flags_of
from liverseg.report.qc import Quality, bounding_box, measure, rounded, volume_ml

# LAS: the first axis points to the patient's left, 2.0 x 1.5 x 3.0 mm: 9 mm3 a voxel.
AFFINE = np.array([[-2.0, 0, 0, 50], [0, 1.5, 0, -40], [0, 0, 3.0, 100], [0, 0, 0, 1]])


def box_mask(
    shape: tuple[int, int, int], start: tuple[int, ...], stop: tuple[int, ...]
) -> np.ndarray:
    mask = np.zeros(shape, np.uint8)
    mask[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))] = 1
    return mask


def test_volume_is_the_voxel_count_times_the_voxel_volume() -> None:
    # 4 x 5 x 6 = 120 voxels of 9 mm3 = 1080 mm3 = 1.08 ml
    mask = box_mask((10, 12, 14), (3, 3, 3), (7, 8, 9))
    quality = measure(np.zeros(mask.shape, np.int16), mask, AFFINE)
    assert quality.volume_ml == pytest.approx(1.08, abs=1e-12)


def test_volume_on_a_tilted_grid_is_not_the_product_of_the_spacings() -> None:
    # Sheared by 4 mm a slice: the slice vector is (0, 4, 3), 5 mm long, but the slices are 3 mm
    # apart: 1000 voxels of 2 x 1.5 x 3 mm3 = 9 ml, not 2 x 1.5 x 5 mm3 = 15 ml.
    affine = AFFINE.copy()
    affine[1, 2] = 4.0
    assert volume_ml(1000, affine) == pytest.approx(9.0, abs=1e-12)


def test_hounsfield_statistics_are_of_the_voxels_inside() -> None:
    mask = box_mask((4, 4, 4), (1, 1, 1), (3, 2, 3))
    image = np.full((4, 4, 4), -1000, np.int16)
    image[1, 1, 1], image[2, 1, 1], image[1, 1, 2], image[2, 1, 2] = 10, 20, 30, 100
    quality = measure(image, mask, AFFINE)
    # mean 160 / 4; median of 10 20 30 100; deviations 30 20 10 60: (900+400+100+3600)/4 = 1250
    assert (quality.mean_hu, quality.median_hu) == (40.0, 25.0)
    assert quality.std_hu == pytest.approx(math.sqrt(1250.0))


def test_extent_is_voxels_times_spacing_along_each_axis() -> None:
    mask = box_mask((10, 12, 14), (3, 3, 3), (7, 8, 9))
    mask[5, 5, 5] = 0
    quality = measure(np.zeros(mask.shape, np.int16), mask, AFFINE)
    assert quality.extent_mm == (8.0, 7.5, 18.0)


@pytest.mark.parametrize(
    ("start", "stop", "sides"),
    [
        ((0, 3, 3), (5, 8, 9), ("right",)),
        ((3, 3, 3), (10, 8, 9), ("left",)),
        ((3, 0, 3), (5, 8, 9), ("posterior",)),
        ((3, 3, 3), (5, 12, 9), ("anterior",)),
        ((3, 3, 0), (5, 8, 9), ("inferior",)),
        ((3, 3, 3), (5, 8, 14), ("superior",)),
        ((3, 3, 3), (5, 8, 9), ()),
    ],
)
def test_touched_side_is_named_in_patient_terms(
    start: tuple[int, ...], stop: tuple[int, ...], sides: tuple[str, ...]
) -> None:
    mask = box_mask((10, 12, 14), start, stop)
    quality = measure(np.zeros(mask.shape, np.int16), mask, AFFINE)
    assert quality.touches_border == sides
    assert ("CUT_BY_FIELD_OF_VIEW" in [flag.code for flag in quality.flags]) == bool(sides)


def test_touched_side_follows_a_coronal_affine() -> None:
    # Array axes towards R, I, A: the end of the second axis is inferior.
    affine = np.array([[2.0, 0, 0, 0], [0, 0, 3.0, 0], [0, -1.5, 0, 0], [0, 0, 0, 1]])
    mask = box_mask((10, 12, 14), (3, 3, 3), (5, 12, 9))
    quality = measure(np.zeros(mask.shape, np.int16), mask, affine)
    assert quality.touches_border == ("inferior",)


def test_no_liver_is_a_result_with_undefined_hounsfield_units() -> None:
    mask = np.zeros((4, 5, 6), np.uint8)
    quality = measure(np.zeros(mask.shape, np.int16), mask, AFFINE)
    assert quality.volume_ml == 0.0
    assert math.isnan(quality.mean_hu)
    assert [flag.code for flag in quality.flags] == ["NO_LIVER"]
    written = json.loads(json.dumps(quality.as_json(), allow_nan=False))
    assert written["mean_hu"] is None
    assert written["volume_ml"] == 0.0
    assert written["extent_mm"] == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("edge_voxels", "flagged"), [((37, 30, 50), True), ((40, 35, 60), False), ((90, 90, 56), True)]
)
def test_implausible_volume_is_flagged(edge_voxels: tuple[int, int, int], flagged: bool) -> None:
    # 55500 x 9 mm3 = 499.5 ml; 84000 x 9 mm3 = 756 ml; 453600 x 9 mm3 = 4082.4 ml
    stop = tuple(length + 1 for length in edge_voxels)
    mask = box_mask(tuple(length + 2 for length in edge_voxels), (1, 1, 1), stop)  # type: ignore[arg-type]
    quality = measure(np.zeros(mask.shape, np.int16), mask, AFFINE)
    assert ("IMPLAUSIBLE_VOLUME" in [flag.code for flag in quality.flags]) == flagged


def test_notes_and_components_are_passed_on() -> None:
    mask = np.zeros((4, 5, 6), np.uint8)
    quality = measure(
        np.zeros(mask.shape, np.int16),
        mask,
        AFFINE,
        found=Found(components=3),
        notes=["2 localizers left out"],
    )
    assert quality.components == 3
    assert (quality.flags[-1].code, quality.flags[-1].sentence) == ("NOTE", "2 localizers left out")


@pytest.mark.parametrize(
    ("sentence", "code"),
    [
        ("the images were compressed with loss", "LOSSY"),
        ("the images may have been compressed with loss", "MAYBE_LOSSY"),
        ("a reformatted series (MPR)", "REFORMATTED"),
        ("gantry tilt of 20.0 degrees", "TILTED"),
        ("2 localizers were left out", "NOTE"),
    ],
)
def test_note_that_a_list_should_hold_has_a_code(sentence: str, code: str) -> None:
    assert [(flag.code, flag.sentence) for flag in flags_of([sentence])] == [(code, sentence)]


def test_numbers_are_rounded_to_two_decimals_and_nan_to_none() -> None:
    assert rounded(1489.12499) == 1489.12
    assert rounded(math.nan) is None


def test_bounding_box_of_an_empty_mask_is_none() -> None:
    assert bounding_box(np.zeros((2, 3, 4), np.uint8)) is None


def test_mask_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(4, 5, 6\); got \(4, 5, 7\)"):
        measure(np.zeros((4, 5, 6), np.int16), np.zeros((4, 5, 7), np.uint8), AFFINE)


def codes(quality: Quality) -> set[str]:
    return {flag.code for flag in quality.flags}


def test_border_contact_is_the_area_on_each_side() -> None:
    # Voxels of 2.0 x 1.5 x 3.0 mm; the mask is 4 x 5 x 6 voxels in a corner of the scan.
    mask = box_mask((10, 12, 14), (0, 0, 8), (4, 5, 14))
    quality = measure(np.full(mask.shape, 60, np.int16), mask, AFFINE)
    # To the patient's left is the first axis' end: index 0 is the right side, 5 x 6 x 1.5 x 3 mm2
    # = 1.35 cm2; posterior 4 x 6 x 2 x 3 = 1.44 cm2; superior 4 x 5 x 2 x 1.5 = 0.6 cm2.
    assert dict(quality.border_contact_cm2) == pytest.approx(
        {"right": 1.35, "posterior": 1.44, "superior": 0.6}
    )
    assert quality.touches_border == tuple(side for side, _ in quality.border_contact_cm2)
    assert "CUT_BY_FIELD_OF_VIEW" in codes(quality)
    assert quality.as_json()["border_contact_cm2"]["right"] == 1.35


@pytest.mark.parametrize(("hu", "flagged"), [(39, True), (40, False), (-5, True)])
def test_low_attenuation_is_flagged_with_its_caveat(hu: int, flagged: bool) -> None:
    mask = box_mask((10, 12, 14), (3, 3, 3), (7, 8, 9))
    quality = measure(np.full(mask.shape, hu, np.int16), mask, AFFINE)
    sentences = [flag.sentence for flag in quality.flags if flag.code == "LOW_ATTENUATION"]
    assert bool(sentences) is flagged
    assert all("contrast was given is not known" in sentence for sentence in sentences)


@pytest.mark.parametrize("disagreement", [0.0, 0.9, math.nan])
def test_disagreement_is_a_number_and_no_flag(disagreement: float) -> None:
    mask = box_mask((10, 12, 14), (3, 3, 3), (7, 8, 9))
    image = np.full(mask.shape, 100, np.int16)
    quality = measure(image, mask, AFFINE, found=Found(1, 0.0, disagreement))
    assert quality.flags == measure(image, mask, AFFINE).flags


@pytest.mark.parametrize(
    ("found", "flagged"),
    [
        (Found(3, 0.05), True),
        (Found(3, 0.009), False),
        (Found(1, 0.05), False),
        (Found(None, None), False),
    ],
)
def test_pieces_that_were_removed_are_flagged_when_they_count(found: Found, flagged: bool) -> None:
    mask = box_mask((10, 12, 14), (3, 3, 3), (7, 8, 9))
    quality = measure(np.full(mask.shape, 60, np.int16), mask, AFFINE, found=found)
    assert ("SEVERAL_COMPONENTS" in codes(quality)) is flagged
    assert quality.as_json()["removed_share"] == found.removed_share


def test_what_is_not_known_is_null_in_the_report() -> None:
    mask = np.zeros((4, 5, 6), np.uint8)
    report = measure(np.zeros(mask.shape, np.int16), mask, AFFINE).as_json()
    assert [report[key] for key in ("components", "removed_share", "disagreement")] == [None] * 3
    assert report["border_contact_cm2"] == {}


@pytest.mark.parametrize(("padding", "is_cut"), [(-1024, True), (-3024, True), (-1000, False)])
def test_a_liver_that_ends_at_padding_is_cut(padding: int, is_cut: bool) -> None:
    # 20 x 30 faces of 2 x 1.5 mm2 = 18 cm2 at the top, where the slices were left blank.
    mask = box_mask((30, 40, 30), (5, 5, 10), (25, 35, 20))
    image = np.full(mask.shape, 40, np.int16)
    image[:, :, 20:] = padding
    quality = measure(image, mask, AFFINE)
    assert ("CUT_BY_FIELD_OF_VIEW" in codes(quality)) == is_cut
    contact = {"padded": pytest.approx(18.0)} if is_cut else {}
    assert dict(quality.border_contact_cm2) == contact
    image[:, :, 21:] = np.arange(40)[:, None]  # one blank slice only, perhaps gas
    assert not measure(image, mask, AFFINE).touches_border


def test_a_liver_that_ends_at_the_circle_of_the_reconstruction_is_cut() -> None:
    circle = np.hypot(*np.mgrid[-32:32, -32:32]) < 25
    mask = np.zeros((64, 64, 20), np.uint8)
    mask[:32] = circle[:32, :, None]
    mask[:, :, :2] = mask[:, :, -2:] = 0
    image = np.where(circle[:, :, None], 40, -2000).astype(np.int16).repeat(20, axis=2)
    quality = measure(image, mask, AFFINE)
    assert quality.touches_border == ("padded",)
    assert "reaches the padded border of the scan" in quality.flags[0].sentence
