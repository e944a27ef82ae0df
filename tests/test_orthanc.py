"""A PACS takes our SEG and SR, by either way, and gives them back as they were."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import orthanc
import pydicom
import pytest
from pynetdicom import AE
from pynetdicom.sop_class import ComprehensiveSRStorage, SegmentationStorage
from test_seg import MADE_BY, UPRIGHT, delivered, some_mask

from liverseg.dicom.seg import liver_seg
from liverseg.dicom.sr import liver_sr
from liverseg.scans import read_scan

STORED = 0x0000  # PS3.7 C: success


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[orthanc.Orthanc]:
    with orthanc.running(tmp_path_factory.mktemp("orthanc")) as running:
        yield running


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A SEG and an SR of several kinds of sources."""
    folder = tmp_path_factory.mktemp("results")
    files = []
    for index, name in enumerate((*UPRIGHT, "a gantry tilt of 20 degrees")):
        with delivered(name, folder / str(index)) as scan:
            seg = liver_seg(scan.images, some_mask(read_scan(scan).image.shape), MADE_BY)
            assert seg is not None
        for kind, made in (("seg", seg), ("sr", liver_sr(seg, 1234.56, 101.5, MADE_BY))):
            files.append(folder / f"{kind}{index}.dcm")
            made.save_as(files[-1], enforce_file_format=True)
    return files


def unchanged(path: Path, given_back: bytes) -> bool:
    """Whether every element is as it was, pixels included."""
    before, after = pydicom.dcmread(path), pydicom.dcmread(io.BytesIO(given_back))
    same_pixels: bool = before.get("PixelData") == after.get("PixelData")
    return same_pixels and before.to_json() == after.to_json()


def test_results_stored_by_c_store_come_back_unchanged(
    pacs: orthanc.Orthanc, results: list[Path]
) -> None:
    entity = AE("LIVERSEG")
    for kind in (SegmentationStorage, ComprehensiveSRStorage):
        entity.add_requested_context(kind, "1.2.840.10008.1.2.1")
    link = entity.associate(orthanc.HOST, pacs.dicom)
    assert link.is_established
    statuses = [link.send_c_store(path).Status for path in results]
    link.release()
    assert statuses == [STORED] * len(results)
    kept = pacs.instances()
    for path in results:
        assert unchanged(path, kept[pydicom.dcmread(path).SOPInstanceUID])


def test_results_stored_by_stow_come_back_unchanged(
    pacs: orthanc.Orthanc, results: list[Path]
) -> None:
    pacs.remove_all()
    pacs.stow(results)
    kept = pacs.instances()
    for path in results:
        assert unchanged(path, kept[pydicom.dcmread(path).SOPInstanceUID])


def test_results_made_again_are_no_new_instances(pacs: orthanc.Orthanc, tmp_path: Path) -> None:
    with delivered("a clean series", tmp_path / "in") as scan:
        mask = some_mask(read_scan(scan).image.shape)
        for name in ("first", "second"):
            seg = liver_seg(scan.images, mask, MADE_BY)
            assert seg is not None
            seg.save_as(tmp_path / f"{name}.dcm", enforce_file_format=True)
    pacs.stow([tmp_path / "first.dcm"])
    before = set(pacs.instances())
    pacs.stow([tmp_path / "second.dcm"])
    assert set(pacs.instances()) == before
