"""Formats that hold scans and are not read here: named, so that nobody has to guess."""

from __future__ import annotations

from pathlib import Path

UNPACK_FIRST = "{}, which is not unpacked here: unpack it first"
CONVERT_FIRST = "{}, which is not read here: DICOM or NIfTI (.nii, .nii.gz) is wanted"
# How a file begins.
MAGICS = {
    b"7z\xbc\xaf\x27\x1c": UNPACK_FIRST.format("a 7-Zip archive"),
    b"Rar!\x1a\x07": UNPACK_FIRST.format("a RAR archive"),
    b"\x28\xb5\x2f\xfd": UNPACK_FIRST.format("a Zstandard file"),
    b"BZh": UNPACK_FIRST.format("a bzip2 file that is no tar"),
    b"\xfd7zXZ\0": UNPACK_FIRST.format("an xz file that is no tar"),
    b"\x1f\x8b": UNPACK_FIRST.format(
        "a gzip file that is cut short, is not named .gz, or holds neither DICOM nor NIfTI"
    ),
    b"NRRD0": CONVERT_FIRST.format("an NRRD file"),
    b"ObjectType": CONVERT_FIRST.format("a MetaImage file"),
}
SPLIT_ZIP = UNPACK_FIRST.format("a part of a zip in several files, or no plain zip")
# How a name ends, where the beginning says nothing; NIfTI pairs begin as Analyze does.
SUFFIXES = {
    ".zip": SPLIT_ZIP,
    **{f".z{number:02d}": SPLIT_ZIP for number in range(1, 100)},
    ".iso": UNPACK_FIRST.format("an image of a disc"),
    ".mha": CONVERT_FIRST.format("a MetaImage file"),
    ".mhd": CONVERT_FIRST.format("a MetaImage file"),
    ".hdr": CONVERT_FIRST.format("an Analyze or NIfTI pair (.hdr, .img)"),
    ".mgz": CONVERT_FIRST.format("a FreeSurfer volume"),
    ".mgh": CONVERT_FIRST.format("a FreeSurfer volume"),
    ".mnc": CONVERT_FIRST.format("a MINC volume"),
    ".nhdr": CONVERT_FIRST.format("an NRRD file"),
    ".vti": CONVERT_FIRST.format("a VTK volume"),
}


# The voxels of a pair, which its header stands for.
HEADERS = {".img": (".hdr",), ".raw": (".mhd", ".nhdr"), ".zraw": (".mhd",)}


def is_voxels_of_a_pair(path: Path) -> bool:
    """Whether a file holds the voxels that a header beside it describes."""
    return any(path.with_suffix(suffix).exists() for suffix in HEADERS.get(path.suffix.lower(), ()))


def foreign_format(path: Path, head: bytes) -> str:
    """What a file is and what to do with it, in one sentence; "" for any other file.

    Args:
        path: its name decides where the content does not.
        head: its first bytes.
    """
    for magic, sentence in MAGICS.items():
        if head.startswith(magic):
            return sentence
    return SUFFIXES.get(path.suffix.lower(), "") if head else ""
