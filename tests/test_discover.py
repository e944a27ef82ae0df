"""The catalogue of hospital folders: each is read exactly or refused with its code."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import gdcm
import numpy as np
import pydicom
import pytest
from conftest import AFFINE, edit_slices, small_ct
from pydicom.dataset import FileDataset
from pydicom.uid import generate_uid

from liverseg.dicom.write import write_ct_series
from liverseg.errors import ScanRejected
from liverseg.scans import Scan, found_scans, read_scan

EXACT = "read exactly"
COUNT = 12  # slices of small_ct
Case = tuple[Callable[[Path], object], list[str]]


def outcomes(root: Path) -> list[str]:
    """What becomes of every series below a folder: EXACT when it is small_ct, or its code."""
    image, affine = small_ct()
    found = []
    with found_scans([root]) as scans:
        for scan in scans:
            try:
                volume = read_scan(scan)
            except ScanRejected as error:
                found.append(error.code)
                continue
            np.testing.assert_array_equal(volume.image, image)
            np.testing.assert_allclose(volume.affine, affine, atol=1e-4)
            found.append(EXACT)
    return sorted(found)


def each(**elements: object) -> Callable[[Path], None]:
    """Set elements of every slice; None deletes one."""

    def change(dataset: FileDataset, index: int) -> None:
        for keyword, value in elements.items():
            if value is None:
                delattr(dataset, keyword)
            else:
                setattr(dataset, keyword, value(index) if callable(value) else value)

    return lambda folder: edit_slices(folder, change)


def one(index: int, **elements: object) -> Callable[[Path], None]:
    """Set elements of one slice."""

    def make(folder: Path) -> None:
        path = sorted(folder.iterdir())[index]
        dataset = pydicom.dcmread(path)
        for keyword, value in elements.items():
            setattr(dataset, keyword, value)
        dataset.save_as(path)

    return make


def remove(*indices: int) -> Callable[[Path], None]:
    """Take slices away."""

    def make(folder: Path) -> None:
        files = sorted(folder.iterdir())
        for index in indices:
            files[index].unlink()

    return make


def positions(heights: Callable[[int], float]) -> Callable[[Path], None]:
    """Move every slice along z (LPS and RAS z are the same)."""

    def change(dataset: FileDataset, index: int) -> None:
        dataset.ImagePositionPatient = [-95, 83.25, round(34.5 - heights(index), 6)]

    return lambda folder: edit_slices(folder, change)


def scout_beside(folder: Path) -> None:
    image = np.zeros((40, 32, 1), dtype=np.int16)
    write_ct_series(image, AFFINE, folder / "scout", localizer=True)


def same_series(folder: Path) -> Callable[[Path], None]:
    """Give every slice of another folder the identifiers of this one's series."""
    first = pydicom.dcmread(min(folder.glob("*.dcm")))
    return each(
        StudyInstanceUID=first.StudyInstanceUID,
        SeriesInstanceUID=first.SeriesInstanceUID,
        PatientID=first.PatientID,
    )


def scout_inside(folder: Path) -> None:
    scout_beside(folder)
    same_series(folder)(folder / "scout")


def askew_inside(folder: Path) -> None:
    scout_inside(folder)
    turned = {"ImageOrientationPatient": [1, 0, 0, 0, 0, -1], "ImageType": ["ORIGINAL", "PRIMARY"]}
    each(**turned)(folder / "scout")


def two_series(folder: Path) -> None:
    write_ct_series(*small_ct(), folder / "deep" / "er" / "SE2")


def two_phases(keyword: str, values: tuple[object, object]) -> Callable[[Path], None]:
    """The scan twice under one SeriesInstanceUID, told apart by one element."""

    def make(folder: Path) -> None:
        each(**{keyword: values[0]})(folder)
        second = folder / "second"
        write_ct_series(*small_ct(), second)
        same_series(folder)(second)
        each(**{keyword: values[1]})(second)

    return make


def phases_without_a_tag(folder: Path) -> None:
    two_phases("AcquisitionNumber", (1, 1))(folder)


def same_file_twice(folder: Path) -> None:
    shutil.copy(folder / "IM0003.dcm", folder / "copy.dcm")


def same_image_other_header(folder: Path) -> None:
    dataset = pydicom.dcmread(folder / "IM0003.dcm")
    dataset.InstitutionName = "elsewhere"
    dataset.save_as(folder / "copy.dcm")


def duplicate_conflict(folder: Path) -> None:
    dataset = pydicom.dcmread(folder / "IM0003.dcm")
    dataset.PixelData = bytes(len(dataset.PixelData))
    dataset.save_as(folder / "copy.dcm")


def other_matrix(folder: Path) -> None:
    dataset = pydicom.dcmread(folder / "IM0004.dcm")
    dataset.Rows = 16
    dataset.PixelData = dataset.PixelData[: len(dataset.PixelData) // 2]
    dataset.save_as(folder / "IM0004.dcm")


def cut(index: int, length: int) -> Callable[[Path], None]:
    """Cut one file to so many bytes; below 0, by so many."""

    def make(folder: Path) -> None:
        path = sorted(folder.iterdir())[index]
        path.write_bytes(path.read_bytes()[:length])

    return make


def short_pixel_data(folder: Path) -> None:
    dataset = pydicom.dcmread(folder / "IM0005.dcm")
    dataset.PixelData = dataset.PixelData[:100]
    dataset.save_as(folder / "IM0005.dcm")


def junk_beside(folder: Path) -> None:
    for name, content in (("empty", b""), (".DS_Store", b"\0\0\0\1Bud1"), ("a.txt", b"hello")):
        (folder / name).write_bytes(content)
    os.mkfifo(folder / "fifo")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(folder / "s"))


def report_beside(folder: Path) -> None:
    dataset = pydicom.dcmread(folder / "IM0001.dcm")
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.88.11"
    dataset.Modality = "SR"
    del dataset.PixelData
    dataset.SOPInstanceUID = generate_uid()
    dataset.save_as(folder / "report.dcm")


def dicomdir_beside(folder: Path) -> None:
    dataset = pydicom.dcmread(folder / "IM0001.dcm", stop_before_pixels=True)
    for element in list(dataset):
        del dataset[element.tag]
    dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.1.3.10"
    dataset.save_as(folder / "DICOMDIR")


def outside_link(folder: Path) -> None:
    elsewhere = folder.parent / "elsewhere"
    write_ct_series(*small_ct(), elsewhere)
    (folder / "link").symlink_to(elsewhere)


def re_encoded(syntax: str) -> Callable[[Path], None]:
    """Write every slice in another transfer syntax."""

    def make(folder: Path) -> None:
        for path in sorted(folder.iterdir()):
            dataset = pydicom.dcmread(path)
            if syntax == pydicom.uid.ExplicitVRBigEndian:
                values = np.frombuffer(dataset.PixelData, "<u2").astype(">u2")
                dataset.PixelData = values.tobytes()
            if pydicom.uid.UID(syntax).is_encapsulated:
                dataset.compress(syntax, generate_instance_uid=False)
            dataset.file_meta.TransferSyntaxUID = syntax
            fresh = pydicom.dataset.Dataset(dataset)  # without the encoding it was read in
            fresh.file_meta = dataset.file_meta
            fresh.save_as(path, enforce_file_format=True)

    return make


def by_gdcm(syntax: int) -> Callable[[Path], None]:
    """Compress every slice with GDCM, which writes JPEG lossless."""

    def make(folder: Path) -> None:
        for path in sorted(folder.iterdir()):
            reader, writer = gdcm.ImageReader(), gdcm.ImageWriter()
            reader.SetFileName(str(path))
            assert reader.Read()
            change = gdcm.ImageChangeTransferSyntax()
            change.SetTransferSyntax(gdcm.TransferSyntax(syntax))
            change.SetInput(reader.GetImage())
            assert change.Change()
            writer.SetFile(reader.GetFile())
            writer.SetImage(change.GetOutput())
            writer.SetFileName(str(path))
            assert writer.Write()

    return make


def lying_syntax(folder: Path) -> None:
    each(BitsStored=12, HighBit=11)(folder)
    by_gdcm(gdcm.TransferSyntax.JPEGLosslessProcess14_1)(folder)
    for path in sorted(folder.iterdir()):
        dataset = pydicom.dcmread(path)
        dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.51"
        dataset.save_as(path)


def no_preamble(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        dataset = pydicom.dcmread(path)
        bare = pydicom.dataset.Dataset(dataset)
        bare.save_as(path, implicit_vr=True, little_endian=True)


def unknown_syntax(folder: Path) -> None:
    re_encoded(pydicom.uid.RLELossless)(folder)
    for path in sorted(folder.iterdir()):
        dataset = pydicom.dcmread(path)
        dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.100"  # MPEG2
        dataset.save_as(path)


def truncated_stream(folder: Path) -> None:
    re_encoded(pydicom.uid.JPEG2000Lossless)(folder)
    path = folder / "IM0005.dcm"
    path.write_bytes(path.read_bytes()[:-60])


def high_bit_garbage(folder: Path) -> None:
    def change(dataset: FileDataset, index: int) -> None:
        values = np.frombuffer(dataset.PixelData, "<u2")
        dataset.PixelData = (values | 0xA000).astype("<u2").tobytes()
        dataset.BitsStored, dataset.HighBit = 12, 11

    edit_slices(folder, change)


def rescale_per_slice(folder: Path) -> None:
    def change(dataset: FileDataset, index: int) -> None:
        hu = np.frombuffer(dataset.PixelData, "<u2").astype(np.int64) - 1024
        dataset.RescaleSlope, dataset.RescaleIntercept = "0.5", -1024 - index
        dataset.PixelData = ((hu + 1024 + index) * 2).astype("<u2").tobytes()

    edit_slices(folder, change)


def no_extension(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        path.rename(path.with_suffix(""))


def non_ascii(folder: Path) -> None:
    inner = folder / "Männer 患者 \udcff"
    inner.mkdir()
    for path in sorted(folder.glob("*.dcm")):
        path.rename(inner / path.name)
    each(SpecificCharacterSet="ISO_IR 192", PatientName="Ångström^Zoë")(inner)


def many_few(folder: Path) -> None:
    remove(*range(7, COUNT))(folder)


CATALOGUE: dict[str, Case] = {
    "a clean series": (lambda folder: None, [EXACT]),
    "two series in a nested tree": (two_series, [EXACT, EXACT]),
    "files without extensions": (no_extension, [EXACT]),
    "non-ASCII names, folders and bytes": (non_ascii, [EXACT]),
    "a localizer series beside it": (scout_beside, ["LOCALIZER", EXACT]),
    "a localizer inside the series": (scout_inside, [EXACT]),
    "an image askew inside the series": (askew_inside, [EXACT]),
    "only a localizer": (each(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), ["LOCALIZER"]),
    "an SR under the same series UID": (report_beside, ["NOT_CT", EXACT]),
    "an MR series": (each(SOPClassUID="1.2.840.10008.5.1.4.1.1.4", Modality="MR"), ["NOT_CT"]),
    "colour images": (each(PhotometricInterpretation="RGB"), ["NOT_CT"]),
    "no pixel data at all": (each(PixelData=None), ["NOT_CT"]),
    "junk, an empty file, a FIFO and a socket": (junk_beside, ["NOT_CT", EXACT]),
    "a DICOMDIR": (dicomdir_beside, [EXACT]),
    "a link out of the folder": (outside_link, ["NOT_CT", EXACT]),
    "the same file twice": (same_file_twice, [EXACT]),
    "the same image with another header": (same_image_other_header, [EXACT]),
    "one identifier, different pixels": (duplicate_conflict, ["DUPLICATE_CONFLICT"]),
    "phases by AcquisitionNumber": (two_phases("AcquisitionNumber", (1, 2)), [EXACT, EXACT]),
    "phases by temporal position": (
        two_phases("TemporalPositionIdentifier", (1, 2)),
        [EXACT, EXACT],
    ),
    "reconstructions by kernel": (two_phases("ConvolutionKernel", ("B30f", "B70f")), [EXACT] * 2),
    "two energies": (two_phases("KVP", ("80", "140")), [EXACT] * 2),
    "phases by one time each": (two_phases("AcquisitionTime", ("120000", "120100")), [EXACT] * 2),
    "phases by times that run on": (
        two_phases(
            "AcquisitionTime",
            (lambda index: f"1200{index:02d}", lambda index: f"1201{index:02d}"),
        ),
        [EXACT] * 2,
    ),
    "phases by content time": (two_phases("ContentTime", ("120000", "120100")), [EXACT] * 2),
    "phases that no tag tells apart": (phases_without_a_tag, ["AMBIGUOUS_POSITIONS"]),
    "one time per slice, one volume": (
        each(AcquisitionTime=lambda index: f"1200{index:02d}"),
        [EXACT],
    ),
    "one acquisition per slice, one volume": (
        each(AcquisitionNumber=lambda index: index + 1),
        [EXACT],
    ),
    "one slice missing": (remove(5), ["MISSING_SLICES"]),
    "two slices missing in a row": (remove(5, 6), ["MISSING_SLICES"]),
    "two slices missing apart": (remove(3, 8), ["MISSING_SLICES"]),
    "spacing that changes": (positions(lambda i: 3 * i + max(0, i - 5)), ["IRREGULAR_SPACING"]),
    "a gap of 1.02": (positions(lambda i: 3 * i + 0.06 * (i > 5)), ["IRREGULAR_SPACING"]),
    "jitter of a few micrometres": (positions(lambda i: 3 * i + 4e-6 * (i % 2)), [EXACT]),
    "a slice shifted sideways": (
        one(5, ImagePositionPatient=[-94.0, 83.25, 19.5]),
        ["IRREGULAR_SPACING"],
    ),
    "no ImagePositionPatient": (each(ImagePositionPatient=None), ["NO_POSITION"]),
    "one slice without a position": (one(4, ImagePositionPatient=None), ["NO_POSITION"]),
    "no ImageOrientationPatient": (each(ImageOrientationPatient=None), ["NO_POSITION"]),
    "an impossible orientation": (
        each(ImageOrientationPatient=[1, 0, 0, 1, 0, 0]),
        ["NO_POSITION"],
    ),
    "no PixelSpacing": (each(PixelSpacing=None), ["NO_POSITION"]),
    "a pixel spacing of zero": (each(PixelSpacing=[0, 0]), ["NO_POSITION"]),
    "a slice of another matrix": (other_matrix, ["MIXED_MATRIX"]),
    "a slice of another pixel spacing": (one(3, PixelSpacing=[1.4, 2.0]), ["MIXED_MATRIX"]),
    "seven slices": (many_few, ["TOO_FEW_SLICES"]),
    "a file cut in its pixels": (cut(4, -9), ["TRUNCATED"]),
    "a file cut after its identifiers": (cut(4, 1100), ["TRUNCATED"]),
    "a file cut before its identifiers": (cut(4, 500), ["MISSING_SLICES", "TRUNCATED"]),
    "the last file cut before its identifiers": (cut(11, 500), ["TRUNCATED", "TRUNCATED"]),
    "the last file cut in its file meta": (cut(11, 200), ["TRUNCATED", "TRUNCATED"]),
    "pixel data shorter than the matrix": (short_pixel_data, ["TRUNCATED"]),
    "descending InstanceNumber": (each(InstanceNumber=lambda index: COUNT - index), [EXACT]),
    "equal InstanceNumber": (each(InstanceNumber=1), [EXACT]),
    "empty InstanceNumber": (each(InstanceNumber=""), [EXACT]),
    "implicit VR": (re_encoded(pydicom.uid.ImplicitVRLittleEndian), [EXACT]),
    "implicit VR without a preamble": (no_preamble, [EXACT]),
    "big endian": (re_encoded(pydicom.uid.ExplicitVRBigEndian), [EXACT]),
    "deflated": (re_encoded(pydicom.uid.DeflatedExplicitVRLittleEndian), [EXACT]),
    "RLE": (re_encoded(pydicom.uid.RLELossless), [EXACT]),
    "JPEG 2000 lossless": (re_encoded(pydicom.uid.JPEG2000Lossless), [EXACT]),
    "JPEG-LS lossless": (re_encoded(pydicom.uid.JPEGLSLossless), [EXACT]),
    "JPEG lossless, process 14": (by_gdcm(gdcm.TransferSyntax.JPEGLosslessProcess14), [EXACT]),
    "JPEG lossless, selection value 1": (
        by_gdcm(gdcm.TransferSyntax.JPEGLosslessProcess14_1),
        [EXACT],
    ),
    "JPEG extended with 12 bits": (lying_syntax, ["UNSUPPORTED_TRANSFER_SYNTAX"]),
    "a JPEG 2000 stream cut short": (truncated_stream, ["TRUNCATED"]),
    "a video": (unknown_syntax, ["UNSUPPORTED_TRANSFER_SYNTAX"]),
    "12 bits with garbage above": (high_bit_garbage, [EXACT]),
    "rescale that differs per slice": (rescale_per_slice, [EXACT]),
    "MONOCHROME1": (each(PhotometricInterpretation="MONOCHROME1"), [EXACT]),
    "no RescaleType": (each(RescaleType=None), [EXACT]),
    "no rescale": (each(RescaleIntercept=None, RescaleSlope=None), ["NO_RESCALE"]),
    "other units": (each(RescaleType="MGML", RescaleIntercept=0), ["HU_IMPLAUSIBLE"]),
    "other units by name, but HU": (each(RescaleType="US"), [EXACT]),
    "values beyond 16 bits": (each(RescaleSlope="100"), ["HU_IMPLAUSIBLE"]),
    "blank identifiers": (
        each(SOPInstanceUID="", StudyInstanceUID="", SeriesInstanceUID=""),
        [EXACT],
    ),
    "a projection": (each(ImageType=["DERIVED", "SECONDARY", "AXIAL", "MIP"]), ["PROJECTION"]),
    "a reformatted series": (each(ImageType=["DERIVED", "SECONDARY", "MPR"]), [EXACT]),
    "several frames without a place for each": (
        each(NumberOfFrames=2),
        ["UNSUPPORTED_MULTIFRAME"],
    ),
}


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom warns of the bad files we write
@pytest.mark.parametrize("name", CATALOGUE)
def test_a_hospital_folder_is_read_exactly_or_refused(name: str, small_dicom: Path) -> None:
    make, expected = CATALOGUE[name]
    make(small_dicom)
    assert outcomes(small_dicom) == sorted(expected)


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


def test_the_case_id_is_the_digest_of_the_series_uid(tmp_path: Path) -> None:
    write_ct_series(*small_ct(), tmp_path)
    each(SeriesInstanceUID="1.2.3")(tmp_path)
    # printf 1.2.3 | sha256sum
    assert only(tmp_path).case_id == "c47f5b18b8a430e6"


def test_parts_of_one_series_have_ids_of_their_own(small_dicom: Path) -> None:
    two_phases("AcquisitionNumber", (1, 2))(small_dicom)
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
    assert "1 localizer images were left out" in notes
    assert "1 files were copies" in notes


def test_an_accepted_series_describes_itself(small_dicom: Path) -> None:
    scan = only(small_dicom)
    assert (scan.slices, scan.rows, scan.columns) == (12, 32, 40)
    assert scan.spacing_mm == pytest.approx((2.0, 1.5, 3.0))
    assert (scan.kind, scan.modality, scan.source) == ("dicom", "CT", small_dicom)


def test_patients_under_one_series_uid_are_kept_apart(small_dicom: Path) -> None:
    other = small_dicom / "other"
    write_ct_series(*small_ct(), other)
    same_series(small_dicom)(other)
    each(PatientID="0002")(other)
    assert outcomes(small_dicom) == [EXACT, EXACT]


def test_interleaved_acquisitions_are_two_scans(small_dicom: Path) -> None:
    between = AFFINE.copy()
    between[2, 3] += 1.5  # half a slice: together they would look like one even volume
    write_ct_series(small_ct()[0], between, small_dicom / "second")
    same_series(small_dicom)(small_dicom / "second")
    each(AcquisitionNumber=2)(small_dicom / "second")
    with found_scans([small_dicom]) as scans:
        assert [scan.slices for scan in scans] == [12, 12]
        assert [scan.spacing_mm[2] for scan in scans] == pytest.approx([3.0, 3.0])


def test_nothing_of_a_patient_is_written_to_the_terminal(
    small_dicom: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    secret = "DOE^JANE^19700101"
    with pydicom.config.disable_value_validation():  # what a sloppy sender writes
        each(PatientBirthDate=secret, AccessionNumber=secret, KVP=None)(small_dicom)
    (small_dicom / "IM0004.dcm").write_bytes((small_dicom / "IM0004.dcm").read_bytes()[:900])
    outcomes(small_dicom)
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
        assert sorted(scan.code for scan in scans) == ["", "MIXED_MATRIX"]
