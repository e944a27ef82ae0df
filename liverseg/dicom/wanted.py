"""The elements of a header that a series is judged by."""

from __future__ import annotations

from pydicom.tag import Tag

from liverseg.dicom.plain import Wanted
from liverseg.dicom.values import HINT_KEYWORDS

_GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
_KEYWORDS = (
    "ImageType",
    "SOPClassUID",
    "SOPInstanceUID",
    "AcquisitionDate",
    "ContentDate",
    "AcquisitionTime",
    "ContentTime",
    "AcquisitionDateTime",
    "Modality",
    "PatientID",
    "KVP",
    "ConvolutionKernel",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "AcquisitionNumber",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "FrameOfReferenceUID",
    "TemporalPositionIdentifier",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "PixelSpacing",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "RescaleIntercept",
    "RescaleSlope",
    "RescaleType",
    "LossyImageCompression",
    "InstanceNumber",
    "ImagesInAcquisition",
    "VolumeBasedCalculationTechnique",
    "SliceThickness",
)
HEADER_TAGS = [
    Tag(keyword) for keyword in (*_KEYWORDS, *HINT_KEYWORDS, *_GROUPS, "ModalityLUTSequence")
]
PLAIN_KEYWORDS = Wanted(
    tuple(dict.fromkeys((*_KEYWORDS, *HINT_KEYWORDS))),
    tuple(keyword for keyword in HINT_KEYWORDS if keyword not in _KEYWORDS),
)
