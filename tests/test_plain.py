"""The quick reader of headers: what it reads is what pydicom reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from conftest import edit_slices
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from liverseg.dicom import header
from liverseg.dicom.image import Slice
from liverseg.dicom.plain import Unusual, plain_header
from liverseg.errors import ScanRejected

PYDICOM_FILES = Path(pydicom.__file__).parent / "data"


def plainly(path: Path) -> Slice | None:
    """What the quick reader makes of a file; None when it leaves it to pydicom."""
    with path.open("rb", buffering=0) as file:
        plain = header._plain_header(file)
    return plain and header._plain_slice(plain, path, path.stat().st_size)


def by_pydicom(path: Path) -> Slice | None:
    """What is read through pydicom; None when it cannot."""
    with header.quiet_pydicom(), path.open("rb") as file:
        try:
            return header._read_header(file, path)[0]
        except ScanRejected:
            return None


def nested(depth: int) -> Sequence:
    """Sequences in sequences, each of undefined length."""
    item = Dataset()
    item.CodeValue = "121311"
    item.is_undefined_length_sequence_item = True
    if depth:
        item.PurposeOfReferenceCodeSequence = nested(depth - 1)
        item["PurposeOfReferenceCodeSequence"].is_undefined_length = True
    return Sequence([item])


def with_sequences(depth: int) -> Callable[[FileDataset, int], None]:
    def change(dataset: FileDataset, index: int) -> None:
        dataset.ReferencedImageSequence = nested(depth)
        dataset["ReferencedImageSequence"].is_undefined_length = True

    return change


def with_padding(dataset: FileDataset, index: int) -> None:
    dataset.add_new("PixelPaddingValue", "SS", -1024)
    dataset.PixelRepresentation = 1


def with_large_elements(dataset: FileDataset, index: int) -> None:
    dataset.add_new("IconImageSequence", "SQ", [])
    dataset.add_new((0x0029, 0x0010), "LO", "VENDOR")
    dataset.add_new((0x0029, 0x1010), "OB", bytes(100_000))  # more than is read at first


def with_odd_padding(dataset: FileDataset, index: int) -> None:
    dataset.ImageType = ["ORIGINAL ", " PRIMARY", ""]
    dataset["PixelSpacing"].value = ["1.50", " 2.0"]
    dataset.AcquisitionNumber = "01 "


@pytest.mark.parametrize("syntax", ["", ImplicitVRLittleEndian])
@pytest.mark.parametrize(
    "change",
    [
        lambda dataset, index: None,
        with_sequences(0),
        with_sequences(3),
        with_padding,
        with_large_elements,
        with_odd_padding,
    ],
)
def test_what_it_reads_is_what_pydicom_reads(
    small_dicom: Path, change: Callable[[FileDataset, int], None], syntax: str
) -> None:
    def convert(dataset: FileDataset, index: int) -> None:
        change(dataset, index)
        if syntax:
            dataset.file_meta.TransferSyntaxUID = syntax

    edit_slices(small_dicom, convert)
    for path in small_dicom.iterdir():
        found = plainly(path)
        assert found is not None
        assert found.transfer_syntax == (syntax or "1.2.840.10008.1.2.1")
        # A signed padding of an implicit file may lose its sign, which nobody asks for.
        expected = by_pydicom(path)
        assert expected is not None
        if syntax and change is with_padding:
            assert found.layout.padding == (0xFC00, 0xFC00)
            continue
        assert found == expected


def other_alphabet(dataset: FileDataset, index: int) -> None:
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientID = "Łódź"


def two_rows(dataset: FileDataset, index: int) -> None:
    dataset["Rows"].value = [32, 32]


def wrong_type(dataset: FileDataset, index: int) -> None:
    dataset.add_new("Rows", "UL", 32)


def deeply_nested(dataset: FileDataset, index: int) -> None:
    with_sequences(40)(dataset, index)


@pytest.mark.parametrize("change", [other_alphabet, two_rows, wrong_type, deeply_nested])
def test_what_is_unusual_is_left_to_pydicom(
    small_dicom: Path, change: Callable[[FileDataset, int], None]
) -> None:
    edit_slices(small_dicom, change)
    assert plainly(small_dicom / "IM0001.dcm") is None
    assert by_pydicom(small_dicom / "IM0001.dcm") is not None


def test_big_endian_is_left_to_pydicom(small_dicom: Path) -> None:
    path = small_dicom / "IM0001.dcm"
    dataset = pydicom.dcmread(path)
    del dataset.PixelData
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    pydicom.dcmwrite(path, dataset, implicit_vr=False, little_endian=False)
    assert plainly(path) is None


def test_bytes_that_end_early_are_unusual(small_dicom: Path) -> None:
    head = (small_dicom / "IM0001.dcm").read_bytes()[:1500]
    wanted = header.PLAIN_KEYWORDS
    whole = plain_header(head, wanted)
    for count in range(whole.pixel_offset):
        with pytest.raises(Unusual):
            plain_header(head[:count], wanted)


def test_pydicoms_own_files_are_read_alike() -> None:
    files = [path for path in PYDICOM_FILES.rglob("*") if path.suffix in (".dcm", "")]
    compared = 0
    for path in filter(Path.is_file, files):
        found = plainly(path)
        if found is not None:
            assert found == by_pydicom(path), path.name
            compared += 1
    assert compared > 20


def test_damaged_headers_are_read_alike_where_both_read_them(small_dicom: Path) -> None:
    whole = (small_dicom / "IM0001.dcm").read_bytes()
    path = small_dicom / "damaged"
    random_source = np.random.default_rng(7)
    compared = 0
    for _ in range(400):
        damaged = bytearray(whole)
        for _ in range(random_source.integers(1, 4)):
            place = random_source.integers(132, 1300)
            damaged[place] = random_source.choice((0, 1, 0x1B, 0x20, 0x5C, 0xFF, 0x31))
        path.write_bytes(damaged)
        found, expected = plainly(path), by_pydicom(path)
        if found is not None and expected is not None:
            assert found == expected
            compared += 1
    assert compared > 100


def test_the_ircad_export_is_ordinary(real_data: Path, tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(real_data / "ircadb_01" / "dicom.zip") as archive:
        archive.extractall(tmp_path)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 129
    for path in files:
        found = plainly(path)
        assert found is not None
        assert found == by_pydicom(path)
