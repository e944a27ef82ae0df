"""The frames of an enhanced multi-frame CT, each as an image of its own."""

from __future__ import annotations

from dataclasses import replace

from pydicom.dataset import Dataset

from liverseg.dicom.image import Slice
from liverseg.dicom.values import HINT_KEYWORDS, number, numbers, text, texts, value_of
from liverseg.errors import ScanRejected

# Where a frame says what a classic image says with one of HINT_KEYWORDS (PS3.3 C.7.6.16, C.8.15.3).
FRAME_HINTS = {
    "TriggerTime": ("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime"),
    "NominalPercentageOfCardiacPhase": (
        "CardiacSynchronizationSequence",
        "NominalPercentageOfCardiacPhase",
    ),
    "ContrastBolusAgent": ("ContrastBolusUsageSequence", "ContrastBolusAgentAdministered"),
    "SliceThickness": ("PixelMeasuresSequence", "SliceThickness"),
    "ReconstructionDiameter": ("CTReconstructionSequence", "ReconstructionDiameter"),
    "FilterType": ("CTReconstructionSequence", "ImageFilter"),
    "TemporalPositionTimeOffset": ("TemporalPositionSequence", "TemporalPositionTimeOffset"),
    "NominalPercentageOfRespiratoryPhase": (
        "RespiratorySynchronizationSequence",
        "NominalPercentageOfRespiratoryPhase",
    ),
}


def frames_of(whole: Slice, dataset: Dataset, most: int) -> list[Slice]:
    """Every frame with its own position and rescale (PS3.3 C.7.6.16).

    Args:
        whole: what the file says of all frames.
        dataset: the header of the file.
        most: frames that are not too many.

    Returns:
        One image a frame, in the order of the file.

    Raises:
        ScanRejected: UNSUPPORTED_MULTIFRAME when the functional groups do not give every frame
            its groups, TOO_LARGE when there are too many frames.
    """
    count = whole.frames or 0
    shared = value_of(dataset, "SharedFunctionalGroupsSequence") or []
    per_frame = value_of(dataset, "PerFrameFunctionalGroupsSequence") or []
    if count > most:
        raise ScanRejected("TOO_LARGE", f"at most {most} frames are read; got {count}")
    if count < 1 or len(per_frame) != count:
        raise ScanRejected(
            "UNSUPPORTED_MULTIFRAME",
            f"every frame should have its functional groups; {count} frames, "
            f"{len(per_frame)} groups",
        )
    common = shared[0] if len(shared) else Dataset()
    return [_frame(whole, index, item, common) for index, item in enumerate(per_frame)]


def _frame(whole: Slice, index: int, item: Dataset, common: Dataset) -> Slice:
    """One frame: its own groups first, else the shared ones."""

    def group(name: str) -> Dataset:
        for source in (item, common):
            sequence = value_of(source, name)
            if sequence:
                found: Dataset = sequence[0]
                return found
        return Dataset()

    measures = group("PixelMeasuresSequence")
    values = group("PixelValueTransformationSequence")
    content = group("FrameContentSequence")
    spacing = numbers(measures, "PixelSpacing", 2)
    thickness = numbers(measures, "SliceThickness", 1)
    kind = group("CTImageFrameTypeSequence")
    technique = texts(kind, "VolumeBasedCalculationTechnique")
    frame_type = texts(kind, "FrameType")
    kernel = text(group("CTReconstructionSequence"), "ConvolutionKernel")
    kvp = text(group("CTXRayDetailsSequence"), "KVP")
    converted = group("UnassignedPerFrameConvertedAttributesSequence")
    acquisition = text(content, "FrameAcquisitionNumber") or text(converted, "AcquisitionNumber")
    # A stack is a volume of its own, and a temporal position a phase of it.
    stack = (text(content, "StackID"), text(content, "TemporalPositionIndex"))
    reference = text(content, "FrameReferenceDateTime")
    acquired = text(content, "FrameAcquisitionDateTime") or reference
    said = dict(zip(HINT_KEYWORDS, whole.hints, strict=True))
    for keyword, (sequence, attribute) in FRAME_HINTS.items():
        said[keyword] = text(group(sequence), attribute) or said[keyword]
    phase = (acquisition, "/".join(filter(None, stack)), kernel, kvp, acquired, reference)
    return replace(
        whole,
        frame=index,
        sop_uid=f"{whole.sop_uid}#{index}" if whole.sop_uid else "",
        image_type=(*(frame_type or whole.image_type), *technique),
        spacing_mm=(spacing[1], spacing[0]) if spacing else None,
        orientation=numbers(group("PlaneOrientationSequence"), "ImageOrientationPatient", 6),
        position=numbers(group("PlanePositionSequence"), "ImagePositionPatient", 3),
        thickness_mm=thickness[0] if thickness else None,
        slope=number(values, "RescaleSlope"),
        intercept=number(values, "RescaleIntercept"),
        rescale_type=text(values, "RescaleType"),
        # What a frame does not say is said of all of them, if at all.
        phase=tuple(own or of_all for own, of_all in zip(phase, whole.phase, strict=True)),
        hints=tuple(said.values()),
    )
