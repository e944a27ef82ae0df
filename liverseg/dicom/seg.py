"""Write a liver mask as DICOM SEG: binary, a frame for every slice with liver, where it lies.

Every frame takes its place from the source slice itself, so tilted, feet-first, prone, coronal
and unevenly spaced series lie right in any viewer (PS3.3 A.51, C.8.20).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import UID, CTImageStorage
from pydicom.valuerep import DSfloat

from liverseg.dicom.derived import (
    PRODUCT,
    SEG_SERIES,
    Provenance,
    derived_uid,
    lenient_writing,
    refer_to_frames,
    reference_header,
    require_identifiers,
    settle,
    source_key,
)
from liverseg.dicom.geometry import heights_mm, uneven_positions
from liverseg.dicom.image import Slice
from liverseg.dicom.values import PARSE_ERRORS
from liverseg.errors import ScanRejected

# SNOMED CT, as CID 7153 and 7150 of PS3.16 have them: value and meaning.
ORGAN = ("123037004", "Anatomical Structure")
LIVER = ("10200004", "Liver")
# A viewer's first choice of colour, sRGB.
COLOUR = (255, 176, 32)
AXES = 3  # of a volume
SERIES_DESCRIPTION = "Liver segmentation"


def liver_seg(
    slices: Sequence[Slice], mask: NDArray[np.uint8], provenance: Provenance
) -> Dataset | None:
    """The mask of a scan as a DICOM Segmentation.

    Args:
        slices: of the scan, in the order of the mask's third axis.
        mask: (X, Y, Z) uint8, liver = 1, on the grid of the slices.
        provenance: what made it.

    Returns:
        A data set that is ready to be saved: the same for the same arguments, byte for byte; None
        for an empty mask, since a segmentation without frames is none.

    Raises:
        ScanRejected: NO_UIDS where the source cannot be referred to; CORRUPT, UNREADABLE where
            its header cannot be used.
        ValueError: the mask does not have as many slices as there are.
    """
    if mask.ndim != AXES or mask.shape[2] != len(slices):
        raise ValueError(f"mask should have {len(slices)} slices; its shape is {mask.shape}")
    require_identifiers(slices)
    holding = np.flatnonzero(mask.any(axis=(0, 1)))
    if holding.size == 0:
        return None
    shown = [slices[index] for index in holding.tolist()]
    frames = np.ascontiguousarray(mask[:, :, holding].transpose(2, 1, 0) > 0).astype(np.uint8)
    maker = (provenance.version, provenance.weights_sha256, provenance.options)
    key = (*source_key(slices), *maker)
    with lenient_writing():
        header = reference_header(shown[0].path, slices)
        try:
            made = _segmentation(shown, frames, header, provenance, key)
        except PARSE_ERRORS as error:
            kind = type(error).__name__
            sentence = f"No DICOM SEG: the source's header does not allow one ({kind})."
            raise ScanRejected("CORRUPT", sentence) from error
        settle(made, header, key)
        refer_to_frames(made, shown)
    return made


def _segmentation(
    shown: Sequence[Slice],
    frames: NDArray[np.uint8],
    header: Dataset,
    provenance: Provenance,
    key: Sequence[str],
) -> Dataset:
    """The object as highdicom makes it, of frames (N, rows, columns)."""
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.color import CIELabColor
    from highdicom.seg import Segmentation, SegmentDescription
    from highdicom.sr import CodedConcept
    from pydicom.sr.codedict import codes

    algorithm = AlgorithmIdentificationSequence(
        name=PRODUCT,
        family=codes.DCM.ArtificialIntelligence,
        version=provenance.version,
        parameters={"weights SHA-256": provenance.weights_sha256},
    )
    description = SegmentDescription(
        segment_number=1,
        segment_label="Liver",
        segmented_property_category=CodedConcept(ORGAN[0], "SCT", ORGAN[1]),
        segmented_property_type=CodedConcept(LIVER[0], "SCT", LIVER[1]),
        algorithm_type="AUTOMATIC",
        algorithm_identification=algorithm,
        tracking_id="liver",
        tracking_uid=UID(tracking_uid(key)),
        display_color=CIELabColor.from_rgb(*COLOUR),
    )
    common = Dataset()
    common.update(header)
    common.update(_thickness(shown))
    # No instance stands for two contents: the same scan and weights may give another mask on
    # other hardware, which is then another instance of the same series.
    content = hashlib.sha256(np.packbits(frames).tobytes()).hexdigest()
    made: Dataset = Segmentation(
        source_images=[_stand_in(item, common) for item in shown],
        pixel_array=frames,
        segmentation_type="BINARY",
        segment_descriptions=[description],
        series_instance_uid=UID(derived_uid("SEG series", *key)),
        series_number=SEG_SERIES + header.SeriesNumber,
        series_description=SERIES_DESCRIPTION,
        sop_instance_uid=UID(derived_uid("SEG", *key, content)),
        instance_number=1,
        manufacturer=PRODUCT,
        manufacturer_model_name=PRODUCT,
        software_versions=provenance.version,
        device_serial_number=provenance.weights_sha256,
        content_label="LIVER",
        content_description="Liver, segmented automatically",
    )
    return made


def tracking_uid(key: Sequence[str]) -> str:
    """What the liver of a scan is known by, in its SEG and its SR."""
    return derived_uid("liver", *key)


def _thickness(shown: Sequence[Slice]) -> Dataset:
    """SliceThickness, and SpacingBetweenSlices where it is even."""
    gaps = np.diff(heights_mm(shown))
    known = shown[0].thickness_mm or 0.0
    thickness_mm = known if known > 0 else float(np.median(gaps)) if gaps.size else 0.0
    dataset = Dataset()
    dataset.SliceThickness = _decimal(thickness_mm)
    if gaps.size and uneven_positions(shown) is None:
        dataset.SpacingBetweenSlices = _decimal(float(np.median(gaps)))
    return dataset


def _stand_in(item: Slice, common: Dataset) -> Dataset:
    """A slice as far as a segmentation of it must know it; nothing is read from its file."""
    dataset = Dataset()
    # The elements are shared, not copied: nobody changes them.
    dataset.update(common)
    dataset.SOPClassUID = CTImageStorage if item.frame is not None else UID(item.sop_class)
    dataset.SOPInstanceUID = UID(item.sop_uid)
    dataset.SeriesInstanceUID = UID(item.series_uid)
    dataset.Modality = "CT"
    dataset.Rows, dataset.Columns = item.layout.rows, item.layout.columns
    x_mm, y_mm = item.spacing_mm or (0.0, 0.0)
    dataset.PixelSpacing = [_decimal(y_mm), _decimal(x_mm)]
    dataset.ImageOrientationPatient = [_decimal(value) for value in item.orientation or ()]
    dataset.ImagePositionPatient = [_decimal(value) for value in item.position or ()]
    return dataset


def _decimal(value: float) -> DSfloat:
    return DSfloat(value, auto_format=True)
