"""Rows of the catalogue that ../shared has no row for: discs, splits, odd headers, odd frames."""

from __future__ import annotations

import deliveries as d
import encoders as e
import exports as x
import numpy as np
import wrapped as w
from conftest import AFFINE
from rows import COUNT, EXACT, Case, Truth, between, case, long_scan, start_of

J2K, RLE, JPEG = "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.5", ("dcmcjpeg", "+e1")
CT, MR, PT = (f"1.2.840.10008.5.1.4.1.1.{number}" for number in ("2", "4", "128"))
HALF, OTHER_HALF = range(6), range(6, COUNT)


def thick() -> Truth:
    """Every second slice of the scan, half a slice further up: thicker ones of the same body."""
    affine = AFFINE.copy()
    affine[2, 3] += 1.5
    return Truth(EXACT.image, affine)


def changed() -> Truth:
    """The scan as `deliveries.other_pixels` changes it."""
    image = EXACT.image.copy()
    image[0, 0] = 0x0201 - 1024
    return Truth(image, AFFINE)


def phase(number: int) -> Truth:
    """The scan with the number of a phase in its first voxel."""
    image = EXACT.image.copy()
    image[0, 0] = number - 1024
    return Truth(image, AFFINE)


def changed_but(shared: int, image: np.ndarray = EXACT.image) -> Truth:
    """As `exports.another_phase` changes it; the first slices are shared."""
    image = image.copy()
    image[0, 0, shared:] = 0x0201 - 1024
    return Truth(image, AFFINE)


CHANGED = changed()
LONG = Truth(np.concatenate([EXACT.image] * 2, axis=2), AFFINE)

TREES: dict[str, Case] = {
    "a patient's disc with a viewer": case(x.disc, EXACT, "NOT_CT", "NOT_CT"),
    "two series mixed in one folder": case(x.another_series_beside(), EXACT, EXACT),
    "CT, PET and MR mixed in one folder": case(
        d.both(
            x.another_series_beside(SOPClassUID=PT, Modality="PT"),
            d.object_beside(MR, "MR"),
        ),
        *(EXACT, "NOT_CT", "NOT_CT"),
    ),
    "half of a series in a folder below": case(x.moved("rest", OTHER_HALF)),
    "every second slice in a folder below": case(x.moved("rest", range(0, COUNT, 2))),
    "half of a series in each of two zips": case(
        d.both(x.zipped_part("b.zip", OTHER_HALF), x.zipped_part("a.zip", HALF))
    ),
    "half of a series in a zip, half beside it": case(x.zipped_part("a.zip", HALF)),
    "one slice in a zip that is missing beside it": case(x.zipped_part("a.zip", [5])),
    "two zips that share some slices": case(
        d.both(
            x.zipped_part("a.zip", range(8), keep=True),
            x.zipped_part("b.zip", range(4, COUNT), keep=True),
            x.zipped_part("c.zip", range(COUNT)),
        )
    ),
    "half of a series in each of two zips, a slice missing": case(
        d.both(d.remove(4), x.zipped_part("b.zip", range(6, 11)), x.zipped_part("a.zip", HALF)),
        "MISSING_SLICES",
    ),
    "some slices as gzip files": case(x.gzipped(0, 5, 11)),
    "slices as gzip files in a zip": case(d.both(w.slices_gzipped, w.zipped())),
    "a slice as a gzip file that is cut": case(x.damaged_gzip, "TRUNCATED", "TRUNCATED"),
    "an archive with nothing in it": case(x.empty_zip, "NOT_CT"),
    "a 7-Zip archive": case(x.instead("a.7z", b"7z\xbc\xaf\x27\x1c" + bytes(600)), "NOT_CT"),
    "an object of another kind that is very large": case(x.large_slide, EXACT, "NOT_CT"),
    "a part of a zip in several files": case(
        x.beside("a.z01", b"PK\x07\x08" + bytes(600)), EXACT, "NOT_CT"
    ),
    "a zip that begins with something else": case(
        x.beside("a.zip", b"MZ\x90\x00" + bytes(600)), EXACT, "NOT_CT"
    ),
    "a RAR archive": case(x.beside("a.rar", b"Rar!\x1a\x07\x01" + bytes(600)), EXACT, "NOT_CT"),
    "an image of a disc": case(x.beside("a.iso", bytes(40_000)), EXACT, "NOT_CT"),
    "an NRRD file": case(x.beside("ct.nrrd", b"NRRD0004\ntype: short\n"), EXACT, "NOT_CT"),
    "a MetaImage file": case(x.beside("ct.mha", b"ObjectType = Image\n"), EXACT, "NOT_CT"),
    "links that lead to themselves": case(x.link_loop, EXACT, "NOT_CT"),
    "names with line breaks, quotes and pictures": case(x.odd_names),
    "forty folders deep": case(x.deep),
    "files named after their identifiers": case(x.named_by_uid),
    "names in capitals": case(x.upper_case),
    "what Windows and macOS leave behind": case(x.leftovers, EXACT, "NOT_CT"),
}

UIDS = ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
SERIES: dict[str, Case] = {
    "three phases by number and time": case(
        x.phases(
            3,
            AcquisitionNumber=lambda number: number + 1,
            AcquisitionTime=lambda number: f"12000{number}",
        ),
        *(EXACT, EXACT, EXACT),
    ),
    **{
        f"phases by {keyword} alone": case(
            d.both(d.twice_in_one_series(**{keyword: values}), d.other_pixels("second")),
            *(EXACT, CHANGED),
        )
        for keyword, values in {
            "TriggerTime": ("0", "400"),
            "NominalPercentageOfCardiacPhase": (70, 80),
            "ContrastBolusAgent": ("", "Imeron 350"),
            "SeriesNumber": (3, 4),
            "SeriesDescription": ("venös", "arteriell"),
            "SliceThickness": ("1", "3"),
            "ReconstructionDiameter": ("350", "200"),
            "FilterType": ("soft", "sharp"),
        }.items()
    },
    "phases with slices of air that are the same in both": case(
        d.both(d.each(TriggerTime="0"), x.another_phase(range(2), TriggerTime="400")),
        *(EXACT, changed_but(2)),
    ),
    "phases half a step apart whose times run on": case(
        d.twice_in_one_series(
            affine=between().affine,
            ContentTime=(lambda index: f"1200{index:02d}", lambda index: f"1201{index:02d}"),
        ),
        *(EXACT, between()),
    ),
    "every second slice computed in a second round, overlapping": case(
        d.each(SliceThickness="5", ContentTime=lambda index: f"120{index % 2}{index:02d}"),
        start=long_scan(),
    ),
    "every second slice in a second pass, slice by slice": case(
        d.each(ContentTime=lambda index: f"120{index % 2}{index:02d}"), start=long_scan()
    ),
    "two phases of two acquisitions each": case(
        d.both(
            d.each(
                AcquisitionNumber=lambda index: 1 + index // COUNT,
                AcquisitionTime=lambda index: f"1200{index:02d}",
            ),
            x.another_phase(
                AcquisitionNumber=lambda index: 3 + index // COUNT,
                AcquisitionTime=lambda index: f"1201{index:02d}",
            ),
        ),
        *(LONG, changed_but(0, LONG.image)),
        start=LONG,
    ),
    "images that wait for contrast agent between two phases": case(
        d.both(
            d.each(AcquisitionNumber=2),
            x.another_phase(AcquisitionNumber=4),
            x.watching(3, AcquisitionNumber=3),
        ),
        *(EXACT, CHANGED, "TOO_FEW_SLICES"),
    ),
    "nine images that wait for contrast agent": case(
        d.both(d.each(AcquisitionNumber=2), x.watching(9, AcquisitionNumber=3)),
        *(EXACT, "AMBIGUOUS_POSITIONS"),
    ),
    "images that wait for contrast agent, by another kernel": case(
        d.both(d.each(ConvolutionKernel="B30f"), x.watching(3, ConvolutionKernel="B20f")),
        *(EXACT, "TOO_FEW_SLICES"),
    ),
    "another kVp from the middle on, positions of two decimals": case(
        d.both(
            d.each(KVP=lambda index: "120" if index < 2 * COUNT else "100"),
            x.raw_value_each("ImagePositionPatient", 2),
        ),
        start=long_scan(),
    ),
    "another kernel from the middle on, a slice missing there": case(
        d.both(
            d.each(ConvolutionKernel=lambda index: "B30f" if index < 2 * COUNT else "B60f"),
            d.remove(2 * COUNT),
        ),
        "MISSING_SLICES",
        start=long_scan(),
    ),
    "a kernel written in two ways": case(
        d.each(ConvolutionKernel=lambda index: (["Br40d", "3"], "BR40D")[index % 2])
    ),
    "phases by times with colons, a date on some": case(
        d.both(
            d.each(
                AcquisitionTime=lambda index: f"12:00:{index:02d}",
                AcquisitionDate=lambda index: "" if index % 3 else "20240101",
            ),
            x.another_phase(AcquisitionTime=lambda index: f"12:01:{index:02d}"),
        ),
        *(EXACT, CHANGED),
    ),
    "phases of two lengths whose times run on": case(
        d.both(
            d.each(AcquisitionTime=lambda index: f"1200{index:02d}"),
            x.another_phase(AcquisitionTime=lambda index: f"1201{index:02d}"),
            d.remove(11),
        ),
        *(start_of(11), CHANGED),
    ),
    "another kernel in every second slice": case(
        d.each(ConvolutionKernel=lambda index: ("B30f", "B60f")[index % 2]),
        *("TOO_FEW_SLICES", "TOO_FEW_SLICES"),
    ),
    "slices that an archive calls derived, overlapping": case(
        d.each(
            SliceThickness="5",
            ImageType=lambda index: [("ORIGINAL", "DERIVED")[index % 2], "PRIMARY", "AXIAL"],
        ),
        start=long_scan(),
    ),
    "a second phase in two acquisitions, the last one short": case(
        d.both(
            d.each(AcquisitionNumber=1, AcquisitionTime=lambda index: f"1200{index:02d}"),
            x.another_phase(
                AcquisitionNumber=lambda index: 2 if index < 8 else 3,
                AcquisitionTime=lambda index: f"1201{index:02d}",
            ),
        ),
        *(EXACT, CHANGED),
    ),
    "another kVp from the middle on": case(
        d.each(KVP=lambda index: "120" if index < 2 * COUNT else "100"), start=long_scan()
    ),
    "no class in every second slice": case(d.edited(x.classless)),
    "no identifiers, and directions that differ in the sixth decimal": case(
        d.both(d.each(**dict.fromkeys(UIDS, "")), x.orientation_noise(1e-6))
    ),
    "no identifiers, and a spacing that differs in the sixth decimal": case(
        d.both(
            d.each(**dict.fromkeys(UIDS, "")),
            d.each(PixelSpacing=lambda index: ["1.5", "2" if index % 2 else "2.000001"]),
        )
    ),
    "another PatientID in half of the slices, directions that differ": case(
        d.both(
            d.each(PatientID=lambda index: "12" if index < COUNT // 2 else "012"),
            x.orientation_noise(1e-6),
        ),
        "AMBIGUOUS_POSITIONS",
    ),
    "another PatientID in half of the slices, no frame of reference": case(
        d.each(
            PatientID=lambda index: "12" if index < COUNT // 2 else "012", FrameOfReferenceUID=""
        ),
        "AMBIGUOUS_POSITIONS",
    ),
    "another PatientID and no frame of reference in half of the slices": case(
        d.each(
            PatientID=lambda index: "12" if index < COUNT // 2 else "012",
            FrameOfReferenceUID=lambda index: "1.2.3" if index < COUNT // 2 else "",
        ),
        "AMBIGUOUS_POSITIONS",
    ),
    "a RescaleType that says nothing in some slices": case(
        d.each(RescaleType=lambda index: "US" if index > 8 else "HU")
    ),
    "another RescaleType in some slices": case(
        d.each(RescaleType=lambda index: "Z" if index > 8 else "HU"), "NO_RESCALE"
    ),
    "another PatientID in half of the slices": case(
        d.each(PatientID=lambda index: "12" if index < COUNT // 2 else "012"),
        "AMBIGUOUS_POSITIONS",
    ),
    "another study in every second slice": case(
        d.each(StudyInstanceUID=lambda index: f"1.2.{3 + index % 2}"), "AMBIGUOUS_POSITIONS"
    ),
    "ten phases by TriggerTime alone": case(
        x.phases(10, x.numbered, TriggerTime=lambda number: str(80 * number)),
        *map(phase, range(10)),
    ),
    "two fields of view under one series UID": case(
        d.both(
            d.twice_in_one_series(),
            lambda folder: d.each(PixelSpacing=[0.75, 1.0])(folder / "second"),
        ),
        *(EXACT, Truth(EXACT.image, AFFINE @ np.diag([0.5, 0.5, 1, 1]))),
    ),
    "thick and thin slices that interleave": case(
        d.twice_in_one_series(affine=thick().affine, SliceThickness=("3", "6")), EXACT, thick()
    ),
    "a map of a material": case(
        d.each(ImageType=["DERIVED", "PRIMARY", "AXIAL", "MAT_SPECIFIC"]), "HU_IMPLAUSIBLE"
    ),
    "a map of atomic numbers": case(
        d.each(RescaleType="Z", RescaleSlope="0.01", RescaleIntercept="0"), "HU_IMPLAUSIBLE"
    ),
    "a map of electron density": case(
        d.each(ImageType=["DERIVED", "PRIMARY", "AXIAL", "ELECTRON_DENSITY"]), "HU_IMPLAUSIBLE"
    ),
    "a map of perfusion": case(
        d.each(ImageType=["DERIVED", "PRIMARY", "AXIAL", "CBF"]), "HU_IMPLAUSIBLE"
    ),
    "one computed energy": case(
        d.each(ImageType=["DERIVED", "SECONDARY", "AXIAL", "VMI"], RescaleType="HU_MOD")
    ),
    "a projection by its description": case(
        d.each(ImageType=["DERIVED", "SECONDARY"], SeriesDescription="Abd MIP cor 10"), "PROJECTION"
    ),
    "a projection beside the slices": case(
        d.page_inside(
            ImageType=["DERIVED", "SECONDARY", "AXIAL", "MIP"],
            ImagePositionPatient=[0, 0, 30],
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
        )
    ),
    "slices at an end that are called projections": case(
        d.each(
            ImageType=lambda index: [
                "DERIVED",
                "SECONDARY",
                "AXIAL",
                "MIP" if index >= COUNT - 8 else "MPR",
            ]
        ),
        "PROJECTION",
    ),
    "thin slices for a projection": case(d.each(SeriesDescription="1.0 B30 fuer MIP")),
    "a page of another matrix without a place": case(
        x.another_series_beside(
            Rows=20, ImageType=["DERIVED", "SECONDARY"], ImagePositionPatient=None
        ),
        *(EXACT, "NO_POSITION"),
    ),
    "one identifier for all slices": case(d.each(SOPInstanceUID="1.2.3"), "DUPLICATE_CONFLICT"),
    "a series UID of its own for every slice": case(
        d.each(SeriesInstanceUID=lambda index: f"1.2.3.{index}"), *["TOO_FEW_SLICES"] * COUNT
    ),
    "two patients made alike by an anonymiser": case(
        d.both(
            d.each(PatientID="", StudyInstanceUID="1.2", SeriesInstanceUID="1.3"),
            x.another_series_beside(PatientID="", StudyInstanceUID="1.2", SeriesInstanceUID="1.3"),
            x.other_patient,
        ),
        *(EXACT, CHANGED),
    ),
    "no patient at all": case(d.each(PatientID=None, PatientName=None, StudyDate="")),
    "images of a bolus at one place": case(
        d.each(ImagePositionPatient=[0, 0, 0], AcquisitionTime=lambda index: f"1200{index:02d}"),
        "AMBIGUOUS_POSITIONS",
    ),
}

GEOMETRY: dict[str, Case] = {
    "a tilted gantry with a table that moves along z": case(
        d.unchanged, start=Truth(EXACT.image, x.tilted_stack())
    ),
    "a tilt that is said and is none": case(d.each(GantryDetectorTilt="20")),
    "directions that differ in the sixth decimal": case(x.orientation_noise(1e-6)),
    "one slice askew in the middle": case(
        d.one(5, ImageOrientationPatient=[1, 0, 0, 0, 0.95, 0.3122]), "MISSING_SLICES"
    ),
    "positions of more than 16 characters": case(x.raw_value_each("ImagePositionPatient", 12)),
    "positions with blanks": case(x.raw_value_each("ImagePositionPatient", 2, " {} ")),
    "slices that overlap": case(d.each(SliceThickness="5")),
    "a negative SpacingBetweenSlices": case(d.each(SpacingBetweenSlices="-3")),
    "no thickness": case(d.each(SliceThickness=None)),
    "the last slice is not here": case(d.remove(11), start_of(11)),
    "an aspect ratio and no spacing": case(
        d.both(d.each(PixelSpacing=None), d.each(PixelAspectRatio=["3", "4"])), "NO_POSITION"
    ),
    "a pixel spacing with commas": case(x.raw_value("PixelSpacing", b"1,5\\2,0"), "NO_POSITION"),
    "one pixel spacing": case(x.raw_value("PixelSpacing", b"1.5"), "NO_POSITION"),
    "a pixel spacing that is not a number": case(
        x.raw_value("PixelSpacing", b"nan\\nan"), "NO_POSITION"
    ),
    "the detector's spacing as well": case(d.each(ImagerPixelSpacing=[0.5, 0.5])),
    "directions of length two": case(
        d.each(ImageOrientationPatient=[2, 0, 0, 0, 2, 0]), "NO_POSITION"
    ),
    "directions that are zero": case(
        d.each(ImageOrientationPatient=[0, 0, 0, 0, 0, 0]), "NO_POSITION"
    ),
}

VALUES: dict[str, Case] = {
    "two slopes": case(x.raw_value("RescaleSlope", b"1\\1"), "NO_RESCALE"),
    "a slope with a comma": case(x.raw_value("RescaleSlope", b"1,0"), "NO_RESCALE"),
    "an intercept of words": case(x.raw_value("RescaleIntercept", b"HU"), "NO_RESCALE"),
    "a table of the modality": case(
        d.both(d.each(RescaleSlope=None, RescaleIntercept=None), x.lookup("ModalityLUTSequence")),
        "NO_RESCALE",
    ),
    "a table of the modality and a rescale": case(x.lookup("ModalityLUTSequence"), "NO_RESCALE"),
    "a table of the display": case(x.lookup("VOILUTSequence")),
    "junk for a window": case(x.raw_value("WindowCenter", b"40\\abc")),
    "pixels as floats": case(x.without_pixels_but("FloatPixelData", "OF"), "NOT_CT"),
    "pixels as doubles": case(x.without_pixels_but("DoubleFloatPixelData", "OD"), "NOT_CT"),
    "signed and unsigned slices": case(x.signed_slices(range(0, COUNT, 2))),
    "12 and 16 stored bits": case(
        d.each(BitsStored=lambda i: 12 + 4 * (i % 2), HighBit=lambda i: 11 + 4 * (i % 2))
    ),
    "an intercept that was lost": case(d.each(RescaleIntercept="0"), "HU_IMPLAUSIBLE"),
    "an intercept that was lost in one slice": case(
        d.one(5, RescaleIntercept="0"), "HU_IMPLAUSIBLE"
    ),
    "an intercept that was applied twice": case(
        x.rewritten(
            lambda: x.scan_shaped(x.body_hu()), PixelRepresentation=1, RescaleIntercept="-1024"
        ),
        "HU_IMPLAUSIBLE",
    ),
    "an intercept that was lost, signed": case(
        x.rewritten(
            lambda: x.scan_shaped(x.body_hu(1024, -500)),
            PixelRepresentation=1,
            RescaleIntercept="0",
        ),
        "HU_IMPLAUSIBLE",
    ),
    "signed values that are called unsigned": case(
        d.both(d.stored_values(lambda v: v - 1024, "<i2"), d.each(RescaleIntercept="0")),
        "HU_IMPLAUSIBLE",
    ),
    "a palette": case(d.each(PhotometricInterpretation="PALETTE COLOR"), "NOT_CT"),
    "pixel data of type OB": case(x.pixel_type("OB")),
    "pixel data of type UN": case(x.pixel_type("UN")),
    "zeros after the last element": case(d.all_bytes(lambda c: c + bytes(1000))),
    "letters after the last element": case(d.all_bytes(lambda c: c + b"end of file\r\n")),
    "rows of type UL": case(x.wrong_type("Rows", "UL", lambda v: int(v).to_bytes(4, "little"))),
    "rows of type IS": case(x.wrong_type("Rows", "IS", lambda v: str(v).encode())),
    "positions of type LO": case(x.wrong_type("ImagePositionPatient", "LO", x.as_text)),
    "a pixel spacing of type UN": case(x.wrong_type("PixelSpacing", "UN", x.as_text)),
    "a character set that does not exist": case(
        d.both(
            x.raw_value("SpecificCharacterSet", b"ISO_IR 999"),
            x.raw_value("PatientID", b"\xc4\xfc\xff"),
        )
    ),
    "a character set that is not the text's": case(
        d.both(
            x.raw_value("SpecificCharacterSet", b"ISO 2022 IR 87"),
            x.raw_value("SeriesDescription", b"Ven\xf6s \x1b$B"),
        )
    ),
    "a text that is longer than its length": case(x.wrong_length(-2), "TRUNCATED", "TRUNCATED"),
    "a text that is shorter than its length": case(x.wrong_length(2), "TRUNCATED", "TRUNCATED"),
    "a bright padding": case(d.edited(lambda s, i: s.add_new("PixelPaddingValue", "US", 4095))),
    "a padding that is junk": case(x.raw_value("PixelPaddingValue", b"\1\2\3\4\5\6", "US")),
    "one frame, and said": case(d.each(NumberOfFrames="1")),
    "no frame, as is said": case(d.each(NumberOfFrames="0")),
    "no stored bits": case(d.each(BitsStored=None, HighBit=None)),
    "loss that is said": case(d.each(LossyImageCompression="01")),
    "a preamble of 64 bytes": case(x.short_preamble, "NOT_CT"),
}

FRAMES: dict[str, Case] = {
    "an enhanced CT in two files": case(x.in_two_files),
    "a legacy converted enhanced CT": case(
        d.both(d.enhanced(), d.each(SOPClassUID="1.2.840.10008.5.1.4.1.1.2.2"))
    ),
    "two temporal positions in an enhanced CT": case(
        x.enhanced_phases(TemporalPositionIndex=(1, 2)), EXACT, EXACT
    ),
    **{
        f"two phases in an enhanced CT, by {group}": case(
            x.enhanced_phases(f"{group}Sequence", **elements), EXACT, EXACT
        )
        for group, elements in {
            "CardiacSynchronization": {"NominalPercentageOfCardiacPhase": (30.0, 75.0)},
            "TemporalPosition": {"TemporalPositionTimeOffset": (0.0, 30.0)},
            "ContrastBolusUsage": {"ContrastBolusAgentAdministered": ("NO", "YES")},
            "RespiratorySynchronization": {"NominalPercentageOfRespiratoryPhase": (0.0, 50.0)},
            "UnassignedPerFrameConvertedAttributes": {"AcquisitionNumber": (1, 2)},
        }.items()
    },
    "two stacks in an enhanced CT": case(x.enhanced_phases(StackID=("1", "2")), EXACT, EXACT),
    "two acquisitions in an enhanced CT": case(
        x.enhanced_phases(FrameAcquisitionNumber=(1, 2)), EXACT, EXACT
    ),
    "an enhanced CT of uneven spacing": case(x.frames_edited(x.raised), "IRREGULAR_SPACING"),
    "an enhanced CT without positions": case(
        x.frames_edited(lambda item, number: delattr(item, "PlanePositionSequence")), "NO_POSITION"
    ),
    "an enhanced CT without a rescale": case(
        d.both(d.enhanced(), d.edited(x.no_rescale)), "NO_RESCALE"
    ),
    "an enhanced CT cut in its frames": case(d.both(d.enhanced(), d.cut(0, -500)), "TRUNCATED"),
    **{
        f"an enhanced CT in RLE, offsets {kind}": case(x.compressed_frames(kind))
        for kind in ("basic", "extended", "none")
    },
    "an enhanced CT in RLE, offsets wrong": case(x.compressed_frames("wrong"), "CORRUPT"),
    "JPEG lossless with a wrong offset": case(d.both(e.by_tool(*JPEG), x.wrong_basic_table)),
    "JPEG lossless with zeros after it": case(
        d.both(e.by_tool(*JPEG), d.all_bytes(lambda c: c + bytes(1000)))
    ),
    "JPEG XL": case(
        d.both(e.re_encoded(RLE), d.transfer_syntax("1.2.840.10008.1.2.4.110")),
        "UNSUPPORTED_TRANSFER_SYNTAX",
    ),
    "a compression of a maker's own": case(
        d.both(e.re_encoded(RLE), d.transfer_syntax("1.2.840.113619.5.2")),
        "UNSUPPORTED_TRANSFER_SYNTAX",
    ),
    "native pixels in items": case(
        d.both(e.re_encoded(RLE), d.transfer_syntax("1.2.840.10008.1.2.1.98")),
        "UNSUPPORTED_TRANSFER_SYNTAX",
    ),
}

BODY = Truth(x.body_hu(), AFFINE)
NIFTI: dict[str, Case] = {
    "NIfTI-2": case(x.nifti_file(x.as_nifti2)),
    "NIfTI with an extension": case(x.nifti_file(lambda: x.nifti_with(x.with_extension))),
    "NIfTI with another qform": case(x.nifti_file(lambda: x.nifti_with(x.other_qform))),
    "NIfTI with a slope of 0": case(w.nifti(change=w.field("scl_slope", 0))),
    "NIfTI with a slope of NaN": case(w.nifti(change=w.field("scl_slope", np.nan))),
    "NIfTI in metres": case(w.nifti(change=w.field("xyzt_units", 1)), "BAD_NIFTI"),
    "NIfTI with voxels that are no numbers": case(
        x.nifti_file(lambda: x.nifti_with(image=x.with_value(np.nan))), "BAD_NIFTI"
    ),
    "NIfTI with infinite voxels": case(
        x.nifti_file(lambda: x.nifti_with(image=x.with_value(np.inf))), "BAD_NIFTI"
    ),
    "NIfTI that claims a billion voxels a side": case(
        w.nifti("ct.nii", change=w.field("dim", [3, 32767, 32767, 32767, 1, 1, 1, 1])), "TOO_LARGE"
    ),
    "NIfTI compressed twice": case(x.gzip_twice, "BAD_NIFTI"),
    "NIfTI of a body": case(x.nifti_file(lambda: x.nifti_with(image=x.body_hu())), BODY),
    "NIfTI 1024 too high": case(
        x.nifti_file(lambda: x.nifti_with(image=x.body_hu(1024))), "HU_IMPLAUSIBLE"
    ),
    "NIfTI 1024 too high with padding below 0": case(
        x.nifti_file(lambda: x.nifti_with(image=x.body_hu(1024, -1000))), "HU_IMPLAUSIBLE"
    ),
    "NIfTI 1024 too low": case(
        x.nifti_file(lambda: x.nifti_with(image=x.body_hu(-1024))), "HU_IMPLAUSIBLE"
    ),
    "NIfTI 1024 too low with padding": case(
        x.nifti_file(lambda: x.nifti_with(image=x.body_hu(-1024, -3024))), "HU_IMPLAUSIBLE"
    ),
    "NIfTI of a mask": case(
        x.nifti_file(lambda: x.nifti_with(image=(x.body_hu() > 0).astype(np.uint8))),
        "HU_IMPLAUSIBLE",
    ),
    "NIfTI of one slice": case(
        x.nifti_file(lambda: x.nifti_with(image=EXACT.image[:, :, :1])), "TOO_FEW_SLICES"
    ),
    "NIfTI in a zip": case(d.both(w.nifti(), w.zipped())),
    "NIfTI with no dimension": case(w.nifti(change=w.field("dim", [0] * 8)), "BAD_NIFTI"),
}

SITUATIONS: dict[str, Case] = TREES | SERIES | GEOMETRY | VALUES | FRAMES | NIFTI
