"""Read a label map, the numbers of organs or a mask, whole from a NIfTI file."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
from isal import igzip
from isal.igzip_lib import IsalError

GZIP_SUFFIX = ".gz"
CHUNK_BYTES = 1 << 20

# What reading a file that is damaged or no image raises, and what that means. The first that an
# error is of counts: some are kinds of others.
_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (EOFError, "it ends too early"),
    (nib.spatialimages.HeaderDataError, "its header is damaged"),
    (nib.wrapstruct.WrapStructError, "its header is damaged"),
    (nib.filebasedimages.ImageFileError, "it is damaged or of another kind"),
    (zlib.error, "it is damaged"),
    (IsalError, "it is damaged"),
    (MemoryError, "it claims to be larger than the memory"),
    (OSError, "it is damaged or ends too early"),  # of gzip about its data, of numpy about a size
    (ValueError, "its header is damaged"),
    (OverflowError, "its header is damaged"),
)


def read_label_map(path: Path) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
    """The values of a file and where they lie.

    Args:
        path: .nii or .nii.gz.

    Returns:
        Values (X, Y, Z, ...) of the file's own type, or float where it scales them, and the affine
        (4, 4) float64 from voxel indices to RAS mm.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not whole, or no NIfTI; says what it is instead, without the path.
    """
    try:
        if path.name.lower().endswith(GZIP_SUFFIX):
            # nibabel stops at the last voxel, before the checksum.
            with igzip.open(path, "rb") as file:
                while file.read(CHUNK_BYTES):
                    pass
        image: Any = nib.load(path)
        return np.asanyarray(image.dataobj), np.asarray(image.affine, dtype=np.float64)
    except FileNotFoundError:
        raise
    except PermissionError as error:
        raise ValueError("it may not be read") from error
    except tuple(kind for kind, _ in _REASONS) as error:
        why = next(text for kind, text in _REASONS if isinstance(error, kind))
        raise ValueError(why) from error
