"""The catalogue of deliveries: what a hospital sends, and what must become of it.

Every row changes a folder that holds `small_ct` as clean slices and says the outcome of each
scan that is in it then: the exact voxels and affine, or the code it is refused with. Read by the
tests and by benchmarks/readers.py.
"""

from __future__ import annotations

import deliveries as d
import encoders as e
import numpy as np
import wrapped as w
from gdcm import TransferSyntax
from rows import (
    COUNT,
    EXACT,
    NOISE,
    Case,
    above,
    between,
    case,
    long_scan,
    lying,
    oblique,
    scaled,
    start_of,
    tilted,
    with_low_values,
)
from situations import SITUATIONS

SERIES: dict[str, Case] = {
    "a clean series": case(d.unchanged),
    "two series in a nested tree": case(d.second_series("deep", "er", "SE2"), EXACT, EXACT),
    "a folder for every slice": case(d.folder_per_slice),
    "files without extensions": case(d.no_extension),
    "non-ASCII names, folders and bytes": case(d.non_ascii),
    "names of 200 letters": case(w.unreadable_name),
    "a localizer series beside it": case(d.scout_beside, EXACT, "LOCALIZER"),
    "a localizer inside the series": case(d.scout_inside),
    "an image askew inside the series": case(d.askew_inside),
    "only a localizer": case(d.each(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), "LOCALIZER"),
    "an SR under the same series UID": case(
        d.object_beside("1.2.840.10008.5.1.4.1.1.88.11", "SR"), EXACT, "NOT_CT"
    ),
    "a presentation state under the same series UID": case(
        d.object_beside("1.2.840.10008.5.1.4.1.1.11.1", "PR"), EXACT, "NOT_CT"
    ),
    "an RTSTRUCT under the same series UID": case(
        d.object_beside("1.2.840.10008.5.1.4.1.1.481.3", "RTSTRUCT"), EXACT, "NOT_CT"
    ),
    "a secondary capture under the same series UID": case(
        d.copied(SOPClassUID="1.2.840.10008.5.1.4.1.1.7", SOPInstanceUID="1.2.3"), EXACT, "NOT_CT"
    ),
    "an MR series": case(d.each(SOPClassUID="1.2.840.10008.5.1.4.1.1.4", Modality="MR"), "NOT_CT"),
    "colour images": case(d.each(PhotometricInterpretation="RGB"), "NOT_CT"),
    "a page in colour inside the series": case(d.page_inside(PhotometricInterpretation="RGB")),
    "a page without a place inside the series": case(
        d.page_inside(ImageType=["DERIVED", "SECONDARY", "SCREEN SAVE"])
    ),
    "a slice without a place that is no page": case(d.page_inside(), "NO_POSITION"),
    "two frames of reference": case(
        d.twice_in_one_series(affine=above().affine, FrameOfReferenceUID=("1.2.3", "1.2.4")),
        *(EXACT, above()),
    ),
    "another frame of reference for one slice": case(
        d.one(11, FrameOfReferenceUID="1.2.3"), "AMBIGUOUS_POSITIONS"
    ),
    "no frame of reference in one slice": case(d.one(11, FrameOfReferenceUID="")),
    "a patient, a study, a kernel and a kVp blank in two slices": case(
        d.both(
            d.each(ConvolutionKernel=lambda index: "B30f" if index < 10 else ""),
            d.one(11, PatientID="", KVP=""),
            d.one(10, StudyInstanceUID=""),
        )
    ),
    "kVp written in two ways": case(d.each(KVP=lambda index: ("120", "120.0")[index % 2])),
    "no pixel data at all": case(d.each(PixelData=None), "NOT_CT"),
    "junk, an empty file, a FIFO and a socket": case(d.junk_beside, EXACT, "NOT_CT"),
    "a DICOMDIR": case(d.dicomdir_beside),
    "a link out of the folder": case(d.outside_link, EXACT, "NOT_CT"),
    "the same file twice": case(d.same_file_twice),
    "the whole export twice": case(d.whole_copy),
    "the same image with another header": case(d.copied(InstitutionName="elsewhere")),
    "one identifier, different pixels": case(
        d.copied(PixelData=bytes(2 * 40 * 32)), "DUPLICATE_CONFLICT"
    ),
    "one identifier, another place": case(
        d.copied(ImagePositionPatient=[-95, 83.25, 37.5]), "DUPLICATE_CONFLICT"
    ),
    "one series UID for two patients": case(
        d.both(d.twice_in_one_series(), lambda folder: d.each(PatientID="2")(folder / "second")),
        *(EXACT, EXACT),
    ),
    "one series UID in two studies": case(
        d.twice_in_one_series(StudyInstanceUID=("1.2.3", "1.2.4")), EXACT, EXACT
    ),
    "phases by AcquisitionNumber": case(
        d.twice_in_one_series(AcquisitionNumber=(1, 2)), EXACT, EXACT
    ),
    "phases by temporal position": case(
        d.twice_in_one_series(TemporalPositionIdentifier=(1, 2)), EXACT, EXACT
    ),
    "reconstructions by kernel": case(
        d.twice_in_one_series(ConvolutionKernel=("B30f", "B70f")), EXACT, EXACT
    ),
    "two computed energies": case(
        d.twice_in_one_series(
            ImageType=(["DERIVED", "PRIMARY", "MONO 40"], ["DERIVED", "PRIMARY", "MONO 70"])
        ),
        *(EXACT, EXACT),
    ),
    "two energies": case(d.twice_in_one_series(KVP=("80", "140")), EXACT, EXACT),
    "phases by one time each": case(
        d.twice_in_one_series(AcquisitionTime=("120000", "120100")), EXACT, EXACT
    ),
    "phases by times that run on": case(
        d.twice_in_one_series(
            AcquisitionTime=(lambda index: f"1200{index:02d}", lambda index: f"1201{index:02d}")
        ),
        *(EXACT, EXACT),
    ),
    "phases by content time": case(
        d.twice_in_one_series(ContentTime=("120000", "120100")), EXACT, EXACT
    ),
    "phases that no tag tells apart": case(
        d.both(d.twice_in_one_series(), d.other_pixels("second")), "AMBIGUOUS_POSITIONS"
    ),
    "the same images under new identifiers": case(d.twice_in_one_series()),
    "the same images compressed, under new identifiers": case(
        d.both(e.by_tool("dcmcjpeg", "+e1"), d.sent_again)
    ),
    "the whole export twice, once big endian": case(
        d.both(d.whole_copy, lambda folder: e.by_tool("dcmconv", "+tb")(folder / "again"))
    ),
    "the whole export twice, once compressed": case(
        d.both(d.whole_copy, lambda folder: e.by_tool("dcmcrle")(folder / "again"))
    ),
    "the whole export compressed in two ways": case(
        d.both(
            e.by_tool("dcmcjpeg", "+e1"),
            d.whole_copy,
            lambda folder: e.by_tool("dcmdjpeg")(folder / "again"),
            lambda folder: e.by_tool("dcmcjpls")(folder / "again"),
        )
    ),
    "one identifier, other pixels in another compression": case(
        d.both(
            d.whole_copy,
            d.other_pixels("again"),
            lambda folder: e.by_tool("dcmcrle")(folder / "again"),
        ),
        "DUPLICATE_CONFLICT",
    ),
    "the same images under new identifiers, once compressed": case(
        d.both(d.sent_again, lambda folder: e.by_tool("dcmcrle")(folder / "again"))
    ),
    "acquisitions that interleave": case(
        d.twice_in_one_series(affine=between().affine, AcquisitionNumber=(1, 2)), EXACT, between()
    ),
    "temporal positions that interleave": case(
        d.twice_in_one_series(affine=between().affine, TemporalPositionIdentifier=(1, 2)),
        *(EXACT, between()),
    ),
    "acquisition times that interleave": case(
        d.twice_in_one_series(affine=between().affine, AcquisitionTime=("120000", "120100")),
        *(EXACT, between()),
    ),
    "two acquisitions turn by turn, slice by slice": case(
        d.each(AcquisitionNumber=lambda index: 1 + index % 2), start=long_scan()
    ),
    "axial and coronal under one series UID": case(
        d.twice_in_one_series(affine=lying([0, 2, 1], [1, 1, -1]).affine),
        *(EXACT, lying([0, 2, 1], [1, 1, -1])),
    ),
    "one time per slice, one volume": case(
        d.each(AcquisitionTime=lambda index: f"1200{index:02d}")
    ),
    "one acquisition per slice, one volume": case(
        d.each(AcquisitionNumber=lambda index: index + 1)
    ),
    "blank identifiers": case(d.each(SOPInstanceUID="", StudyInstanceUID="", SeriesInstanceUID="")),
    "no identifiers": case(
        d.each(SOPInstanceUID=None, StudyInstanceUID=None, SeriesInstanceUID=None)
    ),
    "descending InstanceNumber": case(d.each(InstanceNumber=lambda index: COUNT - index)),
    "equal InstanceNumber": case(d.each(InstanceNumber=1)),
    "empty InstanceNumber": case(d.each(InstanceNumber="")),
    "a projection": case(d.each(ImageType=["DERIVED", "SECONDARY", "AXIAL", "MIP"]), "PROJECTION"),
    **{
        f"a projection, {words[-1]}": case(d.each(ImageType=words), "PROJECTION")
        for words in (
            ["DERIVED", "SECONDARY", "AXIAL", "MIP-THICK"],
            ["DERIVED", "SECONDARY", "AXIAL", "THICKMIP"],
            ["DERIVED", "PRIMARY", "VOLUME", "MAXIMUM"],
        )
    },
    "an enhanced projection": case(d.both(d.enhanced(), d.technique("MAX_IP")), "PROJECTION"),
    "an enhanced volume of no technique": case(d.both(d.enhanced(), d.technique("NONE"))),
    "a survey": case(d.each(ImageType=["ORIGINAL", "PRIMARY", "SURVEY"]), "LOCALIZER"),
    "a reformatted series": case(d.each(ImageType=["DERIVED", "SECONDARY", "MPR"])),
}

GEOMETRY: dict[str, Case] = {
    "one slice missing": case(d.remove(5), "MISSING_SLICES"),
    "two slices missing in a row": case(d.remove(5, 6), "MISSING_SLICES"),
    "two slices missing apart": case(d.remove(3, 8), "MISSING_SLICES"),
    "spacing that changes": case(d.positions(lambda i: 3 * i + max(0, i - 5)), "IRREGULAR_SPACING"),
    "a gap of 1.02": case(d.positions(lambda i: 3 * i + 0.06 * (i > 5)), "IRREGULAR_SPACING"),
    "jitter of a few micrometres": case(d.positions(lambda i: 3 * i + 4e-6 * (i % 2))),
    "gaps that grow by less than 1 %": case(
        d.positions(lambda i: 3 * i + 0.029 * max(0, i - 24)),
        "IRREGULAR_SPACING",
        start=long_scan(),
    ),
    "a slice shifted sideways": case(
        d.one(5, ImagePositionPatient=[-94.0, 83.25, 19.5]), "IRREGULAR_SPACING"
    ),
    "a SliceThickness that is not the spacing": case(
        d.each(SliceThickness=5, SpacingBetweenSlices=1, SliceLocation=0)
    ),
    "no ImagePositionPatient": case(d.each(ImagePositionPatient=None), "NO_POSITION"),
    "one slice without a position": case(d.one(4, ImagePositionPatient=None), "NO_POSITION"),
    "every slice at one place": case(d.each(ImagePositionPatient=[0, 0, 0]), "AMBIGUOUS_POSITIONS"),
    "no ImageOrientationPatient": case(d.each(ImageOrientationPatient=None), "NO_POSITION"),
    "an empty orientation": case(d.each(ImageOrientationPatient=""), "NO_POSITION"),
    "an impossible orientation": case(
        d.each(ImageOrientationPatient=[1, 0, 0, 1, 0, 0]), "NO_POSITION"
    ),
    "no PixelSpacing": case(d.each(PixelSpacing=None), "NO_POSITION"),
    "only the detector's spacing": case(
        d.each(PixelSpacing=None, ImagerPixelSpacing=[1.5, 2.0]), "NO_POSITION"
    ),
    "a pixel spacing of zero": case(d.each(PixelSpacing=[0, 0]), "NO_POSITION"),
    "a pixel spacing of a millionth": case(d.each(PixelSpacing=[1e-6, 1e-6]), "NO_POSITION"),
    "a pixel spacing of a metre": case(d.each(PixelSpacing=[1000, 1000]), "NO_POSITION"),
    "a slice of another matrix": case(d.other_matrix, "MIXED_MATRIX"),
    "a slice of another pixel spacing": case(d.one(3, PixelSpacing=[1.4, 2.0]), "MIXED_MATRIX"),
    "seven slices": case(d.remove(*range(7, COUNT)), "TOO_FEW_SLICES"),
    "a gantry tilt of 20 degrees": case(d.unchanged, start=tilted(20)),
    "a gantry tilt of -12.5 degrees": case(d.unchanged, start=tilted(-12.5)),
    "coronal": case(d.unchanged, start=lying([0, 2, 1], [1, 1, -1])),
    "sagittal": case(d.unchanged, start=lying([1, 2, 0], [1, 1, 1])),
    "feet first": case(d.unchanged, start=lying([0, 1, 2], [-1, 1, -1])),
    "prone": case(d.unchanged, start=lying([0, 1, 2], [-1, -1, 1])),
    "on the left side": case(d.unchanged, start=lying([1, 0, 2], [1, -1, 1])),
    "oblique": case(d.unchanged, start=oblique()),
}

VALUES: dict[str, Case] = {
    "a file cut in its pixels": case(d.cut(4, -9), "TRUNCATED"),
    "a file cut after its identifiers": case(d.cut(4, 1100), "TRUNCATED"),
    "a file cut before its identifiers": case(d.cut(4, 500), "MISSING_SLICES", "TRUNCATED"),
    "the last file cut before its identifiers": case(d.cut(11, 500), "TRUNCATED", "TRUNCATED"),
    "the last file cut in its file meta": case(d.cut(11, 200), "TRUNCATED", "TRUNCATED"),
    "the last file cut in the UID of its class": case(d.cut(11, 420), "TRUNCATED", "TRUNCATED"),
    "the last file cut in the UID of its series": case(d.cut(11, 800), "TRUNCATED", "TRUNCATED"),
    "the last file cut in its preamble": case(d.cut(11, 100), "NOT_CT", "TRUNCATED"),
    "the last file all zeros": case(d.bytes_of(11, lambda c: bytes(len(c))), "NOT_CT", "TRUNCATED"),
    "the last file empty": case(d.cut(11, 0), "NOT_CT", start_of(11)),
    "a note and a picture beside the slices": case(d.others_beside, EXACT, "NOT_CT"),
    "one slice without pixel data": case(
        d.bytes_of(4, lambda content: content[: content.rindex(b"\xe0\x7f\x10\0OW")]), "TRUNCATED"
    ),
    "pixel data shorter than the matrix": case(d.one(4, PixelData=bytes(100)), "TRUNCATED"),
    "pixel data longer than the matrix": case(
        d.edited(lambda dataset, _: setattr(dataset, "PixelData", dataset.PixelData + bytes(512)))
    ),
    "half of the rows declared": case(d.each(Rows=16), "CORRUPT"),
    "three samples a grey pixel": case(d.each(SamplesPerPixel=3), "CORRUPT"),
    "too many voxels": case(d.each(Rows=65535, Columns=65535), "TRUNCATED"),
    "impossible bits": case(d.each(BitsStored=17), "CORRUPT"),
    "12 bits with garbage above": case(
        d.stored_values(lambda v: v | 0xA000, "<u2", BitsStored=12, HighBit=11)
    ),
    "12 bits in the upper bits": case(
        d.stored_values(lambda v: v << 4 | 0xB, "<u2", BitsStored=12, HighBit=15)
    ),
    "signed values": case(
        d.both(
            d.stored_values(lambda v: v - 1024, "<i2", PixelRepresentation=1),
            d.each(RescaleIntercept=0),
        )
    ),
    "12 signed bits with garbage above": case(
        d.both(
            d.stored_values(
                lambda v: (v - 2048 & 0xFFF) | 0x3000,
                "<u2",
                PixelRepresentation=1,
                BitsStored=12,
                HighBit=11,
            ),
            d.each(RescaleIntercept=1024),
        )
    ),
    "32 bits a value": case(
        d.stored_values(lambda v: v, "<u4", BitsAllocated=32, BitsStored=32, HighBit=31)
    ),
    "8 bits a value": case(
        d.both(
            d.stored_values(lambda v: v % 200, "u1", BitsAllocated=8, BitsStored=8, HighBit=7),
            d.each(RescaleSlope=8, RescaleIntercept=-1000),
        ),
        scaled(8, -1000),
    ),
    "8 bits a value in words of 16, big endian": case(
        d.both(
            d.stored_values(lambda v: v % 200, "u1", BitsAllocated=8, BitsStored=8, HighBit=7),
            d.each(RescaleSlope=8, RescaleIntercept=-1000),
            e.by_tool("dcmconv", "+tb"),
        ),
        scaled(8, -1000),
    ),
    "rescale that differs per slice": case(d.rescale_per_slice),
    "a slope written with an exponent": case(
        d.each(RescaleSlope="1.00000E+00", RescaleIntercept="-1.024e3")
    ),
    "MONOCHROME1": case(d.each(PhotometricInterpretation="MONOCHROME1")),
    "no RescaleType": case(d.each(RescaleType=None)),
    "no rescale": case(d.each(RescaleIntercept=None, RescaleSlope=None), "NO_RESCALE"),
    "no rescale in one slice": case(d.one(3, RescaleIntercept=None), "NO_RESCALE"),
    "no rescale, values off by 1024 and padding below": case(
        d.both(
            d.edited(lambda dataset, _: dataset.add_new("PixelPaddingValue", "SS", -2000)),
            d.each(PixelRepresentation=1, RescaleSlope=None, RescaleIntercept=None),
            d.stored_values(lambda v: np.where(np.arange(v.size) < 64, -2000, v), "<i2"),
        ),
        "NO_RESCALE",
    ),
    "no rescale, values off by 1024 and corners of -1024": case(
        d.both(
            d.each(PixelRepresentation=1, RescaleSlope=None, RescaleIntercept=None),
            d.stored_values(lambda v: np.where(np.arange(v.size) < 64, -1024, v), "<i2"),
        ),
        "NO_RESCALE",
    ),
    "no rescale, but HU": case(
        d.both(
            d.each(PixelRepresentation=1, RescaleSlope=None, RescaleIntercept=None),
            d.stored_values(lambda v: v - 1024, "<i2"),
        )
    ),
    "an intercept and no slope": case(d.each(RescaleSlope=None), "NO_RESCALE"),
    "an intercept and an empty slope": case(d.each(RescaleSlope=""), "NO_RESCALE"),
    "a slope of zero": case(d.each(RescaleSlope="0"), "NO_RESCALE"),
    "other units": case(d.each(RescaleType="MGML", RescaleIntercept=0), "HU_IMPLAUSIBLE"),
    "other units by name, but HU": case(d.each(RescaleType="US")),
    "values beyond 16 bits": case(d.each(RescaleSlope="100"), "HU_IMPLAUSIBLE"),
    "values below -1024": case(d.unchanged, start=with_low_values()),
    "every value of 16 bits": case(d.unchanged, start=NOISE),
    "a thumbnail with pixel data of its own": case(d.edited(d.icon_image)),
    "private blocks, overlays and padding": case(d.edited(d.private_and_overlay)),
    "several frames without a place for each": case(
        d.each(NumberOfFrames=2), "UNSUPPORTED_MULTIFRAME"
    ),
    "enhanced multi-frame": case(d.enhanced()),
    "enhanced multi-frame, rescale per frame": case(d.enhanced(per_frame_rescale=True)),
    "enhanced multi-frame without all its groups": case(
        d.enhanced(groups=3), "UNSUPPORTED_MULTIFRAME"
    ),
}

RLE, J2K = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.90"
DEFLATED = "1.2.840.10008.1.2.1.99"
ENCODINGS: dict[str, Case] = {
    "implicit VR": case(e.by_tool("dcmconv", "+ti")),
    "implicit VR without a preamble": case(e.no_preamble),
    "implicit VR without file meta": case(e.by_tool("dcmconv", "-F", "+ti")),
    "explicit VR without file meta": case(e.by_tool("dcmconv", "-F", "+te")),
    "big endian": case(e.by_tool("dcmconv", "+tb")),
    "big endian by pydicom": case(e.re_encoded("1.2.840.10008.1.2.2")),
    "big endian without file meta": case(e.by_tool("dcmconv", "-F", "+tb")),
    "deflated": case(e.by_tool("dcmconv", "+td")),
    "deflated by pydicom": case(e.re_encoded(DEFLATED)),
    "a deflated bomb": case(
        d.both(e.re_encoded(DEFLATED), w.deflated_bomb), "TOO_LARGE", "MISSING_SLICES"
    ),
    "group lengths, undefined lengths, padding": case(
        e.by_tool("dcmconv", "+g", "-e", "+p", "4096", "256")
    ),
    "a preamble of another format": case(d.all_bytes(lambda content: b"II*\0" + content[4:])),
    "GE's private syntax": case(e.by_tool("dcmconv", "+tg"), "UNSUPPORTED_TRANSFER_SYNTAX"),
    "implicit VR that claims to be explicit": case(
        d.both(e.by_tool("dcmconv", "+ti"), d.transfer_syntax("1.2.840.10008.1.2.1"))
    ),
    "explicit VR that claims to be implicit": case(d.transfer_syntax("1.2.840.10008.1.2")),
    "native pixels that claim to be compressed": case(d.transfer_syntax(J2K), "CORRUPT"),
    "compressed pixels that claim to be native": case(
        d.both(e.re_encoded(RLE), d.transfer_syntax("1.2.840.10008.1.2.1")), "CORRUPT"
    ),
    "RLE by dcmtk": case(e.by_tool("dcmcrle")),
    "RLE by GDCM": case(e.by_tool("gdcmconv", "--rle")),
    "RLE, every value of 16 bits": case(e.by_tool("dcmcrle"), start=NOISE),
    **{
        f"JPEG lossless, predictor {number}": case(e.by_tool("dcmcjpeg", "+el", "+sv", str(number)))
        for number in range(1, 8)
    },
    **{
        f"JPEG lossless, predictor {number}, differences that wrap": case(
            e.by_tool("dcmcjpeg", "+el", "+sv", str(number)), start=NOISE
        )
        for number in range(1, 8)
    },
    "JPEG lossless SV1 by dcmtk": case(e.by_tool("dcmcjpeg", "+e1")),
    "JPEG lossless SV1, differences that wrap": case(e.by_tool("dcmcjpeg", "+e1"), start=NOISE),
    "JPEG lossless SV1 in fragments, no offsets": case(
        e.by_tool("dcmcjpeg", "+e1", "+fs", "1", "-ot")
    ),
    "JPEG lossless SV1 by GDCM": case(e.by_tool("gdcmconv", "--jpeg")),
    "JPEG lossless by GDCM": case(e.by_gdcm(TransferSyntax.JPEGLosslessProcess14)),
    "JPEG lossless that claims 18 bits": case(
        d.both(
            e.by_tool("dcmcjpeg", "+e1"),
            e.stream_of(4, lambda s: s.replace(b"\xff\xc3\0\x0b\x10", b"\xff\xc3\0\x0b\x12")),
        ),
        "CORRUPT",
    ),
    "JPEG lossless of another JFIF version": case(
        d.both(
            e.by_tool("dcmcjpeg", "+e1"),
            e.stream_of(4, lambda s: s.replace(b"JFIF\0\1", b"JFIF\0\x81")),
        ),
        "CORRUPT",
    ),
    "JPEG-LS by dcmtk": case(e.by_tool("dcmcjpls", "+el")),
    "JPEG-LS by GDCM": case(e.by_tool("gdcmconv", "--jpegls")),
    "JPEG-LS, every value of 16 bits": case(e.by_tool("dcmcjpls", "+el"), start=NOISE),
    "JPEG-LS in fragments": case(e.by_tool("dcmcjpls", "+el", "+fs", "1", "-ot")),
    "JPEG 2000 by GDCM": case(e.by_tool("gdcmconv", "--j2k")),
    "JPEG 2000 by pydicom": case(e.re_encoded(J2K)),
    "JPEG 2000, every value of 16 bits": case(e.re_encoded(J2K), start=NOISE),
    "JPEG 2000 in fragments": case(d.both(e.re_encoded(J2K), e.refragmented(3))),
    "JPEG 2000 cut within a whole file": case(
        d.both(e.re_encoded(J2K), e.stream_of(4, lambda stream: stream[:-40])), "TRUNCATED"
    ),
    "JPEG 2000 cut but with its end": case(
        d.both(e.re_encoded(J2K), e.stream_of(4, lambda stream: stream[:-80] + b"\xff\xd9")),
        "CORRUPT",
    ),
    "JPEG 2000 with bytes gone wrong": case(
        d.both(
            e.re_encoded(J2K),
            e.stream_of(4, lambda stream: stream[:200] + b"\xff\x90" * 40 + stream[280:]),
        ),
        "CORRUPT",
    ),
    "JPEG 2000 of another matrix": case(
        d.both(e.re_encoded(J2K), d.each(Rows=64, Columns=20)), "CORRUPT"
    ),
    "JPEG 2000 padded with FF": case(
        d.both(e.re_encoded(J2K), e.stream_of(4, lambda s: s + b"\xff" * (1 + len(s) % 2)))
    ),
    "a file of JPEG 2000 cut short": case(d.both(e.re_encoded(J2K), d.cut(4, -60)), "TRUNCATED"),
    "HTJ2K lossless": case(e.htj2k()),
    "HTJ2K lossless RPCL": case(e.htj2k("-prog_order", "RPCL", uid="1.2.840.10008.1.2.4.202")),
    "HTJ2K": case(e.htj2k(uid="1.2.840.10008.1.2.4.203")),
    "several compressions in one series": case(
        d.both(
            e.by_tool("dcmcjpeg", "+e1", only=range(3)),
            e.by_tool("dcmcjpls", "+el", only=range(3, 6)),
            e.by_tool("dcmcrle", only=range(6, 9)),
        )
    ),
    "enhanced multi-frame, RLE": case(d.both(d.enhanced(), e.by_tool("dcmcrle"))),
    "enhanced multi-frame, JPEG lossless": case(d.both(d.enhanced(), e.by_tool("dcmcjpeg", "+e1"))),
    "enhanced multi-frame, JPEG 2000": case(d.both(d.enhanced(), e.by_tool("gdcmconv", "--j2k"))),
    "JPEG extended with 12 bits": case(
        d.both(
            d.each(BitsStored=12, HighBit=11),
            e.by_gdcm(TransferSyntax.JPEGLosslessProcess14_1),
            d.transfer_syntax("1.2.840.10008.1.2.4.51"),
        ),
        "UNSUPPORTED_TRANSFER_SYNTAX",
    ),
    "a video": case(
        d.both(e.re_encoded(RLE), d.transfer_syntax("1.2.840.10008.1.2.4.100")),
        "UNSUPPORTED_TRANSFER_SYNTAX",
    ),
}

FILES: dict[str, Case] = {
    "a zip": case(w.zipped()),
    "a zip beside what it holds": case(w.zipped(keep=True)),
    "a tar": case(w.tarred(".tar")),
    "a tar.gz with names in Chinese": case(w.tarred(".tar.gz")),
    "a tar.xz": case(w.tarred(".tar.xz")),
    "a zip within a zip": case(w.zip_in_zip),
    "a zip within a zip within a zip": case(w.zip_too_deep, "NOT_CT", "NOT_CT"),
    "gzip files in a zip within a zip": case(w.gzip_in_zip_in_zip, "NOT_CT", "NOT_CT"),
    "slices that are gzip files": case(w.slices_gzipped),
    "a zip that leads out": case(w.bad_zip(w.leading_out), "UNSAFE_ARCHIVE"),
    "a zip with a link": case(w.bad_zip(w.linking), "UNSAFE_ARCHIVE"),
    "a zip bomb": case(w.bad_zip(w.bomb), "UNSAFE_ARCHIVE"),
    "a zip cut short": case(w.cut_zip, "CORRUPT"),
    "NIfTI": case(w.nifti()),
    "NIfTI, not compressed, big endian floats": case(w.nifti("ct.nii", ">f4")),
    "NIfTI of one volume in 4-D": case(w.nifti_of(lambda: EXACT.image[..., None])),
    "NIfTI of two volumes": case(w.nifti_of(lambda: np.stack([EXACT.image] * 2, 3)), "BAD_NIFTI"),
    "NIfTI in colour": case(w.nifti("ct.nii", change=w.field("datatype", 128)), "BAD_NIFTI"),
    "NIfTI without qform and sform": case(w.nifti(change=w.both_absent), "BAD_NIFTI"),
    "NIfTI with a spacing of zero": case(w.nifti(change=w.voxel_size(0)), "BAD_NIFTI"),
    "NIfTI with a negative spacing": case(w.nifti(change=w.voxel_size(-3)), "BAD_NIFTI"),
    "NIfTI in micrometres": case(w.nifti(change=w.field("xyzt_units", 3)), "BAD_NIFTI"),
    "NIfTI that is cut": case(d.both(w.nifti("ct.nii"), d.cut(0, -9)), "TRUNCATED"),
    "NIfTI of which the gzip is cut": case(d.both(w.nifti(), d.cut(0, -9)), "TRUNCATED"),
    "NIfTI of which the gzip is broken": case(
        d.both(w.nifti(), d.bytes_of(0, lambda c: c[:9000] + bytes(100) + c[9100:])), "CORRUPT"
    ),
    "NIfTI that is a bomb": case(
        w.nifti_of(lambda: np.zeros((300, 300, 40), np.int16)), "TOO_LARGE"
    ),
    "NIfTI as a pair of files": case(w.analyze_pair, "NOT_CT"),
}

CATALOGUE: dict[str, Case] = SERIES | GEOMETRY | VALUES | ENCODINGS | FILES | SITUATIONS
