"""DICOM SEG: right place, right patient, the same bytes each time; judged by others' tools."""

from __future__ import annotations

import dataclasses
import io
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import catalogue
import deliveries as d
import nibabel as nib
import numpy as np
import pydicom
import pytest
from catalogue import EXACT, case
from conftest import edit_slices
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset

from liverseg.dicom.derived import Provenance
from liverseg.dicom.seg import liver_seg
from liverseg.dicom.sr import liver_sr
from liverseg.errors import ScanRejected
from liverseg.scans import Finding, Scan, found_scans, read_scan

MADE_BY = Provenance("0.1.0", "a" * 64)
ALL = {**catalogue.SERIES, **catalogue.GEOMETRY, **catalogue.VALUES}
# What lies at right angles, and may be read by tools that know no other grids.
UPRIGHT = (
    "a clean series",
    "descending InstanceNumber",
    "coronal",
    "sagittal",
    "feet first",
    "prone",
    "on the left side",
    "oblique",
    "enhanced multi-frame",
)
TILTED = ("a gantry tilt of 20 degrees", "a gantry tilt of -12.5 degrees")
UNEVEN = "a gap of 1.02"


def some_mask(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """A body without symmetry, so that any turn or flip is found out."""
    mask = np.zeros(shape, np.uint8)
    mask[4:20, 5:25, 3:9] = 1
    mask[6:9, 7:9, 9] = 1
    mask[30:33, 20:22, 4] = 1
    return mask


@contextmanager
def delivered(name: str, folder: Path) -> Iterator[Scan]:
    """The accepted scan of a delivery of the catalogue."""
    ALL[name].write(folder)
    with found_scans([folder], Finding(resample_irregular=True)) as scans:
        yield next(scan for scan in scans if scan.accepted)


def saved(dataset: Dataset, path: Path) -> Path:
    dataset.save_as(path, enforce_file_format=True)
    return path


def complaints(*command: str | Path) -> list[str]:
    """What dicom3tools' validators call errors."""
    ended = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    said = (ended.stdout + ended.stderr).splitlines()
    return [line for line in said if line.startswith(("Error", "Abort"))]


@pytest.mark.parametrize("name", [*UPRIGHT, *TILTED, UNEVEN])
def test_validators_find_no_error_in_seg_and_sr(name: str, tmp_path: Path) -> None:
    with delivered(name, tmp_path / "in") as scan:
        seg = liver_seg(scan.images, some_mask(read_scan(scan).image.shape), MADE_BY)
        assert seg is not None
    sr = liver_sr(seg, 1234.56, 101.5, MADE_BY)
    paths = [saved(seg, tmp_path / "seg.dcm"), saved(sr, tmp_path / "sr.dcm")]
    assert [complaints("dciodvfy", path) for path in paths] == [[], []]
    assert complaints("dcentvfy", *paths, *sorted((tmp_path / "in").rglob("*.dcm"))) == []


@pytest.mark.parametrize("name", UPRIGHT)
def test_dcmqi_reads_the_same_voxels_at_the_same_places(name: str, tmp_path: Path) -> None:
    with delivered(name, tmp_path / "in") as scan:
        volume = read_scan(scan)
        mask = some_mask(volume.image.shape)
        seg = liver_seg(scan.images, mask, MADE_BY)
        assert seg is not None
    path = saved(seg, tmp_path / "seg.dcm")
    reader = Path(sys.executable).with_name("segimage2itkimage")
    options = ["--inputDICOM", path, "--outputDirectory", tmp_path, "--outputType", "nii"]
    subprocess.run([reader, *options], check=True, capture_output=True)
    read = nib.load(next(tmp_path.glob("*.nii.gz")))
    there = nib.affines.apply_affine(read.affine, np.argwhere(np.asarray(read.dataobj)))
    voxels = nib.affines.apply_affine(np.linalg.inv(volume.affine), there)
    assert np.abs(voxels - np.rint(voxels)).max() < 1e-3
    assert {*map(tuple, np.rint(voxels).astype(int))} == {*map(tuple, np.argwhere(mask))}


@pytest.mark.parametrize("name", [*UPRIGHT, *TILTED, UNEVEN])
def test_every_frame_lies_where_its_source_slice_does(name: str, tmp_path: Path) -> None:
    with delivered(name, tmp_path / "in") as scan:
        mask = some_mask(read_scan(scan).image.shape)
        seg = liver_seg(scan.images, mask, MADE_BY)
        assert seg is not None
        slices = {item.sop_uid: (item, index) for index, item in enumerate(scan.images)}
    read = pydicom.dcmread(io.BytesIO(saved(seg, tmp_path / "s.dcm").read_bytes()))
    frames = read.pixel_array
    shared = read.SharedFunctionalGroupsSequence[0]
    seen = set()
    for frame, groups in zip(frames, read.PerFrameFunctionalGroupsSequence, strict=True):
        (source,) = groups.DerivationImageSequence[0].SourceImageSequence
        number = source.get("ReferencedFrameNumber")
        uid = source.ReferencedSOPInstanceUID + ("" if number is None else f"#{number - 1}")
        item, index = slices[uid]
        assert source.ReferencedSOPClassUID == item.sop_class
        position = groups.PlanePositionSequence[0].ImagePositionPatient
        assert tuple(map(float, position)) == item.position
        assert np.array_equal(frame, mask[:, :, index].T)
        seen.add(index)
    orientation = shared.PlaneOrientationSequence[0].ImageOrientationPatient
    assert tuple(map(float, orientation)) == item.orientation
    spacing = shared.PixelMeasuresSequence[0].PixelSpacing
    assert (float(spacing[1]), float(spacing[0])) == item.spacing_mm
    # A frame for every slice with liver, and no other.
    assert seen == {*np.flatnonzero(mask.any(axis=(0, 1)))}


def test_seg_says_what_it_is_and_who_made_it(tmp_path: Path) -> None:
    with delivered("a clean series", tmp_path / "in") as scan:
        seg = liver_seg(scan.images, some_mask(EXACT.image.shape), MADE_BY)
        assert seg is not None
    (segment,) = seg.SegmentSequence
    assert (segment.SegmentLabel, segment.SegmentAlgorithmType) == ("Liver", "AUTOMATIC")
    codes = [
        (code[0].CodeValue, code[0].CodingSchemeDesignator)
        for code in (
            segment.SegmentedPropertyTypeCodeSequence,
            segment.SegmentedPropertyCategoryCodeSequence,
        )
    ]
    assert codes == [("10200004", "SCT"), ("123037004", "SCT")]
    (algorithm,) = segment.SegmentationAlgorithmIdentificationSequence
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("liverseg", "0.1.0")
    assert seg.SegmentationType == "BINARY"
    assert {uid.SeriesInstanceUID for uid in seg.ReferencedSeriesSequence} == {scan.series_uid}
    assert seg.SeriesInstanceUID != scan.series_uid


def test_patient_and_study_are_the_sources_own(tmp_path: Path) -> None:
    ALL["a clean series"].write(tmp_path / "in")
    told = {
        "PatientName": "Müller^Jürgen",
        "PatientID": "PID-1",
        "PatientBirthDate": "19410923",
        "PatientSex": "M",
        "AccessionNumber": "ACC-1",
        "StudyID": "7",
        "StudyDescription": "Abdomen",
        "StudyDate": "20200102",
        "StudyTime": "101112",
        "ReferringPhysicianName": "Doe^John",
        "PatientWeight": "81.5",
    }

    def change(dataset: FileDataset, index: int) -> None:
        dataset.SpecificCharacterSet = "ISO_IR 100"
        for keyword, value in told.items():
            setattr(dataset, keyword, value)

    edit_slices(tmp_path / "in", change)
    with found_scans([tmp_path / "in"]) as (scan,):
        seg = liver_seg(scan.images, some_mask(EXACT.image.shape), MADE_BY)
        assert seg is not None
    sr = liver_sr(seg, 1.0, 2.0, MADE_BY)
    for made in (seg, sr):
        read = pydicom.dcmread(saved(made, tmp_path / "made.dcm"))
        assert {keyword: str(read.get(keyword)) for keyword in told if keyword in read} == {
            keyword: value for keyword, value in told.items() if made is seg or keyword in read
        }
        assert read.StudyInstanceUID == scan.study_uid
        assert "InstitutionName" not in read


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom warns of what we write
def test_what_the_source_says_wrongly_is_left_empty(tmp_path: Path) -> None:
    ALL["a clean series"].write(tmp_path / "in")
    wrong = {
        "PatientBirthDate": "1941-Sep",
        "PatientSex": "MALE",
        "StudyTime": "noon",
        "PatientAge": "79",
        "AccessionNumber": "A" * 40,
    }

    def change(dataset: FileDataset, index: int) -> None:
        for keyword, value in wrong.items():
            setattr(dataset, keyword, value)

    with pydicom.config.disable_value_validation():
        edit_slices(tmp_path / "in", change)
    with found_scans([tmp_path / "in"]) as (scan,):
        seg = liver_seg(scan.images, some_mask(EXACT.image.shape), MADE_BY)
        assert seg is not None
    assert [seg.get(keyword) or "" for keyword in wrong] == [""] * len(wrong)
    assert complaints("dciodvfy", saved(seg, tmp_path / "seg.dcm")) == []


def written(folder: Path, mask: NDArray[np.uint8], made_by: Provenance = MADE_BY) -> bytes:
    with found_scans([folder]) as (scan,):
        seg = liver_seg(scan.images, mask, made_by)
        assert seg is not None
    buffer = io.BytesIO()
    seg.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def test_same_scan_gives_the_same_bytes_under_any_file_names(tmp_path: Path) -> None:
    ALL["a clean series"].write(tmp_path / "in")
    mask = some_mask(EXACT.image.shape)
    first = written(tmp_path / "in", mask)
    for index, path in enumerate(sorted((tmp_path / "in").iterdir())):
        path.rename(path.with_name(f"z{99 - index}"))
    assert written(tmp_path / "in", mask) == first


@pytest.mark.parametrize(
    ("change", "new_series"),
    [
        ({"version": "0.2.0"}, True),
        ({"weights_sha256": "b" * 64}, True),
        ({"options": "refine"}, True),
        ({}, False),
    ],
    ids=["version", "weights", "options", "another mask"],
)
def test_another_result_is_another_instance(
    change: dict[str, str], new_series: bool, tmp_path: Path
) -> None:
    ALL["a clean series"].write(tmp_path / "in")
    mask = some_mask(EXACT.image.shape)
    first = pydicom.dcmread(io.BytesIO(written(tmp_path / "in", mask)))
    if not change:
        mask[5, 5, 5] = 0
    made_by = dataclasses.replace(MADE_BY, **change)
    second = pydicom.dcmread(io.BytesIO(written(tmp_path / "in", mask, made_by)))
    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert (first.SeriesInstanceUID != second.SeriesInstanceUID) is new_series


@pytest.mark.parametrize(
    ("make", "keyword"),
    [
        (d.each(SOPInstanceUID="", StudyInstanceUID="", SeriesInstanceUID=""), "SOPInstanceUID"),
        (d.each(FrameOfReferenceUID=None), "FrameOfReferenceUID"),
        (d.one(5, FrameOfReferenceUID=""), "FrameOfReferenceUID"),
    ],
)
def test_source_that_cannot_be_referred_to_is_refused(
    make: d.Change, keyword: str, tmp_path: Path
) -> None:
    case(make).write(tmp_path / "in")
    with found_scans([tmp_path / "in"]) as (scan,), pytest.raises(ScanRejected) as refusal:
        liver_seg(scan.images, some_mask(EXACT.image.shape), MADE_BY)
    assert refusal.value.code == "NO_UIDS"
    assert keyword in refusal.value.detail


def test_identifier_with_letters_is_none(tmp_path: Path) -> None:
    ALL["a clean series"].write(tmp_path / "in")
    with found_scans([tmp_path / "in"]) as (scan,):
        images = [dataclasses.replace(item, study_uid="study 7") for item in scan.images]
        with pytest.raises(ScanRejected, match="StudyInstanceUID is needed"):
            liver_seg(images, some_mask(EXACT.image.shape), MADE_BY)


def test_empty_mask_gives_no_seg(tmp_path: Path) -> None:
    ALL["a clean series"].write(tmp_path / "in")
    with found_scans([tmp_path / "in"]) as (scan,):
        assert liver_seg(scan.images, np.zeros(EXACT.image.shape, np.uint8), MADE_BY) is None


def test_mask_of_another_size_is_an_error(tmp_path: Path) -> None:
    ALL["a clean series"].write(tmp_path / "in")
    with found_scans([tmp_path / "in"]) as (scan,), pytest.raises(ValueError, match="12 slices"):
        liver_seg(scan.images, np.ones((40, 32, 11), np.uint8), MADE_BY)


def numbers_of(sr: Dataset) -> dict[str, tuple[float, str]]:
    """Every number of a content tree, by its concept."""
    found = {}
    for item in sr.get("ContentSequence", []):
        if item.ValueType == "NUM":
            (value,) = item.MeasuredValueSequence
            (unit,) = value.MeasurementUnitsCodeSequence
            (concept,) = item.ConceptNameCodeSequence
            found[concept.CodeMeaning] = (float(value.NumericValue), unit.CodeValue)
        found |= numbers_of(item)
    return found


def test_sr_holds_volume_and_mean_and_refers_to_the_seg(tmp_path: Path) -> None:
    with delivered("a clean series", tmp_path / "in") as scan:
        seg = liver_seg(scan.images, some_mask(EXACT.image.shape), MADE_BY)
        assert seg is not None
    sr = pydicom.dcmread(saved(liver_sr(seg, 1234.56, -7.25, MADE_BY), tmp_path / "sr.dcm"))
    assert numbers_of(sr) == {
        "Volume": (1234.56, "ml"),
        "Attenuation Coefficient": (-7.25, "[hnsf'U]"),
    }
    evidence = sr.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
    assert evidence.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == seg.SOPInstanceUID
    again = io.BytesIO()
    liver_sr(seg, 1234.56, -7.25, MADE_BY).save_as(again, enforce_file_format=True)
    assert again.getvalue() == (tmp_path / "sr.dcm").read_bytes()


def test_series_of_an_enhanced_file_is_referred_to_by_its_file(tmp_path: Path) -> None:
    with delivered("enhanced multi-frame", tmp_path / "in") as scan:
        seg = liver_seg(scan.images, some_mask(read_scan(scan).image.shape), MADE_BY)
        assert seg is not None
        uids = {item.sop_uid.partition("#")[0] for item in scan.images}
    (series,) = seg.ReferencedSeriesSequence
    assert [str(item.ReferencedSOPInstanceUID) for item in series.ReferencedInstanceSequence] == [
        *uids
    ]
