"""Change a folder of clean CT slices into what hospitals send: edits, losses and mixtures."""

from __future__ import annotations

import copy
import os
import shutil
import socket
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pydicom
from conftest import AFFINE, edit_slices, small_ct
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import generate_uid

from liverseg.dicom.write import SeriesHeader, write_ct_series

Change = Callable[[Path], None]
CT_CLASS = "1.2.840.10008.5.1.4.1.1.2"


def unchanged(folder: Path) -> None:
    """Leave the slices as they are."""


def each(**elements: object) -> Change:
    """Set elements of every slice, by its index where given a function; None deletes one."""

    def change(dataset: FileDataset, index: int) -> None:
        for keyword, value in elements.items():
            if value is None:
                delattr(dataset, keyword)
            else:
                setattr(dataset, keyword, value(index) if callable(value) else value)

    return lambda folder: edit_slices(folder, change)


def one(index: int, **elements: object) -> Change:
    """Set elements of one slice."""

    def make(folder: Path) -> None:
        path = sorted(folder.iterdir())[index]
        dataset = pydicom.dcmread(path)
        for keyword, value in elements.items():
            setattr(dataset, keyword, value)
        dataset.save_as(path)

    return make


def both(*changes: Change) -> Change:
    """Several changes, one after the other."""

    def make(folder: Path) -> None:
        for change in changes:
            change(folder)

    return make


def remove(*indices: int) -> Change:
    """Take slices away."""

    def make(folder: Path) -> None:
        files = sorted(folder.iterdir())
        for index in indices:
            files[index].unlink()

    return make


def positions(heights: Callable[[int], float]) -> Change:
    """Move every slice along z (LPS and RAS z are the same)."""

    def change(dataset: FileDataset, index: int) -> None:
        dataset.ImagePositionPatient = [-95, 83.25, round(34.5 - heights(index), 6)]

    return lambda folder: edit_slices(folder, change)


def bytes_of(index: int, change: Callable[[bytes], bytes]) -> Change:
    """Change the bytes of one file."""

    def make(folder: Path) -> None:
        path = sorted(folder.iterdir())[index]
        path.write_bytes(change(path.read_bytes()))

    return make


def cut(index: int, length: int) -> Change:
    """Cut one file to so many bytes; below 0, by so many."""
    return bytes_of(index, lambda content: content[:length])


def all_bytes(change: Callable[[bytes], bytes]) -> Change:
    """Change the bytes of every file."""

    def make(folder: Path) -> None:
        for path in sorted(folder.iterdir()):
            path.write_bytes(change(path.read_bytes()))

    return make


def second_series(*below: str, affine: np.ndarray = AFFINE) -> Change:
    """The same scan once more under identifiers of its own, in a folder below."""
    return lambda folder: _written(folder.joinpath(*below), affine)


def _written(folder: Path, affine: np.ndarray = AFFINE) -> None:
    write_ct_series(small_ct()[0], affine, folder)


def same_series(folder: Path) -> Change:
    """Give every slice of another folder the identifiers of this one's series."""
    first = pydicom.dcmread(min(folder.glob("*.dcm")))
    return each(
        StudyInstanceUID=first.StudyInstanceUID,
        SeriesInstanceUID=first.SeriesInstanceUID,
        FrameOfReferenceUID=first.FrameOfReferenceUID,
        PatientID=first.PatientID,
    )


def twice_in_one_series(*, affine: np.ndarray = AFFINE, **elements: Sequence[object]) -> Change:
    """The scan twice under one SeriesInstanceUID; elements give a value for each."""

    def make(folder: Path) -> None:
        for keyword, values in elements.items():
            each(**{keyword: values[0]})(folder)
        _written(folder / "second", affine)
        same_series(folder)(folder / "second")
        for keyword, values in elements.items():
            each(**{keyword: values[1]})(folder / "second")

    return make


def scout_beside(folder: Path) -> None:
    """A localizer series of one image."""
    image = np.zeros((40, 32, 1), dtype=np.int16)
    write_ct_series(image, AFFINE, folder / "scout", SeriesHeader(localizer=True))


def scout_inside(folder: Path) -> None:
    """A localizer under the scan's own SeriesInstanceUID."""
    scout_beside(folder)
    same_series(folder)(folder / "scout")


def askew_inside(folder: Path) -> None:
    """An image of another orientation that ImageType does not call a localizer."""
    scout_inside(folder)
    turned = {"ImageOrientationPatient": [1, 0, 0, 0, 0, -1], "ImageType": ["ORIGINAL", "PRIMARY"]}
    each(**turned)(folder / "scout")


def page_inside(**elements: object) -> Change:
    """An image, without a place if none is given, under the scan's own SeriesInstanceUID."""

    def make(folder: Path) -> None:
        scout_inside(folder)
        ordinary = {"ImageType": ["ORIGINAL", "PRIMARY"]}
        no_place = {"ImagePositionPatient": None, "ImageOrientationPatient": None}
        each(**{**ordinary, **no_place, **elements})(folder / "scout")

    return make


def technique(name: str) -> Change:
    """VolumeBasedCalculationTechnique of the frames of an enhanced CT."""

    def change(dataset: FileDataset, index: int) -> None:
        shared = dataset.SharedFunctionalGroupsSequence[0]
        shared.CTImageFrameTypeSequence = _group(
            FrameType=["DERIVED", "PRIMARY", "VOLUME", "NONE"],
            VolumeBasedCalculationTechnique=name,
        )

    return edited(change)


def same_file_twice(folder: Path) -> None:
    """One file under two names."""
    shutil.copy(folder / "IM0003.dcm", folder / "copy.dcm")


def copied(**elements: object) -> Change:
    """A copy of one slice, with other elements."""

    def make(folder: Path) -> None:
        dataset = pydicom.dcmread(folder / "IM0003.dcm")
        for keyword, value in elements.items():
            setattr(dataset, keyword, value)
        dataset.save_as(folder / "copy.dcm")

    return make


def whole_copy(folder: Path) -> None:
    """The export copied into itself, as two visits to the archive leave it."""
    files = sorted(folder.iterdir())
    (folder / "again").mkdir()
    for path in files:
        shutil.copy(path, folder / "again" / path.name)


def sent_again(folder: Path) -> None:
    """The export copied into itself under new SOPInstanceUIDs."""
    whole_copy(folder)
    each(SOPInstanceUID=lambda index: generate_uid())(folder / "again")


def other_pixels(below: str) -> Change:
    """One other value in every slice of a folder below."""

    def change(dataset: FileDataset, index: int) -> None:
        dataset.PixelData = b"\1\2" + dataset.PixelData[2:]

    return lambda folder: edit_slices(folder / below, change)


def other_matrix(folder: Path) -> None:
    """One slice of half the rows."""
    dataset = pydicom.dcmread(folder / "IM0004.dcm")
    dataset.Rows = 16
    dataset.PixelData = dataset.PixelData[: len(dataset.PixelData) // 2]
    dataset.save_as(folder / "IM0004.dcm")


def junk_beside(folder: Path) -> None:
    """What file systems and people leave in folders."""
    for name, content in (("empty", b""), (".DS_Store", b"\0\0\0\1Bud1"), ("a.txt", b"hello")):
        (folder / name).write_bytes(content)
    os.mkfifo(folder / "fifo")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(folder / "s"))


def others_beside(folder: Path) -> None:
    """Files that are named after slices, but not as slices are."""
    for name in ("IM0001.txt", "IM0001.dcm.md5", "IM0001.jpg", "._IM0001.dcm", "notes"):
        (folder / name).write_bytes(b"\0\5\26\7 something else")


def object_beside(sop_class: str, modality: str) -> Change:
    """A DICOM object of another kind under the scan's own SeriesInstanceUID."""

    def make(folder: Path) -> None:
        dataset = pydicom.dcmread(folder / "IM0001.dcm")
        dataset.SOPClassUID, dataset.Modality = sop_class, modality
        del dataset.PixelData
        dataset.SOPInstanceUID = generate_uid()
        dataset.save_as(folder / "other.dcm")

    return make


def dicomdir_beside(folder: Path) -> None:
    """The index of a CD."""
    dataset = pydicom.dcmread(folder / "IM0001.dcm", stop_before_pixels=True)
    for element in list(dataset):
        del dataset[element.tag]
    dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.1.3.10"
    dataset.save_as(folder / "DICOMDIR")


def outside_link(folder: Path) -> None:
    """A link to another patient's folder."""
    elsewhere = folder.parent / "elsewhere"
    _written(elsewhere)
    (folder / "link").symlink_to(elsewhere)


def no_extension(folder: Path) -> None:
    """File names as a PACS gives them."""
    for path in sorted(folder.iterdir()):
        path.rename(path.with_suffix(""))


def non_ascii(folder: Path) -> None:
    """Names in several scripts, and one that is no UTF-8 at all."""
    inner = folder / "Männer 患者 \udcff"
    inner.mkdir()
    for path in sorted(folder.glob("*.dcm")):
        path.rename(inner / path.name)
    each(SpecificCharacterSet="ISO_IR 192", PatientName="Ångström^Zoë")(inner)


def folder_per_slice(folder: Path) -> None:
    """Every slice in a folder of its own, under one name."""
    for path in sorted(folder.glob("*.dcm")):
        (folder / path.stem).mkdir()
        path.rename(folder / path.stem / "image")


def stored_values(change: Callable[[np.ndarray], np.ndarray], dtype: str, **layout: int) -> Change:
    """Store the values differently: (N,) int64 stored values, of 0 to 4095, to `dtype`."""

    def edit(dataset: FileDataset, index: int) -> None:
        values = np.frombuffer(dataset.PixelData, "<u2").astype(np.int64)
        dataset.PixelData = change(values).astype(dtype).tobytes()
        for keyword, value in layout.items():
            setattr(dataset, keyword, value)

    return lambda folder: edit_slices(folder, edit)


def rescale_per_slice(folder: Path) -> None:
    """A slope of one half and an intercept that differs from slice to slice."""

    def change(dataset: FileDataset, index: int) -> None:
        hu = np.frombuffer(dataset.PixelData, "<u2").astype(np.int64) - 1024
        dataset.RescaleSlope, dataset.RescaleIntercept = "0.5", -1024 - index
        dataset.PixelData = ((hu + 1024 + index) * 2).astype("<u2").tobytes()

    edit_slices(folder, change)


def icon_image(dataset: FileDataset, index: int) -> None:
    """A thumbnail, whose own pixel data comes before the slice's."""
    icon = Dataset()
    icon.Rows = icon.Columns = 8
    icon.SamplesPerPixel, icon.PhotometricInterpretation = 1, "MONOCHROME2"
    icon.BitsAllocated = icon.BitsStored = 8
    icon.HighBit, icon.PixelRepresentation = 7, 0
    icon.add_new("PixelData", "OB", bytes(64))
    dataset.IconImageSequence = [icon]


def private_and_overlay(dataset: FileDataset, index: int) -> None:
    """What scanners add: a private block, an overlay, padding after the pixels."""
    block = dataset.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
    block.add_new(0x10, "OB", b"SV10\4\3\2\1" + b"\xfe\xff\xdd\xe0\xe0\x7f\x10\0" * 8)
    dataset.add_new(0x60000010, "US", 32)
    dataset.add_new(0x60003000, "OW", bytes(160))
    dataset.add_new(0xFFFCFFFC, "OB", bytes(512))


def edited(change: Callable[[FileDataset, int], None]) -> Change:
    """Change the data set of every slice."""
    return lambda folder: edit_slices(folder, change)


def transfer_syntax(uid: str) -> Change:
    """Let the file meta claim another transfer syntax; the bytes of the data set stay."""

    def claim(content: bytes) -> bytes:
        start = content.index(b"\x02\0\x10\0UI")
        length = struct.unpack("<H", content[start + 6 : start + 8])[0]
        value = uid.encode() + b"\0" * (len(uid) % 2)
        rest = content[start + 8 + length :]
        head = bytearray(content[:start])
        group = struct.unpack("<L", head[140:144])[0] + len(value) - length
        head[140:144] = struct.pack("<L", group)
        return bytes(head) + b"\x02\0\x10\0UI" + struct.pack("<H", len(value)) + value + rest

    return all_bytes(claim)


def enhanced(*, per_frame_rescale: bool = False, groups: int | None = None) -> Change:
    """The slices as one enhanced multi-frame CT, frames in a shuffled order."""

    def make(folder: Path) -> None:
        files = sorted(folder.iterdir())
        slices = [pydicom.dcmread(files[i]) for i in (5, 0, 7, 2, 9, 4, 11, 6, 1, 8, 3, 10)]
        whole = _enhanced(slices, per_frame_rescale)
        del whole.PerFrameFunctionalGroupsSequence[groups or len(slices) :]
        for path in files:
            path.unlink()
        whole.save_as(folder / "enhanced.dcm", enforce_file_format=True)

    return make


def _group(**elements: object) -> list[Dataset]:
    """A sequence of one item."""
    item = Dataset()
    for keyword, value in elements.items():
        setattr(item, keyword, value)
    return [item]


def _enhanced(slices: Sequence[FileDataset], per_frame_rescale: bool) -> FileDataset:
    """One data set of all slices, with functional groups (PS3.3 C.7.6.16)."""
    first = slices[0]
    whole = copy.deepcopy(first)
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        delattr(whole, keyword)
    for keyword in ("RescaleSlope", "RescaleIntercept", "RescaleType"):
        delattr(whole, keyword)
    whole.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2.1"
    whole.SOPInstanceUID = generate_uid()
    whole.NumberOfFrames = len(slices)
    whole.PixelData = b"".join(item.PixelData for item in slices)
    rescale = {
        "PixelValueTransformationSequence": _group(
            RescaleSlope=1, RescaleIntercept=-1024, RescaleType="HU"
        )
    }
    whole.SharedFunctionalGroupsSequence = _group(
        PixelMeasuresSequence=_group(PixelSpacing=first.PixelSpacing),
        PlaneOrientationSequence=_group(ImageOrientationPatient=first.ImageOrientationPatient),
        **({} if per_frame_rescale else rescale),
    )
    whole.PerFrameFunctionalGroupsSequence = [
        _group(
            PlanePositionSequence=_group(ImagePositionPatient=item.ImagePositionPatient),
            **(rescale if per_frame_rescale else {}),
        )[0]
        for item in slices
    ]
    whole.file_meta.MediaStorageSOPClassUID = whole.SOPClassUID
    whole.file_meta.MediaStorageSOPInstanceUID = whole.SOPInstanceUID
    return whole
