"""Write CT slices in the encodings that hospitals send, by dcmtk, GDCM and OpenJPH."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import gdcm
import numpy as np
import pydicom
from deliveries import Change
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID

# The tools and the Debian packages they come in; the Makefile installs the same.
PACKAGES = {
    "dcmcjpeg": "dcmtk",
    "dcmcjpls": "dcmtk",
    "dcmcrle": "dcmtk",
    "dcmconv": "dcmtk",
    "dcmdjpls": "dcmtk",
    "dcmdjpeg": "dcmtk",
    "gdcmconv": "libgdcm-tools",
    "ojph_compress": "openjph-tools",
}
SECONDS = 60  # for one file of a few kilobytes


class ToolMissing(Exception):
    """A tool of PACKAGES is not installed."""


def run_tool(name: str, *arguments: str | os.PathLike[str]) -> None:
    """Run a tool, quietly.

    Raises:
        ToolMissing: it is not installed; names the package.
        subprocess.CalledProcessError: it failed.
    """
    found = shutil.which(name)
    if found is None:
        raise ToolMissing(f"{name} is missing: apt-get install {PACKAGES[name]}")
    subprocess.run([found, *arguments], check=True, capture_output=True, timeout=SECONDS)


def by_tool(name: str, *options: str, only: Sequence[int] | None = None) -> Change:
    """Convert every slice, or those of some indices, in place by a tool: options, in, out."""

    def make(folder: Path) -> None:
        for index, path in enumerate(sorted(folder.iterdir())):
            if only is not None and index not in only:
                continue
            target = path.with_name(f"{path.name}.new")
            run_tool(name, *options, path, target)
            target.replace(path)

    return make


def htj2k(*options: str, uid: str = "1.2.840.10008.1.2.4.201") -> Change:
    """Compress every slice by OpenJPH: high-throughput JPEG 2000, reversible."""

    def make(folder: Path) -> None:
        for path in sorted(folder.iterdir()):
            dataset = pydicom.dcmread(path)
            values = dataset.pixel_array.astype(">u2")
            plain, packed = path.with_suffix(".pgm"), path.with_suffix(".j2c")
            head = f"P5\n{dataset.Columns} {dataset.Rows}\n65535\n".encode()
            plain.write_bytes(head + values.tobytes())
            run_tool("ojph_compress", "-i", plain, "-o", packed, "-reversible", "true", *options)
            save_encapsulated(dataset, [packed.read_bytes()], uid, path)
            plain.unlink()
            packed.unlink()

    return make


def save_encapsulated(
    dataset: Dataset, frames: Sequence[bytes], uid: str, path: Path, **options: object
) -> None:
    """Save a data set with compressed frames as its pixel data."""
    dataset.PixelData = encapsulate(list(frames), **options)  # type: ignore[arg-type]
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = UID(uid)
    dataset.save_as(path)


def re_encoded(syntax: str, **options: object) -> Change:
    """Write every slice in another transfer syntax by pydicom."""

    def make(folder: Path) -> None:
        for path in sorted(folder.iterdir()):
            dataset = pydicom.dcmread(path)
            if syntax == pydicom.uid.ExplicitVRBigEndian:
                values = np.frombuffer(dataset.PixelData, "<u2").astype(">u2")
                dataset.PixelData = values.tobytes()
            if UID(syntax).is_encapsulated:
                dataset.compress(syntax, generate_instance_uid=False, **options)  # type: ignore[arg-type]
            dataset.file_meta.TransferSyntaxUID = syntax
            fresh = Dataset(dataset)  # without the encoding it was read in
            fresh.file_meta = dataset.file_meta
            fresh.save_as(path, enforce_file_format=True)

    return make


def by_gdcm(syntax: int) -> Change:
    """Compress every slice with GDCM's library, which writes both kinds of JPEG lossless."""

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


def refragmented(fragments: int) -> Change:
    """Split the one fragment of every slice; the offset table stays empty."""

    def make(folder: Path) -> None:
        for path in sorted(folder.iterdir()):
            dataset = pydicom.dcmread(path)
            frame = next(pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=1))
            dataset.PixelData = encapsulate([frame], fragments_per_frame=fragments, has_bot=False)
            dataset.save_as(path)

    return make


def stream_of(index: int, change: object) -> Change:
    """Change the compressed stream of one slice, in a file that stays whole."""

    def make(folder: Path) -> None:
        path = sorted(folder.iterdir())[index]
        dataset = pydicom.dcmread(path)
        frame = next(pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=1))
        save_encapsulated(dataset, [change(frame)], dataset.file_meta.TransferSyntaxUID, path)  # type: ignore[operator]

    return make


def no_preamble(folder: Path) -> None:
    """The bare data set, implicit VR, as ACR-NEMA left it."""
    for path in sorted(folder.iterdir()):
        bare = Dataset(pydicom.dcmread(path))
        bare.save_as(path, implicit_vr=True, little_endian=True)
