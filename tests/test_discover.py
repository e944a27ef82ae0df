"""What is found in hospital folders, and how it is named; catalogue.py has the outcomes."""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pydicom
import pytest
from conftest import small_ct
from deliveries import (
    cut,
    each,
    remove,
    same_file_twice,
    scout_inside,
    twice_in_one_series,
)
from encoders import re_encoded
from exports import gzipped

from liverseg.dicom.write import write_ct_series
from liverseg.errors import ScanRejected
from liverseg.scans import Scan, found_scans, read_scan


def only(folder: Path) -> Scan:
    """The one scan of a folder."""
    with found_scans([folder]) as scans:
        assert len(scans) == 1
        return scans[0]


def test_missing_slice_is_named(small_dicom: Path) -> None:
    remove(5)(small_dicom)
    assert only(small_dicom).reason == (
        # Slices lie in the order of the normal, here from the first file to the last.
        "slices should be 3.000 mm apart; 6.000 mm between IM0005.dcm and IM0007.dcm; "
        "1 missing in all"
    )


def test_a_cut_file_is_found_without_reading_pixels(small_dicom: Path) -> None:
    cut(4, -9)(small_dicom)
    scan = only(small_dicom)
    assert scan.code == "TRUNCATED"
    assert "IM0005.dcm" in scan.reason


def test_a_stream_cut_within_a_whole_file_is_refused(small_dicom: Path) -> None:
    re_encoded(pydicom.uid.JPEG2000Lossless)(small_dicom)
    path = small_dicom / "IM0005.dcm"
    dataset = pydicom.dcmread(path)
    stream = next(pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=1))
    dataset.PixelData = pydicom.encaps.encapsulate([stream[:-40]])
    dataset.save_as(path)
    with (
        found_scans([small_dicom]) as scans,
        pytest.raises(ScanRejected, match=r"TRUNCATED.*IM0005\.dcm"),
    ):
        read_scan(scans[0])


def test_a_file_name_that_may_hold_a_patient_is_not_named(small_dicom: Path) -> None:
    for path in sorted(small_dicom.iterdir()):
        path.rename(path.with_name(f"DOE_JOHN_{path.name}"))
    remove(5)(small_dicom)
    reason = only(small_dicom).reason
    assert "between slice 5 of 11 and slice 6 of 11" in reason
    assert "DOE" not in reason


def test_a_bare_number_is_named_only_where_it_counts_the_files(small_dicom: Path) -> None:
    for index, path in enumerate(sorted(small_dicom.iterdir())):
        path.rename(path.with_name(f"{index:05d}.dcm"))
    remove(5)(small_dicom)
    assert "between 00004.dcm and 00006.dcm" in only(small_dicom).reason
    (small_dicom / "00004.dcm").rename(small_dicom / "48213.dcm")
    assert "between slice 5 of 11 and 00006.dcm" in only(small_dicom).reason


def test_the_case_id_is_the_digest_of_the_series_uid(tmp_path: Path) -> None:
    write_ct_series(*small_ct(), tmp_path)
    each(SeriesInstanceUID="1.2.3")(tmp_path)
    # printf 1.2.3 | sha256sum
    assert only(tmp_path).case_id == "c47f5b18b8a430e6"


def test_parts_of_one_series_have_ids_of_their_own(small_dicom: Path) -> None:
    twice_in_one_series(AcquisitionNumber=(1, 2))(small_dicom)
    with found_scans([small_dicom]) as scans:
        assert len({scan.case_id for scan in scans}) == 2
        assert len({scan.series_uid for scan in scans}) == 1


def test_blank_identifiers_give_an_id_from_the_content(small_dicom: Path, tmp_path: Path) -> None:
    each(SOPInstanceUID="", StudyInstanceUID="", SeriesInstanceUID="")(small_dicom)
    first = only(small_dicom)
    moved = small_dicom.rename(tmp_path / "elsewhere")
    assert only(moved).case_id == first.case_id
    assert first.series_uid == ""
    assert any("SEG" in note for note in first.notes)


def test_what_was_left_out_is_said(small_dicom: Path) -> None:
    scout_inside(small_dicom)
    same_file_twice(small_dicom)
    notes = " ".join(only(small_dicom).notes)
    assert "1 localizer image was left out" in notes
    assert "1 file was a copy" in notes


def test_an_accepted_series_describes_itself(small_dicom: Path) -> None:
    scan = only(small_dicom)
    assert (scan.slices, scan.rows, scan.columns) == (12, 32, 40)
    assert scan.spacing_mm == pytest.approx((2.0, 1.5, 3.0))
    assert (scan.kind, scan.modality, scan.source) == ("dicom", "CT", small_dicom)


def test_nothing_of_a_patient_is_written_to_the_terminal(
    small_dicom: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    secret = "DOE^JANE^19700101"
    with pydicom.config.disable_value_validation():  # what a sloppy sender writes
        each(PatientBirthDate=secret, AccessionNumber=secret, KVP=None)(small_dicom)
    (small_dicom / "IM0004.dcm").write_bytes((small_dicom / "IM0004.dcm").read_bytes()[:900])
    with found_scans([small_dicom]) as scans:
        for scan in scans:
            with suppress(ScanRejected):
                read_scan(scan)
    said = capfd.readouterr()
    assert secret not in said.out + said.err


def test_a_number_that_is_cut_in_the_middle_is_refused_alone(small_dicom: Path) -> None:
    shutil.copytree(small_dicom, small_dicom.parent / "whole")
    path = small_dicom / "IM0003.dcm"
    each(SeriesInstanceUID="1.2.3")(small_dicom)
    whole = path.read_bytes()
    rows = whole.index(b"\x28\x00\x10\x00US\x02\x00")
    path.write_bytes(whole[: rows + 6] + b"\x03\x00\x20\x00\x00" + whole[rows + 10 :])
    with found_scans([small_dicom.parent]) as scans:
        assert sorted(scan.code for scan in scans) == ["", "CORRUPT"]


def test_an_empty_file_named_as_the_slices_are_is_noted(small_dicom: Path) -> None:
    cut(11, 0)(small_dicom)
    with found_scans([small_dicom]) as scans:
        (accepted,) = (scan for scan in scans if scan.accepted)
    assert any("1 empty files are named as the slices are" in note for note in accepted.notes)


@pytest.fixture
def as_nobody() -> Iterator[None]:
    """Give up the superuser's right to read every file."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(pwd.getpwnam("nobody").pw_uid)
    yield
    os.seteuid(user)


def test_a_slice_that_may_not_be_read_condemns_its_series(as_nobody: None) -> None:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own is closed to others
        *_, last = write_ct_series(*small_ct(), Path(folder))
        last.chmod(0)
        with found_scans([Path(folder)]) as scans:
            assert [scan.code for scan in scans] == ["UNREADABLE", "UNREADABLE"]


def test_a_slice_lost_at_an_end_is_noticed_wherever_its_file_is_cut(small_dicom: Path) -> None:
    path = small_dicom / "IM0012.dcm"
    whole = path.read_bytes()
    for length in range(1, whole.index(b"\xe0\x7f\x10\0OW") + 40, 11):
        path.write_bytes(whole[:length])
        with found_scans([small_dicom]) as scans:
            assert not any(scan.accepted for scan in scans), length


@pytest.mark.parametrize("length", [1, 5, 10, 30, 100])
def test_a_gzip_slice_that_is_cut_at_an_end_condemns_its_series(
    small_dicom: Path, length: int
) -> None:
    gzipped(*range(12))(small_dicom)
    path = small_dicom / "IM0012.dcm.gz"
    path.write_bytes(path.read_bytes()[:length])
    with found_scans([small_dicom]) as scans:
        assert not any(scan.accepted for scan in scans)
        assert "TRUNCATED" in {scan.code for scan in scans}


def test_an_empty_gzip_file_named_as_the_slices_are_is_noted(small_dicom: Path) -> None:
    gzipped(*range(12))(small_dicom)
    (small_dicom / "IM0012.dcm.gz").write_bytes(b"")
    with found_scans([small_dicom]) as scans:
        (accepted,) = (scan for scan in scans if scan.accepted)
    assert any("1 empty files are named as the slices are" in note for note in accepted.notes)


@pytest.mark.parametrize("packed", [False, True])
def test_files_given_by_name_are_not_judged_by_what_was_not_given(
    small_dicom: Path, packed: bool
) -> None:
    other = small_dicom.parent / "other"
    write_ct_series(*small_ct(), other)
    for number, path in enumerate(sorted(other.iterdir())):
        path.rename(small_dicom / f"IM{100 + number}.dcm")
    if packed:
        gzipped(*range(24))(small_dicom)
    given = [path for path in sorted(small_dicom.iterdir()) if path.name.startswith("IM0")]
    with found_scans(given) as (scan,):
        assert (scan.code, scan.slices) == ("", 12)


def test_a_file_that_is_no_dicom_beside_those_given_by_name_is_noticed(small_dicom: Path) -> None:
    given = sorted(small_dicom.iterdir())[:-1]
    (small_dicom / "IM0012.dcm").write_bytes(b"something else")
    with found_scans(given) as (scan,):
        assert scan.code == "TRUNCATED"
