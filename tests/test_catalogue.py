"""The catalogue of deliveries: each scan is read exactly or refused with its code."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pydicom
import pydicom.data
import pytest
from catalogue import CATALOGUE
from deliveries import Change, both, each, stored_values
from encoders import ToolMissing, by_tool, re_encoded, run_tool
from rows import EXACT, Truth

from liverseg.dicom.header import quiet_pydicom, read_header
from liverseg.dicom.pixels import read_stored, require_decoder
from liverseg.dicom.write import write_ct_series
from liverseg.errors import CODES, ScanRejected
from liverseg.scans import Volume, found_scans, read_scan


def outcomes(root: Path) -> list[Volume | str]:
    """What becomes of every scan below a folder: what was read, or its code."""
    found: list[Volume | str] = []
    with found_scans([root]) as scans:
        for scan in scans:
            try:
                found.append(read_scan(scan))
            except ScanRejected as error:
                found.append(error.code)
    return found


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom warns of the bad files we write
@pytest.mark.parametrize("name", CATALOGUE)
def test_a_delivery_is_read_exactly_or_refused(name: str, tmp_path: Path) -> None:
    case = CATALOGUE[name]
    case.write(tmp_path / "delivery")
    found = outcomes(tmp_path / "delivery")
    codes = sorted(entry for entry in found if isinstance(entry, str))
    assert codes == sorted(entry for entry in case.outcome if isinstance(entry, str))
    wanted = [entry for entry in case.outcome if isinstance(entry, Truth)]
    volumes = [entry for entry in found if isinstance(entry, Volume)]
    assert len(volumes) == len(wanted)
    for truth in wanted:
        near = min(volumes, key=lambda volume: _distance(volume, truth))
        np.testing.assert_allclose(near.affine, truth.affine, atol=1e-4)
        np.testing.assert_array_equal(near.image, truth.image)
        volumes = [volume for volume in volumes if volume is not near]  # one for each truth


def _distance(volume: Volume, truth: Truth) -> tuple[float, float]:
    """How far a volume is from a truth: in place, then in values."""
    if volume.image.shape != truth.image.shape:
        return np.inf, np.inf
    place = np.abs(volume.affine - truth.affine).max()
    return float(round(place, 4)), float((volume.image != truth.image).mean())


EIGHT_BITS = both(
    stored_values(lambda v: v // 16, "u1", BitsAllocated=8, BitsStored=8, HighBit=7),
    each(RescaleSlope=16),
)
LOSSY: dict[str, tuple[Change, Change]] = {
    "JPEG-LS near lossless": (by_tool("dcmcjpls", "+en", "+un"), by_tool("dcmdjpls")),
    "JPEG baseline": (
        both(EIGHT_BITS, by_tool("dcmcjpeg", "+eb", "+un")),
        by_tool("dcmdjpeg"),
    ),
    "JPEG 2000 with loss": (
        re_encoded(pydicom.uid.JPEG2000, j2k_cr=[10]),
        by_tool("gdcmconv", "--raw"),
    ),
}


@pytest.mark.parametrize("name", LOSSY)
def test_lossy_compression_is_read_as_other_decoders_do_and_said(name: str, tmp_path: Path) -> None:
    compress, decompress = LOSSY[name]
    write_ct_series(EXACT.image, EXACT.affine, tmp_path)
    compress(tmp_path)
    with found_scans([tmp_path]) as scans:
        ours = read_scan(scans[0])
    assert any("compressed with loss" in note for note in ours.notes)
    decompress(tmp_path)
    with found_scans([tmp_path]) as scans:
        np.testing.assert_array_equal(ours.image, read_scan(scans[0]).image)
    assert (ours.image != EXACT.image).any()


def test_no_file_of_the_pydicom_package_is_too_much(tmp_path: Path) -> None:
    folder = Path(pydicom.data.__file__).parent
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    assert len(files) > 100
    for number, path in enumerate(files):
        (tmp_path / str(number)).mkdir()
        shutil.copy(path, tmp_path / str(number) / path.name)
    codes = {entry for entry in outcomes(tmp_path) if isinstance(entry, str)}
    assert {"NOT_CT", "TOO_FEW_SLICES"} <= codes <= set(CODES)


def test_single_images_of_the_pydicom_package_are_decoded_as_pydicom_does() -> None:
    folder = Path(pydicom.data.__file__).parent
    equal = 0
    with quiet_pydicom():
        for path in sorted(folder.rglob("*.dcm")):
            try:
                item = read_header(path)[0]
                require_decoder(item)
                stored = read_stored(item, path.name, {})
            except ScanRejected:
                continue
            if item.modality in ("CT", "MR") and item.frames in (None, 1):
                reference = pydicom.dcmread(path, force=True)
                np.testing.assert_array_equal(stored, reference.pixel_array)
                equal += 1
    assert equal > 10


def test_a_tool_that_is_missing_is_named_with_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissing, match="dcmcrle is missing: apt-get install dcmtk"):
        run_tool("dcmcrle")
