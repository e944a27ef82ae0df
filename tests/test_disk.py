"""Output folders that really are full, or may not be written: file systems of their own."""

from __future__ import annotations

import csv
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_pipeline import Source, write_nifti_scan

from liverseg import cli


def mounted(folder: Path, options: str) -> Iterator[Path]:
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("only root can mount a file system")
    try:
        yield folder
    finally:
        command = ["umount", str(folder)]
        subprocess.run(command, check=True)


@pytest.fixture
def scans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two scans, to be segmented without a network."""
    monkeypatch.setattr("liverseg.batch.BundlePipeline", lambda device, **options: Source())
    (tmp_path / "in").mkdir()
    for number in range(2):
        write_nifti_scan(tmp_path / "in" / f"{number}.nii.gz", liver_hu=110 + number)
    return tmp_path / "in"


# Room for masks, pictures and tables, not for a page, which has its viewer in it.
@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    yield from mounted(tmp_path / "small", "size=256k")


# Room for nothing but the linkage.
@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    yield from mounted(tmp_path / "tiny", "size=4k")


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    yield from mounted(tmp_path / "read-only", "ro,size=1m")


def segment(scans: Path, output: Path, *options: str) -> int:
    return cli.main(["segment", str(scans), "-o", str(output), "-q", *options])


def test_scan_for_which_there_is_no_room_fails_alone_and_leaves_nothing(
    scans: Path, small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert segment(scans, small / "out") == 1
    with (small / "out" / "manifest.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["status"], row["code"]) for row in rows] == [("failed", "NOT_WRITABLE")] * 2
    assert {row["detail"] for row in rows} == {
        "The output folder cannot be written: No space left on device."
    }
    assert not list((small / "out").glob("cases/*"))
    assert "2  NOT_WRITABLE: the output folder cannot be written" in capsys.readouterr().out
    # What fits is done in the same folder.
    assert segment(scans, small / "out", "--outputs", "nifti") == 0


@pytest.mark.parametrize(
    ("disk", "words"), [("tiny", "No space left on device"), ("read_only", "Read-only file system")]
)
def test_folder_that_cannot_hold_the_tables_ends_the_batch_in_one_line(
    disk: str,
    words: str,
    scans: Path,
    request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder: Path = request.getfixturevalue(disk)
    assert segment(scans, folder / "out") == 2
    told = capsys.readouterr()
    assert (
        told.err
        == f"liverseg: the output folder cannot be written: {words}; what is done is kept\n"
    )
    assert told.out == ""
    assert not list(folder.glob("out/cases/*/*"))
