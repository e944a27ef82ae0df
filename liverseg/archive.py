"""Unpack a .zip or .tar delivery into a private folder, or refuse it as unsafe."""

from __future__ import annotations

import errno
import gzip
import lzma
import secrets
import tarfile
import threading
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, TYPE_CHECKING, cast

from liverseg.errors import ScanRejected
from liverseg.gzip_head import GZIP_MAGIC, GZIP_SUFFIX, TAR_SUFFIXES, is_single
from liverseg.limits import usable_cores
from liverseg.sizes import Sizes

if TYPE_CHECKING:
    from typing_extensions import Self

ZIP_MAGIC = b"PK\x03\x04"
EMPTY_ZIP_MAGIC = b"PK\x05\x06"
TAR_MAGIC = b"ustar"
TAR_MAGIC_OFFSET = 257  # bytes, POSIX.1-1988
COMPRESSED_MAGICS = (GZIP_MAGIC, b"BZh", b"\xfd7zXZ\0")
PART = ".part"
CHUNK_BYTES = 1 << 20
MOST_THREADS = 4  # of a zip: beyond, its files are written no faster


@dataclass(frozen=True)
class Limits:
    """What an archive may hold.

    Attributes:
        members: files and folders.
        total_bytes: unpacked.
        ratio: unpacked bytes to packed bytes; applies above `free_bytes`.
        free_bytes: unpacked bytes that no ratio forbids: a small archive of zeros is harmless.
    """

    members: int
    total_bytes: int
    ratio: float
    free_bytes: int = 64 << 20


def limits_of(sizes: Sizes) -> Limits:
    """What one archive may hold."""
    return Limits(sizes.members, sizes.archive_bytes, sizes.ratio)


def looks_like_archive(path: Path, head: bytes) -> bool:
    """Whether a file is a .zip or a .tar, compressed or not, by its content.

    Args:
        path: its name decides only whether a compressed stream or an old tar is worth a try.
        head: the first 512 bytes.
    """
    if head.startswith((ZIP_MAGIC, EMPTY_ZIP_MAGIC)):
        return True
    if head[TAR_MAGIC_OFFSET : TAR_MAGIC_OFFSET + len(TAR_MAGIC)] == TAR_MAGIC:
        return True
    name = path.name.lower()
    return name.endswith(TAR_SUFFIXES) and (
        head.startswith(COMPRESSED_MAGICS) or name.endswith(".tar")
    )


def unpack(
    archive: Path, folder: Path, limits: Limits, only: Collection[Path] | None = None
) -> Limits:
    """Unpack the files of an archive below a folder.

    Args:
        archive: a file that `looks_like_archive`, or a gzip file of one file.
        folder: an empty folder that only we can read.
        limits: what the archive may hold.
        only: the files below the folder that are wanted; all by default.

    Returns:
        The limits with what is left of members and bytes, for what shares them.

    Raises:
        ScanRejected: UNSAFE_ARCHIVE for links, devices, names that are absolute or lead out of
            the folder, and more than the limits; CORRUPT or TRUNCATED when it cannot be read to
            its end; UNREADABLE when it is encrypted; NOT_WRITABLE when there is no room for it.
    """
    try:
        budget = _Budget(limits, archive.stat().st_size)
        target = _Target(folder, budget, only)
        with archive.open("rb") as file:
            head = file.read(TAR_MAGIC_OFFSET)
        if head.startswith((ZIP_MAGIC, EMPTY_ZIP_MAGIC)):
            with zipfile.ZipFile(archive) as packed:
                _unpack_zip(packed, target)
        elif is_single(archive, head):
            with gzip.open(archive, "rb") as single:
                place = target.place(archive.name[: -len(GZIP_SUFFIX)])
                target.write(lambda: cast("IO[bytes]", single), place)
        else:
            with tarfile.open(archive, "r:*", tarinfo=_StrictInfo) as packed_tar:
                _unpack_tar(packed_tar, target)
    except (EOFError, tarfile.ReadError) as error:
        raise ScanRejected("TRUNCATED", "the archive is cut short or damaged") from error
    except NotImplementedError as error:
        raise ScanRejected("UNREADABLE", "its compression is not known here") from error
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError) as error:
        raise ScanRejected("CORRUPT", "the archive cannot be unpacked") from error
    except (UnicodeError, ValueError) as error:
        raise ScanRejected("CORRUPT", "the archive holds names that cannot be read") from error
    except OSError as error:
        if error.errno is None:  # of gzip and bz2, about their data
            raise ScanRejected("CORRUPT", "the archive cannot be unpacked") from error
        code, reason = "UNREADABLE", f"the archive could not be unpacked: {error.strerror}"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            code, reason = (
                "NOT_WRITABLE",
                "the temporary folder (TMPDIR) has no room for its content",
            )
        raise ScanRejected(code, reason) from error
    return replace(
        limits,
        members=limits.members - budget.members,
        total_bytes=limits.total_bytes - budget.bytes,
    )


class _StrictInfo(tarfile.TarInfo):
    """A member that must be whole: tarfile takes a header it cannot read for the archive's end."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """One header; the end must be said by a block of zeros (POSIX.1-2001, ustar)."""
        if len(buf) < tarfile.BLOCKSIZE:
            raise tarfile.ReadError("the end of the archive is missing")
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if not any(buf):
                raise  # the end, as it should be
            raise tarfile.ReadError("a header in the archive is damaged") from error


class _Budget:
    """Counts what comes out of an archive, since what its headers say may be untrue."""

    def __init__(self, limits: Limits, packed_bytes: int) -> None:
        self._lock = threading.Lock()
        self.limits = limits
        ratio_bytes = int(limits.ratio * packed_bytes)
        self.allowed_bytes = min(limits.total_bytes, max(ratio_bytes, limits.free_bytes))
        self.bytes = 0
        self.members = 0

    def member(self) -> None:
        """Count a member."""
        self.members += 1
        if self.members > self.limits.members:
            raise ScanRejected(
                "UNSAFE_ARCHIVE", f"at most {self.limits.members} members are unpacked; got more"
            )

    def spend(self, count: int) -> None:
        """Count bytes that came out; several threads may."""
        with self._lock:
            self.require(count)
            self.bytes += count

    def require(self, count: int) -> None:
        """Refuse what would pass the limit with `count` bytes more."""
        if self.bytes + count > self.allowed_bytes:
            raise ScanRejected(
                "UNSAFE_ARCHIVE",
                f"at most {self.allowed_bytes} bytes are unpacked from it; it holds more",
            )


class _Target:
    """The folder that an archive goes to, and what of it is wanted.

    Two members of one name are two files; which gets which name does not depend on what is wanted.
    """

    def __init__(self, folder: Path, budget: _Budget, only: Collection[Path] | None) -> None:
        self.folder = folder
        self.budget = budget
        self._only = None if only is None else frozenset(only)
        self._taken: set[Path] = set()
        self._lock = threading.Lock()

    def place(self, name: str) -> Path:
        """Where a member goes, always below the folder, under a name of its own."""
        wanted = self.folder / _inside(name)
        place = next(free for free in _names(wanted) if free not in self._taken)
        self._taken.update((place, *place.parents))
        return place

    def write(self, opened: Callable[[], IO[bytes]], place: Path, size: int | None = None) -> None:
        """Write one member, in pieces, if it is wanted; several threads may."""
        if self._only is not None and place not in self._only:
            return
        place.parent.mkdir(parents=True, exist_ok=True)
        written = 0
        # Under another name until it is whole: a process that is killed leaves no half file.
        part = place.with_name(f".{secrets.token_hex(4)}{PART}")
        with opened() as source, part.open("wb") as target:
            while chunk := source.read(CHUNK_BYTES):
                self.budget.spend(len(chunk))
                written += len(chunk)
                target.write(chunk)
        if size is not None and written < size:
            raise EOFError
        with self._lock:
            if place.exists():  # where capitals and small letters are one
                raise FileExistsError(errno.EEXIST, "two members have one name")
            part.rename(place)


def _unpack_zip(packed: zipfile.ZipFile, target: _Target) -> None:
    """Check every member of a zip, then unpack."""
    places: list[tuple[zipfile.ZipInfo, Path]] = []
    for info in packed.infolist():
        target.budget.member()
        file_type = (info.external_attr >> 16) & 0o170000
        if file_type not in (0, 0o100000, 0o040000):
            raise ScanRejected("UNSAFE_ARCHIVE", "an archive should hold files; it holds a link")
        if info.flag_bits & 1:
            raise ScanRejected("UNREADABLE", "the archive is encrypted")
        if not info.is_dir():
            places.append((info, target.place(info.filename)))
        elif not _is_root(info.filename):
            _inside(info.filename)
    target.budget.require(sum(info.file_size for info, _ in places))

    def write(member: tuple[zipfile.ZipInfo, Path]) -> None:
        target.write(lambda: packed.open(member[0]), member[1])

    # Members are packed each by itself, and zlib lets other threads work while it unpacks.
    with ThreadPoolExecutor(min(MOST_THREADS, usable_cores())) as threads:
        for _ in threads.map(write, places):  # the first that fails ends it
            pass


def _unpack_tar(packed: tarfile.TarFile, target: _Target) -> None:
    """Check and unpack a tar member by member; a refused one leaves nothing that is used."""
    for info in packed:
        target.budget.member()
        if info.isdir():
            if not _is_root(info.name):
                _inside(info.name)
            continue
        place = target.place(info.name)
        if not info.isreg():
            raise ScanRejected(
                "UNSAFE_ARCHIVE", "an archive should hold files; it holds a link or a device"
            )
        target.budget.require(info.size)
        source = packed.extractfile(info)
        if source is None:
            raise ScanRejected("CORRUPT", "the archive holds a file without content")
        target.write(lambda source=source: source, place, info.size)  # type: ignore[misc]
    # Up to the end of the file, where a compressed stream has its checksum.
    while packed.fileobj and (chunk := packed.fileobj.read(CHUNK_BYTES)):
        target.budget.spend(len(chunk))


def _is_root(name: str) -> bool:
    """Whether a name is the archive's own folder ("./"): many archivers put it first."""
    return not PurePosixPath(name).parts


def _inside(name: str) -> PurePosixPath:
    """The path of a member, which leads nowhere but below the archive's own folder."""
    posix, windows = PurePosixPath(name), PureWindowsPath(name)
    leads_out = posix.is_absolute() or windows.drive or windows.root or ".." in windows.parts
    if leads_out or not posix.parts:
        raise ScanRejected(
            "UNSAFE_ARCHIVE", "names should lead into the archive's own folder; one leads out"
        )
    return posix


def _names(place: Path) -> Iterator[Path]:
    """The place itself, then numbered ones."""
    yield place
    number = 1
    while True:
        yield place.with_name(f"{place.name}~{number}")
        number += 1
