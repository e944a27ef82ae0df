"""Small good deliveries of every kind, and seeded ways of damaging them."""

from __future__ import annotations

import gzip
import io
import random
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import deliveries as d
import encoders as e
import numpy as np
import wrapped as w
from conftest import small_ct

from liverseg.dicom.write import write_ct_series
from liverseg.scans import found_scans, read_scan

J2K = "1.2.840.10008.1.2.4.90"


def nifti(name: str, change: w.HeaderChange | None = None) -> d.Change:
    """A NIfTI file in place of the slices."""

    def make(folder: Path) -> None:
        for path in list(folder.iterdir()):
            path.unlink()
        w.write_nifti(folder / name, small_ct()[0], change)

    return make


# How each kind is made of clean slices. Without its tool a kind is an error, never left out.
SEEDS: dict[str, d.Change] = {
    "explicit": d.unchanged,
    "implicit": e.by_tool("dcmconv", "+ti"),
    "big endian": e.by_tool("dcmconv", "+tb"),
    "deflated": e.by_tool("dcmconv", "+td"),
    "RLE": e.by_tool("dcmcrle"),
    "JPEG lossless": e.by_tool("dcmcjpeg", "+el", "+sv", "4"),
    "JPEG lossless SV1": e.by_tool("dcmcjpeg", "+e1"),
    "JPEG-LS": e.by_tool("dcmcjpls", "+el"),
    "JPEG 2000": e.re_encoded(J2K),
    "HTJ2K": e.htj2k(),
    "enhanced": d.enhanced(),
    "enhanced JPEG 2000": d.both(d.enhanced(), e.by_tool("gdcmconv", "--j2k")),
    "NIfTI": nifti("ct.nii"),
    "NIfTI gzip": nifti("ct.nii.gz"),
    "NIfTI, qform": nifti("ct.nii", w.qform_only),
    "zip": w.zipped(),
    "tar": w.tarred(".tar"),
    "tar.gz": w.tarred(".tar.gz"),
}
KINDS = tuple(SEEDS)


@dataclass(frozen=True)
class Delivery:
    """The files of one damaged delivery, by name."""

    kind: str
    files: dict[str, bytes]


def write_seeds(root: Path) -> None:
    """Write every kind into a folder of its name, and what is read of it as .npy."""
    for kind, make in SEEDS.items():
        write_ct_series(*small_ct(), root / kind)
        make(root / kind)
        with found_scans([root / kind]) as scans:
            np.save(root / f"{kind}.npy", read_scan(scans[0]).image)


def mutated(seeds: Path, seed: int, number: int) -> Delivery:
    """The mutation of that number: one file of the kind whose turn it is, damaged."""
    chance = random.Random(f"{seed}/{number}")  # noqa: S311  repeatable, not secret
    kind = KINDS[number % len(KINDS)]
    files = {path.name: path.read_bytes() for path in sorted((seeds / kind).iterdir())}
    name = chance.choice(sorted(files))
    inside = INSIDE.get(kind)
    if inside and chance.random() < 0.5:
        files[name] = inside(chance, files[name])
    else:
        files[name] = damaged(chance, files[name])
    return Delivery(kind, files)


def damaged(chance: random.Random, content: bytes) -> bytes:
    """Bytes with one to three kinds of damage."""
    changed = bytearray(content)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        if changed:
            chance.choice(DAMAGES)(chance, changed)
    return bytes(changed)


def _place(chance: random.Random, content: bytearray) -> int:
    """Where to damage: anywhere, at the head, or where pixel data begins."""
    where = chance.random()
    if where < 0.4:
        return chance.randrange(len(content))
    begins = content.find(b"\xe0\x7f\x10\0")
    if where < 0.7 and begins > 0:
        return min(begins + chance.randrange(200), len(content) - 1)
    return chance.randrange(min(len(content), 1500))


def _flip(chance: random.Random, content: bytearray) -> None:
    for _ in range(chance.randrange(1, 9)):
        content[_place(chance, content)] ^= 1 << chance.randrange(8)


def _number(chance: random.Random, content: bytearray) -> None:
    place, size = _place(chance, content), chance.choice((1, 2, 4, 8))
    value = chance.choice((0, 1, (1 << 8 * size) - 1, (1 << 8 * size - 1) - 1, 1 << 8 * size - 1))
    content[place : place + size] = value.to_bytes(size, chance.choice(("little", "big")))


def _fill(chance: random.Random, content: bytearray) -> None:
    place, size = _place(chance, content), chance.randrange(1, 64)
    byte = chance.choice((0, 0xFF, chance.randrange(256)))
    content[place : place + size] = bytes([byte]) * len(content[place : place + size])


def _noise(chance: random.Random, content: bytearray) -> None:
    place, size = _place(chance, content), chance.randrange(1, 64)
    content[place : place + size] = chance.randbytes(len(content[place : place + size]))


def _delete(chance: random.Random, content: bytearray) -> None:
    place = _place(chance, content)
    del content[place : place + chance.randrange(1, 64)]


def _insert(chance: random.Random, content: bytearray) -> None:
    place = _place(chance, content)
    content[place:place] = chance.randbytes(chance.randrange(1, 64))


def _repeat(chance: random.Random, content: bytearray) -> None:
    place = _place(chance, content)
    content[place:place] = content[place : place + chance.randrange(1, 400)]


def _cut(chance: random.Random, content: bytearray) -> None:
    del content[_place(chance, content) :]


DAMAGES = (_flip, _flip, _number, _number, _fill, _noise, _delete, _insert, _repeat, _cut)


def _in_gzip(chance: random.Random, content: bytes) -> bytes:
    return gzip.compress(damaged(chance, gzip.decompress(content)))


def _in_zip(chance: random.Random, content: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = chance.choice(sorted(members))
    members[name] = damaged(chance, members[name])
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return packed.getvalue()


def _in_tar(chance: random.Random, content: bytes) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        start = chance.choice(archive.getmembers()).offset  # the header of a member
    plain = bytearray(content)
    plain[start : start + 512] = damaged(chance, bytes(plain[start : start + 512]))[:512]
    return bytes(plain)


def _in_deflated(chance: random.Random, content: bytes) -> bytes:
    start = 144 + int.from_bytes(content[140:144], "little")
    plain = zlib.decompress(content[start:], -zlib.MAX_WBITS)
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return content[:start] + packer.compress(damaged(chance, plain)) + packer.flush()


# Damage below the compression or the checksum, which would otherwise catch nearly all of it.
INSIDE: dict[str, Callable[[random.Random, bytes], bytes]] = {
    "deflated": _in_deflated,
    "NIfTI gzip": _in_gzip,
    "zip": _in_zip,
    "tar": _in_tar,
    "tar.gz": _in_gzip,
}
