"""Slices that are missing where no gap between positions shows it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from deliveries import each, remove, scout_inside

from liverseg.scans import found_scans


def notes_of(folder: Path) -> tuple[str, ...]:
    with found_scans([folder]) as scans:
        assert [scan.code for scan in scans] == [""]
        return scans[0].notes


def test_slices_that_are_missing_at_the_ends_are_noted(small_dicom: Path) -> None:
    each(ImagesInAcquisition=12)(small_dicom)
    assert notes_of(small_dicom) == ()
    remove(0, 10, 11)(small_dicom)
    assert notes_of(small_dicom) == (
        "of 12 images of the acquisition the first 1 and the last 2 are not here: slices may be "
        "missing at an end of the scan",
    )


def test_skipped_numbers_are_noted_where_positions_have_no_gap(small_dicom: Path) -> None:
    each(InstanceNumber=lambda index: index + (1 if index < 9 else 3))(small_dicom)
    assert notes_of(small_dicom) == ("2 image numbers are skipped: images may be missing",)


def test_every_second_slice_gone_is_noted(small_dicom: Path) -> None:
    each(SliceThickness=1.5)(small_dicom)
    assert notes_of(small_dicom) == ()
    each(InstanceNumber=lambda index: 1 + 2 * index)(small_dicom)
    assert notes_of(small_dicom) == (
        "slices of 1.5 mm lie 3.000 mm apart and their numbers have gaps: slices may be missing "
        "throughout",
    )


@pytest.mark.parametrize(
    "numbers",
    [
        lambda index: 40 + index,  # another series was numbered before it
        lambda index: 1 + 2 * index,  # two series numbered in turns
        lambda index: 10**30 + index,
        lambda index: 7,
        lambda index: None,
    ],
)
def test_numbers_that_say_nothing_are_not_noted(small_dicom: Path, numbers: object) -> None:
    each(InstanceNumber=numbers, ImagesInAcquisition=lambda index: 30)(small_dicom)
    assert notes_of(small_dicom) == ()


def test_the_number_of_a_localizer_is_not_skipped(small_dicom: Path) -> None:
    scout_inside(small_dicom)
    each(InstanceNumber=6)(small_dicom / "scout")
    shutil.move(small_dicom / "scout", small_dicom.parent / "scout")
    each(InstanceNumber=lambda index: index + (1 if index < 5 else 2))(small_dicom)
    with found_scans([small_dicom, small_dicom.parent / "scout"]) as scans:
        assert [scan.notes for scan in scans] == [("1 localizer image was left out",)]
