"""Wrap a folder of CT slices as archives, and write the phantom as NIfTI, good and bad."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
from conftest import AFFINE, small_ct
from deliveries import Change

HeaderChange = Callable[[Any], None]


def _taken(folder: Path) -> dict[str, bytes]:
    """The files below a folder by their names, which are removed from it."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    content = {str(path.relative_to(folder)): path.read_bytes() for path in files}
    shutil.rmtree(folder)
    folder.mkdir()
    return content


def zipped(prefix: str = "DICOM/", *, keep: bool = False) -> Change:
    """The slices as a .zip; beside the unpacked ones when `keep`."""

    def make(folder: Path) -> None:
        members = _taken(folder)
        with zipfile.ZipFile(folder / "export.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members.items():
                archive.writestr(prefix + name, content)
        for name, content in members.items() if keep else ():
            (folder / name).write_bytes(content)

    return make


def tarred(suffix: str = ".tar.gz") -> Change:
    """The slices as a .tar, compressed as its suffix says."""

    def make(folder: Path) -> None:
        members = _taken(folder)
        mode = f"w:{suffix.split('.')[2]}" if suffix.count(".") > 1 else "w"
        with tarfile.open(folder / f"export{suffix}", mode) as archive:  # type: ignore[call-overload]
            for name, content in members.items():
                info = tarfile.TarInfo(f"患者/{name}")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))

    return make


def same_names(folder: Path) -> None:
    """A .tar that holds every slice under one name."""
    members = _taken(folder)
    with tarfile.open(folder / "export.tar", "w") as archive:
        for content in members.values():
            info = tarfile.TarInfo("IM")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def zip_in_zip(folder: Path) -> None:
    """An archive that holds only another archive."""
    zipped()(folder)
    zipped()(folder)


def zip_too_deep(folder: Path) -> None:
    """An archive in an archive in an archive, beside which another one lies."""
    zipped()(folder)
    (folder / "copy.zip").write_bytes((folder / "export.zip").read_bytes())
    zipped()(folder)
    zipped()(folder)


def gzip_in_zip_in_zip(folder: Path) -> None:
    """Gzip files of a slice each where nothing is unpacked any more."""
    slices_gzipped(folder)
    zip_in_zip(folder)


def slices_gzipped(folder: Path) -> None:
    """Every slice as a gzip file of its own."""
    for name, content in _taken(folder).items():
        (folder / f"{name}.gz").write_bytes(gzip.compress(content))


def bad_zip(change: Callable[[zipfile.ZipFile], None]) -> Change:
    """A .zip of the slices with one member more."""

    def make(folder: Path) -> None:
        zipped()(folder)
        with zipfile.ZipFile(folder / "export.zip", "a", zipfile.ZIP_DEFLATED) as archive:
            change(archive)

    return make


def leading_out(archive: zipfile.ZipFile) -> None:
    """A name that leads out of the folder."""
    archive.writestr("../../out.dcm", b"out")


def linking(archive: zipfile.ZipFile) -> None:
    """A symbolic link."""
    info = zipfile.ZipInfo("link")
    info.external_attr = 0o120777 << 16
    archive.writestr(info, "/etc/passwd")


def bomb(archive: zipfile.ZipFile) -> None:
    """100 MB of zeros."""
    archive.writestr("zeros", bytes(100 << 20))


def cut_zip(folder: Path) -> None:
    """A .zip of which the end did not arrive."""
    zipped()(folder)
    path = folder / "export.zip"
    path.write_bytes(path.read_bytes()[:-3000])


def deflated_bomb(folder: Path) -> None:
    """One slice whose deflated data set grows a thousandfold: 300 MB of zeros after the pixels."""
    path = sorted(folder.iterdir())[4]
    dataset = pydicom.dcmread(path)
    dataset.add_new(0xFFFCFFFC, "OB", bytes(300 << 20))
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    body = io.BytesIO()
    pydicom.filewriter.dcmwrite(body, dataset, implicit_vr=False, little_endian=True)
    start = _data_set_start(body.getvalue())
    head = io.BytesIO()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    head.write(bytes(128) + b"DICM")
    pydicom.filewriter.write_file_meta_info(head, dataset.file_meta)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(body.getvalue()[start:]) + packer.flush()
    path.write_bytes(head.getvalue() + packed)


def _data_set_start(content: bytes) -> int:
    """Where the data set begins after the file meta."""
    return 144 + int.from_bytes(content[140:144], "little")


def nifti(
    name: str = "ct.nii.gz", dtype: str = "<i2", change: HeaderChange | None = None
) -> Change:
    """The phantom as NIfTI in place of the slices; its header changed as it lies in the file."""

    def make(folder: Path) -> None:
        _taken(folder)
        write_nifti(folder / name, small_ct()[0].astype(dtype), change)

    return make


def write_nifti(path: Path, image: Any, change: HeaderChange | None = None) -> Path:
    """Write a NIfTI at conftest's affine, then change its header as it lies in the file."""
    image_file = nib.Nifti1Image(image, AFFINE)
    image_file.header.set_xyzt_units("mm")
    nib.save(image_file, path)
    if change:
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rb") as file:
            content = file.read()
        header = nib.Nifti1Header(content[:348], check=False)
        change(header)
        with opener(path, "wb") as file:
            file.write(header.binaryblock + content[348:])
    return path


def field(name: str, value: object) -> HeaderChange:
    """Set a field of a NIfTI header."""

    def change(header: Any) -> None:
        header[name] = value

    return change


def voxel_size(value: float) -> HeaderChange:
    """Set the third spacing of a NIfTI header."""

    def change(header: Any) -> None:
        header["pixdim"][3] = value

    return change


def both_absent(header: Any) -> None:
    """Neither qform nor sform."""
    header["qform_code"] = header["sform_code"] = 0


def qform_only(header: Any) -> None:
    """A qform in place of the sform."""
    header.set_qform(AFFINE, 1)
    header["sform_code"] = 0


def nifti_of(make_image: Callable[[], np.ndarray]) -> Change:
    """Another volume as NIfTI in place of the slices."""

    def make(folder: Path) -> None:
        _taken(folder)
        write_nifti(folder / "ct.nii.gz", make_image())

    return make


def analyze_pair(folder: Path) -> None:
    """The phantom as a pair of .hdr and .img."""
    _taken(folder)
    nib.save(nib.Nifti1Pair(small_ct()[0], AFFINE), folder / "ct.img")


def unreadable_name(folder: Path) -> None:
    """A folder with a name of 200 letters in a folder with another."""
    inner = folder / ("n" * 200) / ("m" * 200)
    inner.mkdir(parents=True)
    for path in sorted(folder.glob("*.dcm")):
        os.rename(path, inner / path.name)  # noqa: PTH104  as short as it can be said
