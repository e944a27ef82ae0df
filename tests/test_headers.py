"""A header that crashes, hangs or swells what parses it ends that file, not the run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from conftest import small_ct
from deliveries import enhanced, whole_copy
from encoders import by_tool
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate

from liverseg import headers
from liverseg.dicom.header import quiet_pydicom
from liverseg.dicom.images import images_of
from liverseg.dicom.write import write_ct_series
from liverseg.errors import ScanRejected
from liverseg.headers import Headers
from liverseg.scans import found_scans, read_scan
from liverseg.sizes import ORDINARY_SIZES

TESTS = str(Path(__file__).parent)


@pytest.fixture
def breaking(monkeypatch: pytest.MonkeyPatch) -> None:
    """The headers' process does what the name of a file says before it reads it."""
    monkeypatch.syspath_prepend(TESTS)
    monkeypatch.setattr(headers, "MODULE", "broken_headers")


@pytest.fixture
def unusual(small_dicom: Path) -> Path:
    """Slices with headers that are left to pydicom."""
    by_tool("dcmconv", "+tb")(small_dicom)
    return small_dicom


@pytest.mark.parametrize(
    ("breakage", "code"),
    [
        ("abort", "CRASHED"),
        ("hang", "TIMEOUT"),
        ("hoard", "OUT_OF_MEMORY"),
        ("panic", "CRASHED"),
        ("recurse", "FAILED"),
    ],
)
def test_a_header_that_breaks_its_process_is_refused_and_the_next_is_read(
    unusual: Path, breaking: None, breakage: str, code: str
) -> None:
    files = sorted(unusual.iterdir())
    bad = files[5].rename(unusual / breakage)
    with closing(Headers(memory_bytes=400 << 20, timeout_s=5)) as reader:
        assert len(reader.images(files[0], ORDINARY_SIZES)) == 1
        with pytest.raises(ScanRejected) as refused:
            reader.images(bad, ORDINARY_SIZES)
        assert refused.value.code == code
        assert reader.images(files[1], ORDINARY_SIZES)[0].path == files[1]


def test_a_series_with_a_header_that_crashes_is_refused_and_another_read(
    unusual: Path, tmp_path: Path, breaking: None
) -> None:
    sorted(unusual.iterdir())[11].rename(unusual / "abort")
    other = tmp_path / "other"
    write_ct_series(*small_ct(), other)
    with found_scans([unusual, other]) as scans:
        assert sorted(scan.code for scan in scans) == ["", "CRASHED", "CRASHED"]
        (good,) = (scan for scan in scans if scan.accepted)
        assert (read_scan(good).image == small_ct()[0]).all()


def test_a_copy_that_crashes_its_decoder_refuses_its_series_and_another_is_read(
    small_dicom: Path, tmp_path: Path, breaking: None
) -> None:
    whole_copy(small_dicom)
    by_tool("dcmcrle")(small_dicom / "again")
    sorted((small_dicom / "again").iterdir())[4].rename(small_dicom / "again" / "abort")
    other = tmp_path / "other"
    write_ct_series(*small_ct(), other)
    with found_scans([small_dicom, other]) as scans:
        assert [scan.code for scan in scans] == ["CRASHED", ""]
        assert "Looking at a file ended with signal SIGABRT" in scans[0].reason


def test_a_copy_whose_compressed_pixels_cannot_be_decoded_refuses_its_series(
    small_dicom: Path,
) -> None:
    whole_copy(small_dicom)
    by_tool("dcmcrle")(small_dicom / "again")
    bad = sorted((small_dicom / "again").iterdir())[4]
    dataset = dcmread(bad)
    dataset.PixelData = encapsulate([bytes(64)])
    dataset.save_as(bad)
    with found_scans([small_dicom]) as (scan,):
        assert scan.code == "CORRUPT"


def test_an_ordinary_header_needs_no_process(
    small_dicom: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(headers, "MODULE", "no such module")
    with found_scans([small_dicom]) as scans:
        assert [scan.code for scan in scans] == [""]


def test_a_process_that_died_while_it_waited_is_replaced(unusual: Path) -> None:
    files = sorted(unusual.iterdir())
    with closing(Headers()) as reader:
        reader.images(files[0], ORDINARY_SIZES)
        child = reader._child
        assert child is not None
        os.kill(child._process.pid, signal.SIGKILL)
        while child.is_alive():
            time.sleep(0.01)
        assert len(reader.images(files[1], ORDINARY_SIZES)) == 1


def test_the_process_gives_what_reading_here_gives(unusual: Path) -> None:
    with closing(Headers()) as reader, quiet_pydicom():
        for path in unusual.iterdir():
            assert reader.images(path, ORDINARY_SIZES) == images_of(path)


def test_the_frames_of_an_enhanced_ct_come_through_the_process(small_dicom: Path) -> None:
    enhanced()(small_dicom)
    path = small_dicom / "enhanced.dcm"
    with closing(Headers()) as reader, quiet_pydicom():
        frames = reader.images(path, ORDINARY_SIZES)
        assert frames == images_of(path)
        assert [item.frame for item in frames] == list(range(12))


def test_the_process_is_gone_at_the_end(unusual: Path) -> None:
    with closing(Headers()) as reader:
        reader.images(min(unusual.iterdir()), ORDINARY_SIZES)
        child = reader._child
        assert child is not None
    assert not child.is_alive()


def test_a_refusal_comes_through_the_process(tmp_path: Path) -> None:
    path = tmp_path / "a"
    Dataset().save_as(path, implicit_vr=True, little_endian=True)
    with closing(Headers()) as reader, pytest.raises(ScanRejected, match="TRUNCATED"):
        reader.images(path, ORDINARY_SIZES)


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_a_caller_without_standard_streams_is_answered(
    unusual: Path, closed: tuple[int, ...]
) -> None:
    """A pipe in the place of a closed stream would be covered by the process's own."""
    code = f"""
import os, sys
from pathlib import Path
from liverseg.headers import Headers
from liverseg.sizes import ORDINARY_SIZES
for number in {closed}:
    os.close(number)
headers = Headers()
found = headers.images(Path(sys.argv[1]), ORDINARY_SIZES)
headers.close()
os._exit(len(found) + 10)
"""
    path = sorted(unusual.iterdir())[0]
    done = subprocess.run([sys.executable, "-c", code, path], check=False, timeout=60)
    assert done.returncode == 11
