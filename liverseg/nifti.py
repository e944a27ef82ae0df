"""Judge a NIfTI file by its header, then read it as an HU volume, or refuse it."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import nibabel as nib
import numpy as np
from isal.igzip_lib import IsalError
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from liverseg.errors import ScanRejected
from liverseg.gzip_head import unpacked
from liverseg.hounsfield import HU_MAX, HU_MIN, counted, is_1024_low, is_off_by_1024, some_slices
from liverseg.nifti_sniff import header_size
from liverseg.sizes import ORDINARY_SIZES, Sizes

HEADER_SIZES = {348: nib.Nifti1Header, 540: nib.Nifti2Header}  # bytes; also the first number
SPATIAL_UNITS = {0: "unknown", 1: "metre", 2: "mm", 3: "micron"}  # low 3 bits of xyzt_units
ALLOWED_UNITS = (0, 2)
NUMBER_TYPES = (2, 4, 8, 16, 64, 256, 512, 768, 1024, 1280)  # 8 to 64 bits, float 32 and 64
CHUNK_BYTES = 1 << 20
MIN_SLICES = 8
ZOOM_TOLERANCE = 0.01  # between the affine's spacing and pixdim, relative
MIN_VOXEL_MM3 = 1e-9
FORMS_APART_MM = 1.0  # a corner of the volume by the qform and by the sform
Notes = tuple[str, ...]


@dataclass(frozen=True)
class NiftiHeader:
    """What a NIfTI file says of its volume.

    Attributes:
        shape: (X, Y, Z) voxels.
        spacing_mm: (x, y, z), of the affine.
        affine: (4, 4) float64, voxel to RAS mm.
        notes: what a reader of the report should know.
    """

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    affine: NDArray[np.float64]
    notes: tuple[str, ...] = ()


def read_nifti_header(path: Path, sizes: Sizes = ORDINARY_SIZES) -> NiftiHeader:
    """Read and judge the header alone.

    Args:
        path: a .nii or .nii.gz.
        sizes: what is too large.

    Returns:
        The geometry of a volume that can be read.

    Raises:
        ScanRejected: BAD_NIFTI, TOO_FEW_SLICES, TOO_LARGE, TRUNCATED, CORRUPT or UNREADABLE.
    """
    header, file_bytes, packed = _header(path)
    shape = _volume_shape(header)
    _require_geometry(header)
    if min(shape) < MIN_SLICES:
        raise ScanRejected(
            "TOO_FEW_SLICES", f"at least {MIN_SLICES} voxels a side are needed; got {shape}"
        )
    _require_size(header, shape, (file_bytes, packed), sizes)
    affine, notes = _affine(header, shape)
    zooms = np.linalg.norm(affine[:3, :3], axis=0)
    pixdim = np.asarray(header.get_zooms()[:3], dtype=np.float64)
    if not np.allclose(zooms, pixdim, rtol=ZOOM_TOLERANCE, atol=0):
        raise ScanRejected(
            "BAD_NIFTI",
            f"the affine's spacing should be that of pixdim; got {_triple(zooms)} and "
            f"{_triple(pixdim)} mm",
        )
    x, y, z = (float(value) for value in zooms)
    return NiftiHeader(shape, (x, y, z), affine, notes)


def _affine(header: Any, shape: tuple[int, int, int]) -> tuple[NDArray[np.float64], Notes]:
    """The sform, else the qform, also where the sform is void; a note when both differ."""
    if header["pixdim"][0] == 0:
        header["pixdim"][0] = 1  # nifti1.h: "if qfac is 0, take it as 1"
    try:
        given = [form for form in (header.get_sform(True), header.get_qform(True)) if form[1] > 0]
    except (HeaderDataError, ValueError) as error:
        raise ScanRejected("BAD_NIFTI", "the quaternion and qfac should be a rotation") from error
    affines = np.array([matrix for matrix, _ in given], dtype=np.float64)
    notes: Notes = ()
    if len(affines) > 1 and not affines[0][:3, :3].any():
        affines, notes = affines[1:], ("the sform is void; the qform was used",)
    finite = bool(np.isfinite(affines).all())
    volumes = np.linalg.det(affines[:, :3, :3]) if finite else np.zeros(len(affines))
    if abs(volumes[0]) < MIN_VOXEL_MM3:
        raise ScanRejected("BAD_NIFTI", "the affine should have an inverse")
    if volumes.min() < 0 < volumes.max():
        raise ScanRejected("BAD_NIFTI", "qform and sform should agree; one mirrors the other")
    corners = np.stack(np.meshgrid(*([0, size - 1] for size in shape), [1]), axis=-1)
    apart = np.linalg.norm((corners @ (affines[0] - affines[-1]).T)[..., :3], axis=-1)
    if apart.max() > FORMS_APART_MM:
        notes = ("qform and sform differ; sform was used",)
    return affines[0], notes


def _triple(values: NDArray[np.float64]) -> str:
    """Three numbers for a message."""
    return " x ".join(f"{value:g}" for value in values)


def _header(path: Path) -> tuple[Any, int, bool]:
    """The nibabel header, the size of the file in bytes and whether it is compressed."""
    try:
        file_bytes = path.stat().st_size
        with unpacked(path) as file:
            head = file.read(max(HEADER_SIZES))
            packed = isinstance(file, gzip.GzipFile)
    except EOFError as error:
        raise ScanRejected("TRUNCATED", "the compressed file ends before its data") from error
    except (gzip.BadGzipFile, IsalError) as error:
        raise ScanRejected("CORRUPT", "the file is no whole gzip file") from error
    except OSError as error:
        raise ScanRejected("UNREADABLE", f"a file could not be read: {error.strerror}") from error
    if len(head) < min(HEADER_SIZES):
        raise ScanRejected("TRUNCATED", f"a header of 348 bytes is wanted; got {len(head)}")
    size = header_size(head)
    if size is None:
        raise ScanRejected("BAD_NIFTI", "the file has a NIfTI's name but not its header")
    try:
        return cast(Any, HEADER_SIZES[size])(head[:size], check=False), file_bytes, packed
    except (WrapStructError, HeaderDataError) as error:
        raise ScanRejected("BAD_NIFTI", "the header cannot be parsed") from error


def _volume_shape(header: Any) -> tuple[int, int, int]:
    """(X, Y, Z); trailing axes of one are dropped."""
    dims = [int(value) for value in header["dim"]]
    count = dims[0]
    if not 1 <= count <= 7 or min(dims[1 : count + 1]) < 1:
        raise ScanRejected("BAD_NIFTI", "the dimensions should be positive, at most seven")
    shape = [*dims[1 : count + 1], 1, 1][: max(count, 3)]
    volumes = int(np.prod([float(size) for size in shape[3:]])) if count > 3 else 1
    if volumes > 1:
        raise ScanRejected("BAD_NIFTI", f"one volume is wanted; got {volumes}")
    if int(header["datatype"]) not in NUMBER_TYPES:
        raise ScanRejected("BAD_NIFTI", "voxels should be real numbers, not colours or complex")
    return shape[0], shape[1], shape[2]


def _require_geometry(header: Any) -> None:
    """Refuse a volume of which place or size is not given in mm."""
    pixdim = np.asarray(header["pixdim"][1:4], dtype=np.float64)
    if not np.isfinite(pixdim).all() or pixdim.min() <= 0:
        raise ScanRejected("BAD_NIFTI", f"spacing should be positive; got {_triple(pixdim)}")
    unit = int(header["xyzt_units"]) & 7
    if unit not in ALLOWED_UNITS:
        named = SPATIAL_UNITS.get(unit, "no unit of NIfTI")
        raise ScanRejected("BAD_NIFTI", f"lengths should be in mm; the header says {named}")
    if int(header["qform_code"]) < 1 and int(header["sform_code"]) < 1:
        raise ScanRejected("BAD_NIFTI", "qform or sform should be given; both are absent")


def _require_size(
    header: Any, shape: tuple[int, int, int], file: tuple[int, bool], sizes: Sizes
) -> None:
    """Refuse a volume that is too large, or larger than its file can hold."""
    voxels = shape[0] * shape[1] * shape[2]
    data_bytes = voxels * int(header["bitpix"]) // 8
    file_bytes, packed = file
    if file_bytes > sizes.file_bytes:
        raise ScanRejected("TOO_LARGE", f"files up to {sizes.file_bytes} bytes are read")
    if voxels > sizes.voxels:
        raise ScanRejected("TOO_LARGE", f"at most {sizes.voxels} voxels are read; got {voxels}")
    offset = float(header["vox_offset"])
    if not int(header["sizeof_hdr"]) <= offset < sizes.file_bytes:  # also when it is no number
        raise ScanRejected("BAD_NIFTI", f"voxels should follow the header; they are at {offset:g}")
    if packed and data_bytes + offset > sizes.ratio * file_bytes:
        raise _too_dense(sizes)
    if not packed and data_bytes + offset > file_bytes:
        raise ScanRejected(
            "TRUNCATED", f"{data_bytes} bytes of voxels are wanted in a file of {file_bytes}"
        )


def _too_dense(sizes: Sizes) -> ScanRejected:
    return ScanRejected(
        "TOO_LARGE",
        f"a gzip file may expand to {sizes.ratio:g} times its size, which no CT does; it is larger "
        "(a mask rather than a CT?)",
    )


def read_nifti(
    path: Path, sizes: Sizes = ORDINARY_SIZES
) -> tuple[NDArray[np.int16], NDArray[np.float64], tuple[str, ...]]:
    """Read a NIfTI volume as HU.

    Args:
        path: a .nii or .nii.gz that `read_nifti_header` accepts.
        sizes: what is too large.

    Returns:
        image: (X, Y, Z) int16, HU as the file scales them, rounded.
        affine: (4, 4) float64, voxel to RAS mm.
        notes: what a reader of the report should know.

    Raises:
        ScanRejected: as `read_nifti_header`; BAD_NIFTI for values that are not finite, TRUNCATED
            or CORRUPT for broken data, HU_IMPLAUSIBLE for values outside int16 or none below 0.
    """
    accepted = read_nifti_header(path, sizes)
    header = _header(path)[0]
    slope, intercept = (float(header[name]) for name in ("scl_slope", "scl_inter"))
    if slope == 0 or not np.isfinite(slope):  # NIfTI-1: no scaling
        slope, intercept = 1.0, 0.0
    if not np.isfinite(intercept):
        raise ScanRejected("BAD_NIFTI", "scl_inter should be finite")
    columns, rows, count = accepted.shape
    dtype = header.get_data_dtype()
    by_slice = np.empty((count, rows, columns), dtype=np.int16)
    try:
        with unpacked(path) as file:
            file.seek(int(header["vox_offset"]))
            for index in range(count):
                block = file.read(rows * columns * dtype.itemsize)
                if len(block) < rows * columns * dtype.itemsize:
                    raise EOFError
                values = np.frombuffer(block, dtype=dtype).reshape(rows, columns)
                by_slice[index] = _as_hu(values, slope, intercept, index)
            if isinstance(file, gzip.GzipFile):
                _require_checksum(file, path.stat().st_size, sizes)
    except EOFError as error:
        raise ScanRejected("TRUNCATED", "the file ends before its last slice") from error
    except (gzip.BadGzipFile, IsalError, ImageFileError) as error:
        raise ScanRejected("CORRUPT", "the compressed voxels cannot be unpacked") from error
    except OSError as error:
        raise ScanRejected("UNREADABLE", f"a file could not be read: {error.strerror}") from error
    image = by_slice.transpose(2, 1, 0)  # (X, Y, Z)
    _require_hu(image)
    return image, accepted.affine, accepted.notes


def _require_hu(image: NDArray[np.int16]) -> None:
    """Refuse values that cannot be HU: a mask, another modality, an intercept that was lost."""
    if image.min() >= 0:
        raise ScanRejected(
            "HU_IMPLAUSIBLE",
            f"HU should go below 0, as fat and air do; got {image.min()} to {image.max()}",
        )
    counts = counted(some_slices(image))
    shifts = ((is_off_by_1024, "1024", "added"), (is_1024_low, "-1024", "subtracted"))
    for is_off, where, what in shifts:
        if is_off(counts):
            raise ScanRejected(
                "HU_IMPLAUSIBLE",
                f"tissue should lie around 0 HU and fat below; it lies around {where}, as if 1024 "
                f"had been {what}",
            )


def _require_checksum(file: gzip.GzipFile, file_bytes: int, sizes: Sizes) -> None:
    """Read on to the end of the stream, where its checksum is compared.

    Raises:
        ScanRejected: TOO_LARGE when too much follows.
    """
    following = 0
    while block := file.read(CHUNK_BYTES):
        following += len(block)
        if following > sizes.ratio * file_bytes:
            raise _too_dense(sizes)


def _as_hu(values: NDArray[Any], slope: float, intercept: float, index: int) -> NDArray[np.int16]:
    """One slice as int16 HU, or a refusal that names the slice."""
    if values.dtype == np.int16 and slope == 1 and intercept == 0:
        return values
    hu = values.astype(np.float64) * slope + intercept
    if not np.isfinite(hu).all():
        raise ScanRejected("BAD_NIFTI", f"values should be finite; slice {index + 1} has others")
    hu = np.rint(hu)
    if hu.min() < HU_MIN or hu.max() > HU_MAX:
        raise ScanRejected(
            "HU_IMPLAUSIBLE",
            f"HU should fit 16 bits; got {hu.min():g} to {hu.max():g} in slice {index + 1}",
        )
    return hu.astype(np.int16)
