"""Sections of a mask, counted along every axis."""

from __future__ import annotations

import numpy as np

from liverseg.report.areas import largest_sections, section_areas


def test_areas_are_counted_along_every_axis_however_the_mask_lies() -> None:
    mask = (np.random.default_rng(0).random((5, 6, 7)) < 0.3).astype(np.uint8)
    mask[:, :, 0] = 0
    for seen in (mask, np.asfortranarray(mask), mask[::-1].transpose(1, 2, 0)):
        areas = section_areas(seen)
        for axis, others in enumerate(((1, 2), (0, 2), (0, 1))):
            assert areas[axis].tolist() == seen.sum(axis=others).tolist()


def test_the_middle_is_shown_of_a_mask_that_is_empty() -> None:
    assert largest_sections(np.zeros((5, 6, 9), np.uint8)) == (2, 3, 4)
