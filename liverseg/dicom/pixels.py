"""The stored values of one DICOM image: read in place when native, decoded when compressed."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.errors import InvalidDicomError
from pydicom.pixels.decoders.base import get_decoder

from liverseg.dicom.deflate import inflated
from liverseg.dicom.fragments import fragments_of, require_offsets
from liverseg.dicom.header import BIG_ENDIAN, BYTE_BITS, DEFLATED, NATIVE_SYNTAXES
from liverseg.dicom.image import Layout, Slice
from liverseg.dicom.stream import require_stream
from liverseg.dicom.values import PARSE_ERRORS, standard_name, value_of
from liverseg.errors import ScanRejected

# Which decoder reads which compression, and the package it comes from. GDCM for JPEG lossless:
# pylibjpeg-libjpeg up to 2.5.0 decodes legal wrap-around differences wrongly. CharLS (pyjpegls)
# for JPEG-LS: it refuses corrupt data instead of repairing it.
JPEG_LS = frozenset(("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"))
JPEG = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 57, 70))
JPEG_2000 = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (90, 91, 201, 202, 203))
RLE = "1.2.840.10008.1.2.5"
DECODERS: dict[str, tuple[str, str]] = {
    **dict.fromkeys(JPEG, ("gdcm", "python-gdcm")),
    **dict.fromkeys(JPEG_LS, ("pyjpegls", "pyjpegls")),
    **dict.fromkeys(JPEG_2000, ("pylibjpeg", "pylibjpeg-openjpeg")),
    RLE: ("pydicom", "pydicom"),
}
STANDARD_UID = re.compile(r"1\.2\.840\.10008\.1\.2(\.\d{1,3}){1,3}")  # newer than pydicom's list
JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
LOSSY_SYNTAXES = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 81))
MAYBE_LOSSY_SYNTAXES = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (91, 203))
ALLOCATED_BITS = (8, 16, 32)


def require_decoder(item: Slice) -> None:
    """Check that pixel data of the image's transfer syntax can be read.

    Raises:
        ScanRejected: UNSUPPORTED_TRANSFER_SYNTAX, with the UID and the package that would read it.
    """
    transfer_syntax = item.transfer_syntax
    if transfer_syntax in NATIVE_SYNTAXES or transfer_syntax == DEFLATED:
        return
    # A UID of the standard's own: any other may hold something of a hospital.
    of_standard = STANDARD_UID.fullmatch(transfer_syntax)
    shown = transfer_syntax if of_standard or standard_name(transfer_syntax) else "a private one"
    if transfer_syntax not in DECODERS:
        raise ScanRejected(
            "UNSUPPORTED_TRANSFER_SYNTAX",
            f"no package for the transfer syntax {shown} is known here",
        )
    plugin, package = DECODERS[transfer_syntax]
    if transfer_syntax == JPEG_EXTENDED and item.layout.bits_stored > BYTE_BITS:
        plugin, package = "pylibjpeg", "pylibjpeg-libjpeg"  # GDCM reads 8 bits of it only
    try:
        available = get_decoder(transfer_syntax).available_plugins
    except NotImplementedError:
        available = ()
    if plugin not in available:
        raise ScanRejected(
            "UNSUPPORTED_TRANSFER_SYNTAX", f"the transfer syntax {shown} needs {package}"
        )


def read_stored(item: Slice, name: str, opened: dict[Path, Dataset]) -> NDArray[Any]:
    """The stored values of one image, garbage outside the stored bits removed.

    Args:
        item: an image; call it inside `quiet_pydicom`.
        name: how a message names the slice.
        opened: multi-frame files that are read already, kept here between their frames.

    Returns:
        (rows, columns), int8 to int32 or uint8 to uint32.

    Raises:
        ScanRejected: TRUNCATED when the file ends before its pixels, CORRUPT when they cannot be
            decoded, UNREADABLE when the operating system does not let us read the file.
    """
    layout = item.layout
    dtype = stored_dtype(layout, name)
    try:
        if layout.offset is not None:
            big = item.transfer_syntax == BIG_ENDIAN
            values = _read_native(item, dtype.newbyteorder(">" if big else "<"), name)
        else:
            values = _decode(item, name, opened).reshape(layout.rows, layout.columns)
    except OSError as error:
        if error.errno is None:  # of pydicom, about the bytes and not the file
            raise ScanRejected("CORRUPT", f"{name} cannot be parsed") from error
        raise ScanRejected("UNREADABLE", f"{name} could not be read: {error.strerror}") from error
    return without_garbage(values.astype(dtype, copy=False), layout)


def stored_digest(item: Slice, opened: dict[Path, Dataset] | None = None) -> str:
    """SHA-256 of what an image shows, however it is stored or compressed.

    Args:
        item: an image; call it inside `quiet_pydicom`, where a decoder may crash.
        opened: as `read_stored` takes it.

    Raises:
        ScanRejected: as `require_decoder` and `read_stored`.
    """
    require_decoder(item)
    values = read_stored(item, "one of them", {} if opened is None else opened)
    digest = hashlib.sha256(str(values.shape).encode())
    digest.update(values.astype("<i8").tobytes())
    return digest.hexdigest()


def stored_dtype(layout: Layout, name: str) -> np.dtype[Any]:
    """The native type of the stored values.

    Raises:
        ScanRejected: CORRUPT when the header gives impossible numbers of bits.
    """
    allocated, stored = layout.bits_allocated, layout.bits_stored
    if allocated not in ALLOCATED_BITS or not stored <= layout.high_bit + 1 <= allocated:
        raise ScanRejected(
            "CORRUPT",
            f"bits allocated, stored and high bit should fit each other; got {allocated}, "
            f"{stored} and {layout.high_bit} in {name}",
        )
    if layout.signed is None:
        raise ScanRejected("CORRUPT", f"values should be signed or unsigned; {name} does not say")
    return np.dtype(f"{'i' if layout.signed else 'u'}{allocated // 8}")


def without_garbage(values: NDArray[Any], layout: Layout) -> NDArray[Any]:
    """Keep the stored bits of native-endian values only, with their sign.

    Bits above the high bit may hold an overlay or anything else (PS3.5 8.1.1).
    """
    above = layout.bits_allocated - 1 - layout.high_bit
    unused = layout.bits_allocated - layout.bits_stored
    if unused == 0:
        return values
    kept: NDArray[Any] = (values << above) >> unused
    return kept


def _read_native(item: Slice, dtype: np.dtype[Any], name: str) -> NDArray[Any]:
    """The pixels at the place that the header scan found."""
    layout = item.layout
    count = layout.rows * layout.columns
    start = (item.frame or 0) * count * dtype.itemsize
    before = start % 2 if layout.in_words else 0
    with item.path.open("rb") as file:
        file.seek((layout.offset or 0) + start - before)
        if layout.in_words:
            words = np.fromfile(file, dtype=">u2", count=(before + count + 1) // 2)
            values = words.astype("<u2").view(dtype)[before : before + count]
        else:
            values = np.fromfile(file, dtype=dtype, count=count)
    if values.size < count:
        raise ScanRejected("TRUNCATED", f"{count} pixels should follow; {values.size} in {name}")
    return values.reshape(layout.rows, layout.columns)


def _decode(item: Slice, name: str, opened: dict[Path, Dataset]) -> NDArray[Any]:
    """The pixels of a compressed or deflated file."""
    if item.transfer_syntax in NATIVE_SYNTAXES:
        raise ScanRejected("CORRUPT", f"{name} claims native pixels but holds encapsulated ones")
    try:
        dataset = opened.get(item.path)
        if dataset is None:
            dataset = _with_sound_offsets(data_set(item), item, name)
        if item.frame is not None:
            opened[item.path] = dataset
        if item.transfer_syntax == DEFLATED:
            return _inflated_frame(item, dataset, name)
        decoded = _decoded_frame(item, dataset, name)
    except (InvalidDicomError, EOFError) as error:
        raise ScanRejected("TRUNCATED", f"the pixel data should be whole in {name}") from error
    except (RuntimeError, *PARSE_ERRORS) as error:
        raise ScanRejected("CORRUPT", f"the pixel data of {name} cannot be decoded") from error
    if decoded.size != item.layout.rows * item.layout.columns:
        raise ScanRejected("CORRUPT", f"{name} should decode to its rows and columns")
    return decoded


def _with_sound_offsets(dataset: Dataset, item: Slice, name: str) -> Dataset:
    """The data set, its offset tables checked; that of a single frame says nothing and goes."""
    if "PixelData" not in dataset:
        raise ScanRejected("TRUNCATED", f"the pixel data should be whole in {name}")
    if item.transfer_syntax == DEFLATED:
        return dataset
    found, frames = fragments_of(dataset.PixelData), item.frames or 1
    if frames > 1:
        require_offsets(found, value_of(dataset, "ExtendedOffsetTable") or b"", frames, name)
    elif found.table not in ((), (0,)) and found.contents:
        dataset.PixelData = encapsulate([b"".join(found.contents)], has_bot=False)
    return dataset


def data_set(item: Slice) -> Dataset:
    """The whole data set of a file; its pixel data still compressed."""
    with item.path.open("rb") as file:
        known = item.layout.inflated_bytes
        unpacked = inflated(file, 1, known) if item.transfer_syntax == DEFLATED else None
        file.seek(0)
        return pydicom.dcmread(unpacked or file, force=True)


def _inflated_frame(item: Slice, dataset: Dataset, name: str) -> NDArray[Any]:
    """One frame of a data set that was deflated as a whole."""
    dtype = stored_dtype(item.layout, name).newbyteorder("<")
    count = item.layout.rows * item.layout.columns
    start = (item.frame or 0) * count * dtype.itemsize
    if len(dataset.PixelData) < start + count * dtype.itemsize:
        raise ScanRejected("TRUNCATED", f"{count} pixels should follow; there are fewer in {name}")
    return np.frombuffer(dataset.PixelData, dtype=dtype, count=count, offset=start)


def _decoded_frame(item: Slice, dataset: Dataset, name: str) -> NDArray[Any]:
    """One compressed frame, checked and decoded."""
    frame, syntax = item.frame or 0, item.transfer_syntax
    if syntax != RLE:
        stream = get_frame(dataset.PixelData, frame, number_of_frames=item.frames or 1)
        require_stream(stream, item.layout, name)
    with quiet_decoders():
        decoded, _ = get_decoder(syntax).as_array(
            dataset, index=frame, decoding_plugin=DECODERS[syntax][0], raw=True
        )
    return decoded


@contextlib.contextmanager
def quiet_decoders() -> Iterator[None]:
    """Keep GDCM from writing to the terminal of a program that we are only a part of."""
    import gdcm  # type: ignore[import-untyped]  # its wheel has no annotations

    switches = (
        (gdcm.Trace.GetWarningFlag, gdcm.Trace.WarningOn, gdcm.Trace.WarningOff),
        (gdcm.Trace.GetErrorFlag, gdcm.Trace.ErrorOn, gdcm.Trace.ErrorOff),
    )
    were_on = [(is_on(), turn_on) for is_on, turn_on, _ in switches]
    for _, _, turn_off in switches:
        turn_off()
    try:
        yield
    finally:
        for was_on, turn_on in were_on:
            if was_on:
                turn_on()
