"""Write a CT volume as a folder of DICOM slices, as a scanner would send them.

For tests and the demonstration: what is written here is what `discover` and `volume` read back.
"""

from __future__ import annotations

import copy
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

AIR_HU = -1024  # the lowest HU of a 12 bit CT: intercept of the unsigned encoding
RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])  # DICOM PS3.3 C.7.6.2.1.1: the patient's LPS, in mm


@dataclass(frozen=True)
class SeriesHeader:
    """What the files of a series say of it.

    Attributes:
        description: SeriesDescription.
        number: SeriesNumber.
        study_uid: StudyInstanceUID; a new one when None.
        series_uid: SeriesInstanceUID, from which those of the images are made; new ones when None.
        patient_name: PatientName, also hashed into PatientID.
        localizer: mark the slices as a scout in ImageType.
    """

    description: str = "CT"
    number: int = 1
    study_uid: str | None = None
    series_uid: str | None = None
    patient_name: str = "Phantom^Liver"
    localizer: bool = False


ORDINARY_HEADER = SeriesHeader()


def write_ct_series(
    image_hu: NDArray[np.int16],
    affine: NDArray[np.float64],
    folder: Path,
    header: SeriesHeader = ORDINARY_HEADER,
) -> list[Path]:
    """Write an HU volume as CT Image Storage, one explicit little endian file a slice.

    Args:
        image_hu: (X, Y, Z) int16, HU. X runs along a row of the slice, Y along a column.
        affine: (4, 4) voxel to RAS mm; the third axis may be tilted against the slices (gantry
            tilt), the first two must be at right angles to each other.
        folder: made when missing; files are named IM0001.dcm and so on, in order of Z.
        header: what the files say of the series.

    Returns:
        The files, in order of Z.

    Raises:
        ValueError: the volume is not 3-D int16, or its rows and columns are not at right angles.
    """
    if image_hu.ndim != 3 or image_hu.dtype != np.int16:
        raise ValueError(
            f"image should be (X, Y, Z) int16; got {image_hu.shape} of {image_hu.dtype}"
        )
    lps = RAS_TO_LPS @ np.asarray(affine, dtype=np.float64)
    along_row, along_column = lps[:3, 0], lps[:3, 1]
    spacing_mm = np.linalg.norm(lps[:3, :2], axis=0)
    if abs(along_row @ along_column) > 1e-6 * spacing_mm.prod():
        raise ValueError("rows and columns should be at right angles; the affine shears them")

    common = _series_dataset(header, image_hu)
    common.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER" if header.localizer else "AXIAL"]
    common.PixelSpacing = [_decimal(spacing_mm[1]), _decimal(spacing_mm[0])]
    directions = [*(along_row / spacing_mm[0]), *(along_column / spacing_mm[1])]
    common.ImageOrientationPatient = [_decimal(value) for value in directions]
    normal = np.cross(along_row / spacing_mm[0], along_column / spacing_mm[1])
    common.SliceThickness = _decimal(abs(normal @ lps[:3, 2]))

    folder.mkdir(parents=True, exist_ok=True)
    stored = (image_hu.astype(np.int32) - int(common.RescaleIntercept)).astype(
        "<i2" if common.PixelRepresentation else "<u2"
    )
    files = []
    for index in range(image_hu.shape[2]):
        position = lps[:3, 3] + index * lps[:3, 2]
        path = folder / f"IM{index + 1:04d}.dcm"
        common.SOPInstanceUID = _uid(header, f"image {index}")
        _save_slice(common, index, position, stored[:, :, index].T.tobytes(), path)
        files.append(path)
    return files


def _uid(header: SeriesHeader, what: str) -> str:
    """An identifier of the series: the same in each run where the series' own is given."""
    return generate_uid(
        entropy_srcs=None if header.series_uid is None else [header.series_uid, what]
    )


def _series_dataset(header: SeriesHeader, image_hu: NDArray[np.int16]) -> Dataset:
    """Patient, study and pixel layout, the same for every slice."""
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = CTImageStorage
    dataset.Modality = "CT"
    dataset.Manufacturer = "liverseg"
    dataset.PatientName = header.patient_name
    dataset.PatientID = hashlib.sha256(header.patient_name.encode()).hexdigest()[:16]
    dataset.PatientBirthDate = ""
    dataset.PatientSex = ""
    dataset.PatientPosition = "HFS"
    dataset.StudyInstanceUID = header.study_uid or generate_uid()
    dataset.SeriesInstanceUID = header.series_uid or generate_uid()
    dataset.FrameOfReferenceUID = _uid(header, "frame of reference")
    dataset.SeriesDescription = header.description
    dataset.SeriesNumber = header.number
    dataset.StudyDate = "20000101"
    dataset.StudyTime = "120000"
    dataset.StudyID = "1"
    dataset.AccessionNumber = ""
    dataset.ReferringPhysicianName = ""
    dataset.PositionReferenceIndicator = ""
    dataset.AcquisitionNumber = 1
    dataset.KVP = "120"
    dataset.Columns, dataset.Rows = image_hu.shape[:2]
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = 16
    dataset.BitsStored = 16
    dataset.HighBit = 15
    # Scanners send unsigned values from -1024 up; lower ones need the signed encoding.
    signed = bool(image_hu.size and image_hu.min() < AIR_HU)
    dataset.PixelRepresentation = int(signed)
    dataset.RescaleIntercept = 0 if signed else AIR_HU
    dataset.RescaleSlope = 1
    dataset.RescaleType = "HU"
    return dataset


def _save_slice(
    common: Dataset, index: int, position_lps: NDArray[np.float64], pixels: bytes, path: Path
) -> None:
    """Write one slice: the series' data set, its own number, position and pixels."""
    dataset = copy.deepcopy(common)
    dataset.InstanceNumber = index + 1
    dataset.ImagePositionPatient = [_decimal(value) for value in position_lps]
    if len(pixels) % 2:
        pixels += b"\0"  # PS3.5 7.1.1: values have an even length
    dataset.add_new("PixelData", "OW", pixels)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.save_as(path, enforce_file_format=True)


def _decimal(value: float) -> str:
    """A DICOM decimal string: at most 16 characters (PS3.5 6.2), as many digits as fit."""
    for digits in range(16, 0, -1):
        text = f"{value:.{digits}g}"
        if len(text) <= 16:
            return text
    raise ValueError(f"a decimal string should fit 16 characters; got {value!r}")
