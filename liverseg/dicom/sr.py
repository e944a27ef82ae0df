"""Write volume and mean HU as a DICOM SR (TID 1500) that refers to the liver's DICOM SEG."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pydicom.dataset import Dataset
from pydicom.uid import UID

from liverseg.dicom.derived import (
    PRODUCT,
    SEG_SERIES,
    SR_SERIES,
    Provenance,
    derived_uid,
    lenient_writing,
    settle,
)

if TYPE_CHECKING:
    from highdicom.sr import Measurement, ObserverContext, ReferencedSegment

# CID 7469 of PS3.16, SNOMED CT and DCM; units in UCUM.
VOLUME = ("118565006", "SCT", "Volume")
ATTENUATION = ("112031", "DCM", "Attenuation Coefficient")
MEAN = ("373098007", "SCT", "Mean")
MILLILITRE = ("ml", "UCUM", "milliliter")
HOUNSFIELD = ("[hnsf'U]", "UCUM", "Hounsfield unit")
LIVER = ("10200004", "SCT", "Liver")
ORGAN = ("123037004", "SCT", "Anatomical Structure")
SERIES_DESCRIPTION = "Liver measurements"


def liver_sr(seg: Dataset, volume_ml: float, mean_hu: float, provenance: Provenance) -> Dataset:
    """The numbers of a liver as a Comprehensive SR.

    Args:
        seg: of `liverseg.dicom.seg.liver_seg`; patient, study and dates are taken from it.
        volume_ml: as the report has it, to 0.01.
        mean_hu: as the report has it; NaN is left out.
        provenance: what made the mask.

    Returns:
        A data set that is ready to be saved: the same for the same arguments, byte for byte.
    """
    from highdicom.sr import ComprehensiveSR

    key = (str(seg.SOPInstanceUID), f"{volume_ml:.2f}", f"{mean_hu:.2f}")
    with lenient_writing():
        made: Dataset = ComprehensiveSR(
            evidence=[seg],
            content=_report(seg, volume_ml, mean_hu, provenance),
            series_instance_uid=UID(derived_uid("SR series", str(seg.SeriesInstanceUID))),
            series_number=int(seg.SeriesNumber) - SEG_SERIES + SR_SERIES,
            series_description=SERIES_DESCRIPTION,
            sop_instance_uid=UID(derived_uid("SR", *key)),
            instance_number=1,
            manufacturer=PRODUCT,
            manufacturer_model_name=PRODUCT,
            software_versions=provenance.version,
            device_serial_number=provenance.weights_sha256,
            is_complete=True,
        )
        settle(made, seg, key)
    return made


def _report(seg: Dataset, volume_ml: float, mean_hu: float, provenance: Provenance) -> Dataset:
    """The content tree of TID 1500."""
    from highdicom.sr import (
        AlgorithmIdentification,
        CodedConcept,
        FindingSite,
        MeasurementReport,
        ObservationContext,
        TrackingIdentifier,
        VolumetricROIMeasurementsAndQualitativeEvaluations,
    )
    from pydicom.sr.codedict import codes

    segment = seg.SegmentSequence[0]
    group = VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            uid=UID(segment.TrackingUID), identifier=str(segment.TrackingID)
        ),
        referenced_segment=_reference(seg),
        finding_category=CodedConcept(*ORGAN),
        finding_type=CodedConcept(*LIVER),
        finding_sites=[FindingSite(CodedConcept(*LIVER))],
        algorithm_id=AlgorithmIdentification(PRODUCT, provenance.version),
        measurements=_measurements(volume_ml, mean_hu),
    )
    report = MeasurementReport(
        observation_context=ObservationContext(observer_device_context=_observer(provenance)),
        procedure_reported=codes.LN.CTUnspecifiedBodyRegion,
        imaging_measurements=[group],
        title=codes.DCM.ImagingMeasurementReport,
    )
    content: Dataset = report[0]
    return content


def _measurements(volume_ml: float, mean_hu: float) -> list[Measurement]:
    """Volume, and the mean where there is one."""
    from highdicom.sr import CodedConcept, Measurement

    found = [Measurement(CodedConcept(*VOLUME), volume_ml, CodedConcept(*MILLILITRE))]
    if not math.isnan(mean_hu):
        found.append(
            Measurement(
                CodedConcept(*ATTENUATION),
                mean_hu,
                CodedConcept(*HOUNSFIELD),
                derivation=CodedConcept(*MEAN),
            )
        )
    return found


def _observer(provenance: Provenance) -> ObserverContext:
    """Who measured: this package, with these weights."""
    from highdicom.sr import DeviceObserverIdentifyingAttributes, ObserverContext
    from pydicom.sr.codedict import codes

    device = DeviceObserverIdentifyingAttributes(
        uid=derived_uid("device", provenance.version, provenance.weights_sha256),
        name=PRODUCT,
        manufacturer_name=PRODUCT,
        model_name=PRODUCT,
        serial_number=provenance.weights_sha256,
    )
    return ObserverContext(observer_type=codes.DCM.Device, observer_identifying_attributes=device)


def _reference(seg: Dataset) -> ReferencedSegment:
    """The segment that was measured."""
    from highdicom.sr import ReferencedSegment, SourceSeriesForSegmentation

    return ReferencedSegment(
        sop_class_uid=seg.SOPClassUID,
        sop_instance_uid=seg.SOPInstanceUID,
        segment_number=1,
        source_series=SourceSeriesForSegmentation(
            UID(seg.ReferencedSeriesSequence[0].SeriesInstanceUID)
        ),
    )
