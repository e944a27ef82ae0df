"""More of what hospitals send: discs, split and repeated exports, odd headers and frames."""

from __future__ import annotations

import copy
import gzip
import io
import os
import shutil
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
from conftest import AFFINE, edit_slices, small_ct
from deliveries import (
    Change,
    both,
    each,
    edited,
    enhanced,
    object_beside,
    twice_in_one_series,
)
from encoders import save_encapsulated
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.encaps import encapsulate_extended
from pydicom.tag import Tag
from pydicom.uid import generate_uid

from liverseg.dicom.write import write_ct_series


def disc(folder: Path) -> None:
    """A patient's disc: an index, a viewer, and the slices under names of eight letters."""
    inner = folder / "DICOM" / "PAT00001" / "STD00001" / "SER00001"
    inner.mkdir(parents=True)
    for index, path in enumerate(sorted(folder.glob("*.dcm"))):
        path.rename(inner / f"I{index:07d}")
    (folder / "AUTORUN.INF").write_bytes(b"[autorun]\r\nopen=VIEWER\\VIEWER.EXE\r\n")
    (folder / "VIEWER").mkdir()
    (folder / "VIEWER" / "VIEWER.EXE").write_bytes(b"MZ\x90\0" + bytes(500))
    (folder / "VIEWER" / "I0000000.JPG").write_bytes(b"\xff\xd8\xff\xe0" + bytes(50))
    index_file = Dataset()
    index_file.FileSetID, index_file.DirectoryRecordSequence = "DISC", []
    index_file.file_meta = pydicom.dataset.FileMetaDataset()
    index_file.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.1.3.10"
    index_file.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    index_file.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    index_file.save_as(folder / "DICOMDIR", enforce_file_format=True)


def another_series_beside(**elements: object) -> Change:
    """The same scan under other identifiers in the same folder."""

    def make(folder: Path) -> None:
        other = folder.parent / "other"
        write_ct_series(*small_ct(), other)
        each(**elements)(other)
        for path in sorted(other.iterdir()):
            path.rename(folder / f"B{path.name}")
        other.rmdir()

    return make


def moved(below: str, indices: Sequence[int]) -> Change:
    """Move some slices to a folder below."""

    def make(folder: Path) -> None:
        files = sorted(folder.glob("*.dcm"))
        (folder / below).mkdir()
        for index in indices:
            files[index].rename(folder / below / files[index].name)

    return make


def zipped_part(name: str, indices: Sequence[int], *, keep: bool = False) -> Change:
    """Pack some slices into a .zip of that name."""

    def make(folder: Path) -> None:
        files = sorted(folder.glob("*.dcm"))
        with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as archive:
            for index in indices:
                archive.write(files[index], f"CT/{files[index].name}")
        for index in () if keep else indices:
            files[index].unlink()

    return make


def beside(name: str, content: bytes) -> Change:
    """A file beside the slices."""
    return lambda folder: _write(folder / name, content)


def instead(name: str, content: bytes) -> Change:
    """A file in place of the slices."""

    def make(folder: Path) -> None:
        for path in list(folder.iterdir()):
            path.unlink()
        _write(folder / name, content)

    return make


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def link_loop(folder: Path) -> None:
    """Links that lead back to where they lie."""
    (folder / "loop").symlink_to(folder)
    (folder / "self").symlink_to("self")


def odd_names(folder: Path) -> None:
    """Names with a line break, a tab, a picture, quotes and blanks at the ends."""
    inner = folder / ' a\nb\t"c" \U0001f9e0 '
    inner.mkdir()
    for path in sorted(folder.glob("*.dcm")):
        path.rename(inner / f"{path.stem}\n.dcm")


def deep(folder: Path) -> None:
    """Forty folders deep."""
    inner = folder.joinpath(*"abcdefghij" * 4)
    inner.mkdir(parents=True)
    for path in sorted(folder.glob("*.dcm")):
        path.rename(inner / path.name)


def named_by_uid(folder: Path) -> None:
    """Files named after their SOPInstanceUID, as many archives do."""
    for path in sorted(folder.glob("*.dcm")):
        path.rename(folder / str(pydicom.dcmread(path).SOPInstanceUID))


def upper_case(folder: Path) -> None:
    """Names in capitals, as a disc has them."""
    for path in sorted(folder.glob("*.dcm")):
        path.rename(folder / path.name.upper())


def leftovers(folder: Path) -> None:
    """What Windows and macOS leave behind."""
    for name in ("Thumbs.db", "desktop.ini", "._IM0001.dcm", ".DS_Store"):
        (folder / name).write_bytes(b"\0\5\26\7\0\2\0\0Mac OS X")


def gzipped(*indices: int) -> Change:
    """Some slices as gzip files of their own."""

    def make(folder: Path) -> None:
        files = sorted(folder.glob("*.dcm"))
        for index in indices:
            content = gzip.compress(files[index].read_bytes())
            files[index].with_name(f"{files[index].name}.gz").write_bytes(content)
            files[index].unlink()

    return make


def damaged_gzip(folder: Path) -> None:
    """The last slice as a gzip file that is cut."""
    gzipped(11)(folder)
    path = folder / "IM0012.dcm.gz"
    path.write_bytes(path.read_bytes()[:-400])


def numbered(folder: Path, number: int) -> None:
    """A number in the first voxel of every slice."""
    for path in sorted(folder.glob("*.dcm")):
        dataset = pydicom.dcmread(path)
        dataset.PixelData = number.to_bytes(2, "little") + dataset.PixelData[2:]
        dataset.save_as(path)


def phases(
    count: int,
    mark: Callable[[Path, int], None] = lambda folder, number: None,
    **elements: Callable[[int], object],
) -> Change:
    """The scan several times under one series UID; an element's value by the number of the time."""

    def make(folder: Path) -> None:
        first = {keyword: (value(0), value(1)) for keyword, value in elements.items()}
        twice_in_one_series(**first)(folder)
        for number in range(2, count):
            shutil.copytree(folder / "second", folder / f"phase{number}")
            named = {keyword: value(number) for keyword, value in elements.items()}
            again = {"SOPInstanceUID": lambda index: generate_uid()}
            each(**named, **again)(folder / f"phase{number}")
        for number, name in enumerate(["", "second", *(f"phase{n}" for n in range(2, count))]):
            mark(folder / name, number)

    return make


def another_phase(shared: Sequence[int] = (), **elements: object) -> Change:
    """The scan again in a folder below, other pixels in all slices but the shared ones."""

    def make(folder: Path) -> None:
        shutil.copytree(folder, folder / "second")
        again = {"SOPInstanceUID": lambda index: generate_uid(), **elements}
        each(**again)(folder / "second")

        def change(dataset: FileDataset, index: int) -> None:
            if index not in shared:
                dataset.PixelData = b"\1\2" + dataset.PixelData[2:]

        edit_slices(folder / "second", change)

    return make


def watching(count: int, **elements: object) -> Change:
    """Images of one place of the scan, as of those that wait for contrast agent."""

    def make(folder: Path) -> None:
        (folder / "watch").mkdir()
        for number in range(count):
            shutil.copy(folder / "IM0003.dcm", folder / "watch" / f"{number}.dcm")

        def change(dataset: FileDataset, index: int) -> None:
            dataset.PixelData = bytes([index, 1]) + dataset.PixelData[2:]

        edit_slices(folder / "watch", change)
        each(SOPInstanceUID=lambda index: generate_uid(), **elements)(folder / "watch")

    return make


def wrong_type(keyword: str, kind: str, value: Callable[[Any], bytes]) -> Change:
    """Write an element with another VR than the standard's."""

    def change(dataset: FileDataset, index: int) -> None:
        tag = Tag(keyword)
        raw = value(dataset[tag].value)
        raw += b"\0" if len(raw) % 2 else b""
        dataset._dict[tag] = RawDataElement(tag, kind, len(raw), raw, 0, False, True)

    return edited(change)


def raw_value(keyword: str, value: bytes, kind: str = "") -> Change:
    """Write the bytes of an element as they are, whatever its type allows."""

    def change(dataset: FileDataset, index: int) -> None:
        tag = Tag(keyword)
        raw = value + (b" " if len(value) % 2 else b"")
        dataset._dict[tag] = RawDataElement(
            tag, kind or pydicom.datadict.dictionary_VR(tag), len(raw), raw, 0, False, True
        )

    return edited(change)


def without_pixels_but(keyword: str, kind: str) -> Change:
    """The pixels as floating point numbers, under their own element."""

    def change(dataset: FileDataset, index: int) -> None:
        values = np.frombuffer(dataset.PixelData, "<u2").astype("<f4" if kind == "OF" else "<f8")
        del dataset.PixelData
        dataset.BitsAllocated = 8 * values.itemsize
        for name in ("BitsStored", "HighBit", "PixelRepresentation"):
            delattr(dataset, name)
        dataset.add(DataElement(Tag(keyword), kind, values.tobytes()))

    return edited(change)


def lookup(keyword: str) -> Change:
    """A table that changes values: of the modality, or of the display."""

    def change(dataset: FileDataset, index: int) -> None:
        item = Dataset()
        item.LUTDescriptor, item.LUTData = [2, 0, 16], bytes(4)
        item.ModalityLUTType = "HU"
        setattr(dataset, keyword, [item])

    return edited(change)


def pixel_type(kind: str) -> Change:
    """Another VR of the pixel data."""

    def change(dataset: FileDataset, index: int) -> None:
        dataset["PixelData"].VR = kind

    return edited(change)


def signed_slices(indices: Sequence[int]) -> Change:
    """Some slices with signed values and another intercept."""

    def change(dataset: FileDataset, index: int) -> None:
        if index in indices:
            values = np.frombuffer(dataset.PixelData, "<u2").astype(np.int64) - 1024
            dataset.PixelData = values.astype("<i2").tobytes()
            dataset.PixelRepresentation, dataset.RescaleIntercept = 1, 0

    return edited(change)


def orientation_noise(size: float) -> Change:
    """Direction cosines that differ a little from slice to slice."""
    noise = np.random.default_rng(1).normal(0, size, (100, 6))

    def change(dataset: FileDataset, index: int) -> None:
        given = np.array(dataset.ImageOrientationPatient, dtype=float)
        dataset.ImageOrientationPatient = [f"{value:.9f}" for value in given + noise[index]]

    return edited(change)


def tilted_stack() -> np.ndarray:
    """The affine of a tilted gantry: slices lean by 15 degrees, the table moves along z."""
    affine = AFFINE.copy()
    lean = np.radians(15)
    affine[:3, 1] = 1.5 * np.array([0, np.cos(lean), np.sin(lean)])
    return affine


def frames_edited(change: Callable[[Dataset, int], None]) -> Change:
    """An enhanced CT with the functional groups of every frame changed."""

    def edit(dataset: FileDataset, index: int) -> None:
        for number, item in enumerate(dataset.PerFrameFunctionalGroupsSequence):
            change(item, number)

    return both(enhanced(), edited(edit))


def in_two_files(folder: Path) -> None:
    """An enhanced CT as a concatenation of two (PS3.3 C.7.6.16.1.1)."""
    enhanced()(folder)
    whole = pydicom.dcmread(folder / "enhanced.dcm")
    groups, size = whole.PerFrameFunctionalGroupsSequence, len(whole.PixelData) // 12
    for number, (start, end) in enumerate(((0, 5), (5, 12)), 1):
        part = copy.deepcopy(whole)
        part.SOPInstanceUID = part.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        part.ConcatenationUID, part.InConcatenationNumber = "1.2.3.4", number
        part.InConcatenationTotalNumber, part.ConcatenationFrameOffsetNumber = 2, start
        part.NumberOfFrames = end - start
        part.PerFrameFunctionalGroupsSequence = groups[start:end]
        part.PixelData = whole.PixelData[start * size : end * size]
        part.save_as(folder / f"part{number}.dcm")
    (folder / "enhanced.dcm").unlink()


def enhanced_phases(group: str = "FrameContentSequence", **elements: Sequence[object]) -> Change:
    """Two enhanced volumes in one file; elements of a group of each frame tell them apart."""

    def make(folder: Path) -> None:
        enhanced()(folder)
        whole = pydicom.dcmread(folder / "enhanced.dcm")
        groups = list(whole.PerFrameFunctionalGroupsSequence)
        twice = [*groups, *copy.deepcopy(groups)]
        for number, item in enumerate(twice):
            content = Dataset()
            for keyword, values in elements.items():
                setattr(content, keyword, values[number // len(groups)])
            setattr(item, group, [content])
        whole.PerFrameFunctionalGroupsSequence = twice
        whole.NumberOfFrames = len(twice)
        whole.PixelData = whole.PixelData * 2
        whole.save_as(folder / "enhanced.dcm")

    return make


def compressed_frames(offsets: str) -> Change:
    """An enhanced CT in RLE; offset table "basic", "extended", "wrong" or "none"."""

    def make(folder: Path) -> None:
        enhanced()(folder)
        path = folder / "enhanced.dcm"
        whole = pydicom.dcmread(path)
        whole.compress(pydicom.uid.RLELossless, generate_instance_uid=False)
        frames = list(pydicom.encaps.generate_frames(whole.PixelData, number_of_frames=12))
        uid = str(whole.file_meta.TransferSyntaxUID)
        if offsets == "extended":
            whole.PixelData, table, lengths = encapsulate_extended(frames)
            whole.ExtendedOffsetTable, whole.ExtendedOffsetTableLengths = table, lengths
            whole["PixelData"].VR = "OB"
            whole.save_as(path)
            return
        save_encapsulated(whole, frames, uid, path, has_bot=offsets != "none")
        if offsets == "wrong":
            content = bytearray(path.read_bytes())
            start = content.rindex(b"\xe0\x7f\x10\0OB") + 12 + 8
            first, second = content[start : start + 4], content[start + 4 : start + 8]
            content[start : start + 8] = second + first
            path.write_bytes(content)

    return make


def wrong_basic_table(folder: Path) -> None:
    """A compressed slice whose one offset is not 0."""
    path = sorted(folder.iterdir())[4]
    content = bytearray(path.read_bytes())
    start = content.rindex(b"\xe0\x7f\x10\0OB") + 12
    assert content[start : start + 4] == b"\xfe\xff\x00\xe0"
    if content[start + 4 : start + 8] == bytes(4):
        content[start + 4 : start + 12] = (
            b"\x04\0\0\0" + b"\x40\0\0\0" + content[start + 8 : start + 12]
        )
    else:
        content[start + 8 : start + 12] = b"\x40\0\0\0"
    path.write_bytes(content)


def short_preamble(folder: Path) -> None:
    """A preamble of 64 bytes in every file."""
    for path in sorted(folder.iterdir()):
        path.write_bytes(path.read_bytes()[64:])


def empty_zip(folder: Path) -> None:
    """An archive with nothing in it, in place of the slices."""
    packed = io.BytesIO()
    zipfile.ZipFile(packed, "w").close()
    instead("export.zip", packed.getvalue())(folder)


def nifti_file(make: Callable[[], Any], name: str = "ct.nii.gz") -> Change:
    """A NIfTI in place of the slices."""

    def write(folder: Path) -> None:
        for path in list(folder.iterdir()):
            path.unlink()
        nib.save(make(), folder / name)

    return write


def nifti_with(change: Callable[[Any], None] | None = None, image: Any = None) -> Any:
    """An nibabel image of the scan, mm, its header changed."""
    made = nib.Nifti1Image(small_ct()[0] if image is None else image, AFFINE)
    made.header.set_xyzt_units("mm")
    if change:
        change(made)
    return made


def as_nifti2() -> Any:
    """The scan as NIfTI-2."""
    made = nib.Nifti2Image(small_ct()[0], AFFINE)
    made.header.set_xyzt_units("mm")
    return made


def with_extension(made: Any) -> None:
    """An extension of 100 kB between header and voxels."""
    made.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"x" * 100_000))


def other_qform(made: Any) -> None:
    """A qform 40 mm from the sform."""
    moved_affine = AFFINE.copy()
    moved_affine[0, 3] += 40
    made.set_sform(AFFINE, 1)
    made.set_qform(moved_affine, 1)


def gzip_twice(folder: Path) -> None:
    """A NIfTI compressed twice."""
    nifti_file(nifti_with)(folder)
    path = folder / "ct.nii.gz"
    path.write_bytes(gzip.compress(path.read_bytes()))


def body_hu(offset: int = 0, padding: int | None = None) -> np.ndarray:
    """A body with air, fat, tissue and noise, and a round field of view; HU plus an offset."""
    noise = np.random.default_rng(2).normal(0, 15, (40, 40, 16))
    x, y = np.meshgrid(np.arange(40) - 19.5, np.arange(40) - 19.5, indexing="ij")
    radius = np.hypot(x, y)
    plain = np.where(radius < 12, 60, np.where(radius < 14, -100, -1000))
    image = (plain[..., None] + noise).round().astype(np.int16) + np.int16(offset)
    if padding is not None:
        image[radius > 19.5] = padding
    return image


def rewritten(image: Callable[[], np.ndarray], **elements: object) -> Change:
    """Other stored values, as they are, in every slice; (X, Y, Z) of the scan's shape."""
    stored = image()

    def change(dataset: FileDataset, index: int) -> None:
        dataset.PixelData = np.ascontiguousarray(stored[:, :, index].T).astype("<i2").tobytes()
        for keyword, value in elements.items():
            setattr(dataset, keyword, value)

    return lambda folder: edit_slices(folder, change)


def scan_shaped(image: np.ndarray) -> np.ndarray:
    """Cut to the shape of the scan."""
    return image[:40, :32, :12]


def other_patient(folder: Path) -> None:
    """One other value in the slices of `another_series_beside`, as `deliveries.other_pixels`."""
    for path in folder.glob("BIM*"):
        dataset = pydicom.dcmread(path)
        dataset.PixelData = b"\1\2" + dataset.PixelData[2:]
        dataset.save_as(path)


def with_value(value: float) -> np.ndarray:
    """The scan as floats, one of them another."""
    image = small_ct()[0].astype(np.float32)
    image[3, 4, 5] = value
    return image


def as_text(value: Any) -> bytes:
    """Several numbers as DICOM writes them."""
    return "\\".join(map(str, value)).encode()


def raw_value_each(keyword: str, decimals: int, form: str = "{}") -> Change:
    """Numbers as texts of another form and any length."""

    def change(dataset: FileDataset, index: int) -> None:
        tag = Tag(keyword)
        numbers = (f"{float(value):.{decimals}f}" for value in dataset[tag].value)
        raw = "\\".join(form.format(number) for number in numbers).encode()
        raw += b" " if len(raw) % 2 else b""
        dataset._dict[tag] = RawDataElement(tag, "DS", len(raw), raw, 0, False, True)

    return edited(change)


def wrong_length(change: int) -> Change:
    """The length of one text in one file, wrong by so much."""

    def make(folder: Path) -> None:
        path = sorted(folder.iterdir())[11]
        content = bytearray(path.read_bytes())
        place = content.index(b"\x08\0\x3e\x10LO") + 6
        length = int.from_bytes(content[place : place + 2], "little") + change
        content[place : place + 2] = length.to_bytes(2, "little")
        path.write_bytes(content)

    return make


def large_slide(folder: Path) -> None:
    """A slide image of 5 GB, nearly all of it a hole on the disk."""
    object_beside("1.2.840.10008.5.1.4.1.1.77.1.6", "SM")(folder)
    path = folder / "other.dcm"
    slide = pydicom.dcmread(path)
    slide.file_meta.MediaStorageSOPClassUID = slide.SOPClassUID
    slide.save_as(path)
    os.truncate(path, 5 << 30)


def classless(dataset: FileDataset, index: int) -> None:
    """An image in every second file that does not say of what class it is."""
    if index % 2:
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = ""


def raised(item: Dataset, number: int) -> None:
    """Move the upper frames of `deliveries.enhanced` by half a slice."""
    position = item.PlanePositionSequence[0].ImagePositionPatient
    if position[2] > 20:
        item.PlanePositionSequence[0].ImagePositionPatient = [*position[:2], position[2] + 1.5]


def no_rescale(dataset: FileDataset, index: int) -> None:
    """Take the rescale from an enhanced CT."""
    del dataset.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence
