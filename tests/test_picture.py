"""The preview picture: which slices, which way round, at which scale, with which contour."""

from __future__ import annotations

import numpy as np
import pytest

from liverseg.report.picture import CONTOUR, draw, views

SHAPE = (20, 24, 16)
# LAS: the first axis points to the patient's left, 2.0 x 1.5 x 3.0 mm.
AFFINE = np.array([[-2.0, 0, 0, 50], [0, 1.5, 0, -40], [0, 0, 3.0, 100], [0, 0, 0, 1]])
AIR_HU, MARK_HU = -1000, 1000


def scan() -> tuple[np.ndarray, np.ndarray]:
    image = np.full(SHAPE, AIR_HU, np.int16)
    mask = np.zeros(SHAPE, np.uint8)
    mask[4:10, 6:18, 3:9] = 1
    # Widest: first axis at 5, second at 7, third at 4.
    mask[5, 5, 3:9] = mask[3, 7, 3:9] = mask[4:10, 18, 4] = 1
    return image, mask


def mark(right: bool, front: bool, top: bool) -> np.ndarray:
    """A scan with one bright corner, everywhere along the axes that are not chosen."""
    image, _ = scan()
    # The first axis points to the left: its low half is the patient's right.
    image[: 10 if right else 20, 12 if front else 0 :, 8 if top else 0 :] = MARK_HU
    return image


def test_patient_right_and_front_are_at_the_viewers_left_and_top_in_the_axial_view() -> None:
    axial, _, _ = views(mark(True, True, False), scan()[1], AFFINE)
    assert axial.letters == "RLAP"
    bright = axial.hounsfield == MARK_HU
    assert bright.shape == (24, 20)
    assert bright[:12, :10].all()
    assert np.count_nonzero(bright) == 12 * 10


def test_patient_right_and_head_are_at_the_viewers_left_and_top_in_the_coronal_view() -> None:
    _, coronal, _ = views(mark(True, False, True), scan()[1], AFFINE)
    assert coronal.letters == "RLSI"
    bright = coronal.hounsfield == MARK_HU
    assert bright.shape == (16, 20)
    assert bright[:8, :10].all()
    assert np.count_nonzero(bright) == 8 * 10


def test_front_and_head_are_at_the_viewers_left_and_top_in_the_sagittal_view() -> None:
    _, _, sagittal = views(mark(False, True, True), scan()[1], AFFINE)
    assert sagittal.letters == "APSI"
    bright = sagittal.hounsfield == MARK_HU
    assert bright.shape == (16, 24)
    assert bright[:8, :12].all()
    assert np.count_nonzero(bright) == 8 * 12


def test_slices_are_those_with_the_largest_cross_section() -> None:
    # From the feet and the back: index + 1. From the left: the first axis runs to the left, so
    # index 5 of 20 is number 20 - 5 = 15.
    axial, coronal, sagittal = views(*scan(), AFFINE)
    assert (axial.number, coronal.number, sagittal.number) == (5, 8, 15)
    assert (axial.count, coronal.count, sagittal.count) == (16, 24, 20)


def test_pixel_sizes_follow_the_spacing() -> None:
    axial, coronal, sagittal = views(*scan(), AFFINE)
    assert axial.pixel_mm == (1.5, 2.0)
    assert coronal.pixel_mm == (3.0, 2.0)
    assert sagittal.pixel_mm == (3.0, 1.5)
    assert axial.size_mm == (36.0, 40.0)


def test_picture_does_not_depend_on_how_the_volume_is_stored() -> None:
    image, mask = mark(True, True, True), scan()[1]
    affine = AFFINE.copy()
    affine[:3, 0] = [2.0, 0, 0]
    affine[0, 3] = 50 - 2.0 * (SHAPE[0] - 1)
    turned = draw(image[::-1].copy(), mask[::-1].copy(), affine)
    assert np.array_equal(np.asarray(turned), np.asarray(draw(image, mask, AFFINE)))


def test_contour_is_drawn_in_every_panel_and_not_for_an_empty_mask() -> None:
    image, mask = scan()
    picture = np.asarray(draw(image, mask, AFFINE))
    columns = np.flatnonzero((picture == CONTOUR).all(axis=2).any(axis=0))
    # Three panels: the contour's columns fall into three groups with wide gaps between.
    assert np.count_nonzero(np.diff(columns) > 100) >= 2
    empty = np.asarray(draw(image, np.zeros_like(mask), AFFINE))
    assert not (empty == CONTOUR).all(axis=2).any()


def test_empty_mask_gives_the_middle_slices() -> None:
    image, mask = scan()
    shown = views(image, np.zeros_like(mask), AFFINE)
    assert [view.number for view in shown] == [9, 13, 11]


def test_tall_scan_keeps_its_aspect_within_the_page() -> None:
    shape = (8, 8, 400)
    picture = draw(np.zeros(shape, np.int16), np.zeros(shape, np.uint8), AFFINE)
    assert picture.height < 800


@pytest.mark.parametrize("spacing", [0.01, 100.0])
def test_odd_spacing_still_gives_a_picture(spacing: float) -> None:
    affine = np.diag([spacing, spacing, spacing, 1.0])
    assert draw(*scan(), affine).mode == "RGB"
