"""Archives for which there is no room once they were looked at: their scans are read, too."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import wrapped as w
from conftest import small_ct
from deliveries import both
from exports import zipped_part

from liverseg.batch import convert
from liverseg.dicom.write import write_ct_series
from liverseg.errors import ScanRejected
from liverseg.scans import Finding, found_scans, read_scan
from liverseg.sizes import Sizes

NO_ROOM = Finding(sizes=Sizes(kept_bytes=1))
DELIVERIES = {
    "a zip": w.zipped(),
    "a tar.gz": w.tarred(),
    "a zip in a zip": w.zip_in_zip,
    "gzip files in a zip": both(w.slices_gzipped, w.zipped()),
    "a NIfTI file in a zip": both(w.nifti(), w.zipped()),
    "half a series in each of two zips": both(
        zipped_part("b.zip", range(6, 12)), zipped_part("a.zip", range(6))
    ),
}


def unpacked_files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


@pytest.mark.parametrize("name", DELIVERIES)
def test_a_scan_is_unpacked_when_it_is_read_and_removed_again(small_dicom: Path, name: str) -> None:
    DELIVERIES[name](small_dicom)
    with found_scans([small_dicom], NO_ROOM) as (scan,):
        private = scan.packed[0].folder.parent
        assert scan.accepted
        for _ in range(2):
            assert unpacked_files(private) == []
            np.testing.assert_array_equal(read_scan(scan).image, small_ct()[0])
        assert unpacked_files(private) == []


@pytest.mark.parametrize("too_deep", [w.zip_too_deep, w.gzip_in_zip_in_zip])
def test_what_is_too_deep_to_be_unpacked_is_named_once(
    small_dicom: Path, too_deep: Callable[[Path], None]
) -> None:
    too_deep(small_dicom)
    with found_scans([small_dicom]) as scans:
        named = [scan.reason for scan in scans if scan.reason.endswith("unpack it first")]
    assert len(named) == 1
    assert named[0].startswith("an archive within two others")


def test_two_scans_of_one_archive_are_read_apart(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_ct_series(*small_ct(), tmp_path / "in" / name)
    w.zipped()(tmp_path / "in")
    with found_scans([tmp_path / "in"], NO_ROOM) as scans:
        assert len(scans) == 2
        for scan in scans:
            np.testing.assert_array_equal(read_scan(scan).image, small_ct()[0])


def test_members_of_one_name_are_told_apart_when_unpacked_again(small_dicom: Path) -> None:
    w.same_names(small_dicom)
    with found_scans([small_dicom], NO_ROOM) as (scan,):
        np.testing.assert_array_equal(read_scan(scan).image, small_ct()[0])


def test_an_archive_that_is_gone_by_then_is_a_refusal(small_dicom: Path) -> None:
    w.zipped()(small_dicom)
    with found_scans([small_dicom], NO_ROOM) as (scan,):
        (small_dicom / "export.zip").unlink()
        with pytest.raises(ScanRejected, match="UNREADABLE"):
            read_scan(scan)


def test_a_batch_gives_the_same_with_room_and_without(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_ct_series(*small_ct(), tmp_path / "in" / name)
        w.zipped()(tmp_path / "in" / name)
    with_room = convert([tmp_path / "in"], tmp_path / "out")
    without = convert([tmp_path / "in"], tmp_path / "out", sizes=NO_ROOM.sizes)
    assert [row.status for row in without] == ["done", "done"]
    assert {row.case_id for row in without} == {row.case_id for row in with_room}
    shutil.rmtree(tmp_path / "out")
