"""Scans in mixed deliveries: trees, archives, NIfTI, and what is none."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from conftest import phantom, small_ct

from liverseg.dicom.write import write_ct_series
from liverseg.errors import ScanRejected
from liverseg.gather import Gathered
from liverseg.scans import found_scans, read_scan, scan_at
from liverseg.sizes import ORDINARY_SIZES, Sizes


def zipped(folder: Path) -> Path:
    """A zip of a folder, beside it."""
    return Path(shutil.make_archive(str(folder), "zip", folder))


def test_a_zip_is_read_and_named_as_the_source(small_dicom: Path) -> None:
    archive = zipped(small_dicom)
    with found_scans([archive]) as scans:
        assert [scan.source for scan in scans] == [archive]
        np.testing.assert_array_equal(read_scan(scans[0]).image, small_ct()[0])
        private = scans[0].files[0].parents[2]
        assert private.stat().st_mode & 0o077 == 0
    assert not private.exists()


def test_a_tree_of_everything_is_taken_apart(tmp_path: Path, phantom_nifti: Path) -> None:
    tree = tmp_path / "tree"
    write_ct_series(*small_ct(), tree / "patient" / "CT")
    zipped(tree / "patient")
    shutil.move(phantom_nifti, tree / "phantom.nii.gz")
    for name in ("notes.txt", ".DS_Store"):
        (tree / name).write_bytes(b"nothing")
    with found_scans([tree]) as scans:
        found = [(scan.kind, scan.code, scan.source) for scan in scans]
    # The zip holds copies of the images in the folder: one scan.
    assert found == [
        ("dicom", "", tree / "patient" / "CT"),
        ("nifti", "", tree / "phantom.nii.gz"),
        ("other", "NOT_CT", tree),
    ]
    assert "12 files were copies" in scans[0].notes[0]
    assert scans[2].reason == "2 files that are no images"


def test_one_series_in_two_inputs_is_one_scan(small_dicom: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(small_dicom, copy)
    with found_scans([small_dicom, copy]) as scans:
        assert [scan.slices for scan in scans] == [12]


def test_one_nifti_in_two_inputs_is_one_scan(phantom_nifti: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.nii.gz"
    shutil.copy(phantom_nifti, copy)
    with found_scans([phantom_nifti, copy, phantom_nifti]) as scans:
        assert [scan.notes for scan in scans] == [("1 equal file was left out",)]


def test_a_nifti_is_described_by_its_header(phantom_nifti: Path) -> None:
    with found_scans([phantom_nifti]) as scans:
        scan = scans[0]
        np.testing.assert_array_equal(read_scan(scan).image, phantom()[0])
    assert (scan.columns, scan.rows, scan.slices) == (96, 112, 24)
    assert scan.spacing_mm == (2.0, 1.5, 3.0)
    assert scan.case_id.isalnum()
    assert len(scan.case_id) == 16


def test_phantom_slices_and_nifti_are_the_same_volume(
    phantom_nifti: Path, phantom_dicom: Path
) -> None:
    with found_scans([phantom_nifti, phantom_dicom]) as scans:
        first, second = (read_scan(scan) for scan in scans)
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_allclose(first.affine, second.affine, atol=1e-9)


def test_a_zip_in_a_zip_is_read_and_one_more_is_not(tmp_path: Path) -> None:
    write_ct_series(*small_ct(), tmp_path / "1" / "CT")
    for level in (1, 2, 3):
        (tmp_path / str(level + 1)).mkdir()
        shutil.move(zipped(tmp_path / str(level)), tmp_path / str(level + 1))
    with found_scans([tmp_path / "3"]) as scans:
        (scan,) = scans
        assert (scan.code, scan.slices, scan.source) == ("", 12, tmp_path / "3" / "2.zip")
        np.testing.assert_array_equal(read_scan(scan).image, small_ct()[0])
    with found_scans([tmp_path / "4"]) as scans:
        assert [scan.code for scan in scans] == ["NOT_CT"]


def test_archives_are_unpacked_one_at_a_time_where_there_is_no_room(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / "in" / name).mkdir(parents=True)
        (tmp_path / "in" / name / "file").write_bytes(name.encode() * 1000)
        zipped(tmp_path / "in" / name)
        shutil.rmtree(tmp_path / "in" / name)
    private = tmp_path / "private"
    private.mkdir()
    gathered = Gathered(private, Sizes(archive_bytes=1500, kept_bytes=1500))
    gathered.add_tree(tmp_path / "in")
    there = [len(list(private.rglob("file"))) for _ in gathered.deliveries()]
    # Each in its turn; what there is no room for is removed before the next.
    assert there == [0, 1, 2, 2]
    assert len(list(private.rglob("file"))) == 1


def test_a_refused_archive_leaves_nothing_unpacked(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.add(__file__, "one")
        link = tarfile.TarInfo("two")
        link.type, link.linkname = tarfile.SYMTYPE, "one"
        archive.addfile(link)
    private = tmp_path / "private"
    private.mkdir()
    gathered = Gathered(private, ORDINARY_SIZES)
    gathered.add_tree(tmp_path / "a.tar")
    _, delivery = gathered.deliveries()
    assert [error.code for _, error in delivery.refused] == ["UNSAFE_ARCHIVE"]
    assert [path for path in private.rglob("*") if path.is_file()] == []


def bytes_read() -> int:
    """How much this process has read so far."""
    counters = Path("/proc/self/io").read_text()
    return int(next(line.split()[1] for line in counters.splitlines() if line.startswith("rchar")))


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="only Linux counts what is read")
def test_what_is_too_large_is_refused_without_reading_it(
    tmp_path: Path, small_dicom: Path, phantom_nifti: Path
) -> None:
    huge = tmp_path / "huge"
    huge.mkdir()
    shutil.copy(next(small_dicom.iterdir()), huge / "a.dcm")
    nib.save(nib.load(phantom_nifti), huge / "b.nii")
    with (huge / "b.nii").open("r+b") as file:
        file.seek(42)  # dim[1:4] of NIfTI-1: 4000 x 4000 x 4000 is more than 2^31 voxels
        file.write(np.array([4000, 4000, 4000], "<i2").tobytes())
    for path in huge.iterdir():
        with path.open("r+b") as file:
            file.truncate(5 << 30)  # sparse: it needs no room on the disk
    before = bytes_read()
    with found_scans([huge]) as scans:
        assert {scan.code for scan in scans} == {"TOO_LARGE"}
        assert len(scans) == 2
    assert bytes_read() - before < 16 << 20


def test_a_missing_input_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), found_scans([tmp_path / "nowhere"]):
        pass


def test_an_empty_folder_holds_no_scans(tmp_path: Path) -> None:
    with found_scans([tmp_path]) as scans:
        assert scans == []


def test_a_file_that_is_no_image_is_listed(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    with found_scans([tmp_path / "a.txt"]) as scans:
        assert [(scan.code, scan.source) for scan in scans] == [("NOT_CT", tmp_path / "a.txt")]


def test_an_unsafe_archive_is_listed(tmp_path: Path, small_dicom: Path) -> None:
    archive = zipped(small_dicom)
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("../out", "x")
    with found_scans([archive]) as scans:
        assert [(scan.code, scan.source) for scan in scans] == [("UNSAFE_ARCHIVE", archive)]


def test_no_case_id_is_made_of_a_path(tmp_path: Path) -> None:
    ids = []
    for name in ("Muster_Hans", "elsewhere"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "junk").write_text("same")
        (folder / "a.7z").write_bytes(b"7z\xbc\xaf\x27\x1c" + bytes(600))
        (folder / "cut.zip").write_bytes(b"PK\x03\x04")
        with found_scans([folder]) as scans:
            ids.append([scan.case_id for scan in scans])
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 3


def test_case_ids_are_unique_in_a_run(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        folder = tmp_path / "tree" / name / "same"
        folder.mkdir(parents=True)
        (folder / "junk").write_text("same")
        (folder / "bad.nii").write_text("same")
    with found_scans([zipped(tmp_path / "tree")]) as scans:
        ids = [scan.case_id for scan in scans]
    # Three folders of junk, of one name in one archive; the equal bad files are one.
    assert len(ids) == len(set(ids)) == 4


def test_a_refused_scan_is_not_read(small_dicom: Path) -> None:
    (small_dicom / "IM0005.dcm").unlink()
    with found_scans([small_dicom]) as scans, pytest.raises(ScanRejected, match="MISSING_SLICES"):
        read_scan(scans[0])


def test_the_scan_at_a_path_is_the_accepted_one(small_dicom: Path) -> None:
    (small_dicom / "junk").write_text("junk")
    with scan_at(small_dicom) as scan:
        assert scan.slices == 12


def test_two_scans_at_a_path_are_too_many(small_dicom: Path, phantom_nifti: Path) -> None:
    shutil.move(phantom_nifti, small_dicom)
    with pytest.raises(ValueError, match="2 were found"), scan_at(small_dicom):
        pass


def test_no_scan_at_a_path_gives_the_first_reason(small_dicom: Path) -> None:
    (small_dicom / "IM0005.dcm").unlink()
    (small_dicom / "junk").write_text("junk")
    with pytest.raises(ScanRejected, match="MISSING_SLICES"), scan_at(small_dicom):
        pass
