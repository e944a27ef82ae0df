"""Write files so that a reader finds the whole file or none: temporary name first, then renamed."""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import nibabel as nib
import numpy as np
import numpy.typing as npt

from liverseg.gzipped import GzipWriter

# Suffix of a file that is being written; whatever carries it may be removed.
PART = ".part"
PART_NAME = re.compile(rf"\..+\.[0-9a-f]{{8}}{re.escape(PART)}")
ORDINARY_MODE = 0o666
PRIVATE_MODE = 0o600
# A mask becomes smaller than by gzip's level 4, in a twentieth of the time; a CT 2 % larger than by
# its level 1, in a sixth.
GZIP_LEVEL = 1
# Largest cosine between two axes of a grid that NIfTI's qform (which has no shear) may still hold.
SHEAR_TOLERANCE = 1e-4
# Enough for gzip's header with a short name, and the flag that says that there is one.
GZIP_HEAD_BYTES = 64
GZIP_HAS_NAME = 8
# NIfTI's code for a form that gives scanner coordinates.
SCANNER_FORM = 1


@contextmanager
def whole_file(path: Path, mode: int = ORDINARY_MODE) -> Iterator[BinaryIO]:
    """A stream that becomes `path` when the block ends, and nothing when it raises.

    Args:
        path: where the file shall be; an older one is replaced at once, never half.
        mode: permissions from creation on, before the umask.

    Raises:
        OSError: the folder cannot be written, or is full.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{PART}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_parts(folder: Path) -> None:
    """Remove what killed runs have left half-written in a folder; nobody else may write to it.

    Raises:
        OSError: a file that is there cannot be removed.
    """
    for path in folder.glob(f".*{PART}"):
        if PART_NAME.fullmatch(path.name):
            path.unlink(missing_ok=True)


def write_text(path: Path, text: str, mode: int = ORDINARY_MODE) -> None:
    r"""Write a whole text file, UTF-8; bytes of file names that are none come as \xNN."""
    readable = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    with whole_file(path, mode) as stream:
        stream.write(readable.encode("utf-8"))


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a whole JSON file; NaN is not JSON and is refused with ValueError."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def write_nifti(
    path: Path,
    data: npt.NDArray[np.int16] | npt.NDArray[np.uint8],
    affine: npt.NDArray[np.float64],
    fingerprint: str = "",
) -> None:
    """Write a whole .nii.gz: the voxels as they are, no scaling, nothing in the text fields.

    Args:
        path: the file, ending in .nii.gz.
        data: (X, Y, Z); its dtype is the file's.
        affine: (4, 4), voxel to RAS mm: the sform, and the qform too unless the grid is sheared.
        fingerprint: of the scan, written as the name that gzip gives to its content, which
            readers of NIfTI pass over; `fingerprint_of` finds it there.

    Raises:
        OSError: the folder cannot be written, or is full.
    """
    image = nib.Nifti1Image(data, affine, dtype=data.dtype)
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, code=SCANNER_FORM)
    if not _sheared(affine):
        image.set_qform(affine, code=SCANNER_FORM)
    with whole_file(path) as raw, GzipWriter(raw, GZIP_LEVEL, fingerprint) as stream:
        image.to_stream(stream)


def fingerprint_of(path: Path) -> str:
    """The fingerprint that `write_nifti` has given a file; "" where there is none.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(GZIP_HEAD_BYTES)
    # RFC 1952: the fourth byte says what follows the first ten.
    if len(head) < GZIP_HEAD_BYTES or head[3] != GZIP_HAS_NAME:
        return ""
    return head[10:].partition(b"\0")[0].decode("latin-1")


def _sheared(affine: npt.NDArray[np.float64]) -> bool:
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    cosines = directions.T @ directions - np.eye(directions.shape[1])
    return bool(np.abs(cosines).max() > SHEAR_TOLERANCE)
