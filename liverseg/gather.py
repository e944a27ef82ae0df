"""Sort the files of all inputs: DICOM, NIfTI, what an archive holds, or nothing known.

What lies on the disk makes the first delivery, and each archive one of its own: it is unpacked
when its turn comes and, where there is no room to keep it, removed before the next.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from liverseg.archive import limits_of, looks_like_archive, unpack
from liverseg.dicom.sniff import PREAMBLE_BYTES, looks_like_dicom
from liverseg.errors import ScanRejected
from liverseg.foreign import UNPACK_FIRST, foreign_format, is_voxels_of_a_pair
from liverseg.gzip_head import GZIP_SUFFIX, decompressed_head, is_single
from liverseg.nifti_sniff import looks_like_nifti
from liverseg.packed import OWN, Packed
from liverseg.sizes import Sizes
from liverseg.walk import files_below

HEAD_BYTES = 512  # enough for every magic number
MAX_NESTED = 1000  # archives within one archive: each costs time, even one that is refused
EMPTY = "an archive with nothing in it"
TOO_DEEP = UNPACK_FIRST.format(
    f"an archive within two others, or one of more than {MAX_NESTED} in another"
)
UNREADABLE = "a folder or a file that the operating system does not let us read"


@dataclass
class Delivery:
    """What lies on the disk, or in one archive, by what it is.

    Attributes:
        dicom: files that look like DICOM, each once.
        nifti: files that look like NIfTI, each once.
        junk: how many other files each folder holds; an input that is such a file counts itself.
        refused: files and folders that cannot be looked into, and why.
        packed: how its files come to their places; None for what lies on the disk.
        names_deep: whether an archive that is not unpacked has been named among the refused.
    """

    dicom: dict[Path, None] = field(default_factory=dict)
    nifti: dict[Path, None] = field(default_factory=dict)
    junk: dict[Path, int] = field(default_factory=lambda: defaultdict(int))
    refused: list[tuple[Path, ScanRejected]] = field(default_factory=list)
    packed: Packed | None = None
    names_deep: bool = False


class Gathered:
    """The files of all inputs.

    Args:
        private: an empty folder that only we can read; archives are unpacked there.
        sizes: what an archive may hold and how much of them is kept.
    """

    def __init__(self, private: Path, sizes: Sizes) -> None:
        self._private = private
        self._sizes = sizes
        self._on_disk = Delivery()
        self._waiting: dict[Path, None] = {}
        self._archives: dict[str, Path] = {}  # by the name of their folder
        self._origins: dict[Path, Path] = {}  # of files that were gzip files on the disk
        self._kept_bytes = 0
        self._singles: dict[Path, str] = {}  # folder of gzip files to that of what they hold
        self._nested = 0
        self._given: set[Path] = set()
        self._left = limits_of(sizes)

    def add_tree(self, root: Path) -> None:
        """Take in every file below a folder, or one file; archives wait for their turn."""
        self._sort(root, self._on_disk)

    def deliveries(self) -> Iterator[Delivery]:
        """What lies on the disk, then each archive, unpacked.

        The files of an archive are there until the next is asked for, and after that while there
        is room.
        """
        yield self._on_disk
        for number, archive in enumerate(self._waiting, 1):
            folder = self._private / str(number)
            self._archives[folder.name] = archive
            self._left, self._nested = limits_of(self._sizes), 0
            delivery = Delivery(packed=Packed(archive, folder, (), self._sizes))
            (folder / OWN).mkdir(parents=True)
            if self._unpacked(archive, folder / OWN, delivery):
                self._sort(folder / OWN, delivery)
                if not any((folder / OWN).iterdir()):
                    delivery.refused.append((archive, ScanRejected("NOT_CT", EMPTY)))
            yield delivery
            self._keep_or_remove(folder)

    def source(self, path: Path) -> Path:
        """The input path that a file came from."""
        if not path.is_relative_to(self._private):
            return path
        name = path.relative_to(self._private).parts[0]
        return self._archives[name] if name in self._archives else self._origins[path]

    def origin(self, path: Path) -> Path:
        """A file as it was delivered: before it was unpacked, where it was a gzip file."""
        return self._origins.get(path, path)

    def was_given(self, path: Path) -> bool:
        """Whether a file is one of the inputs, or lies below one, or in an archive."""
        return path in self._given

    def is_archive(self, path: Path) -> bool:
        """Whether an input path is an archive that was unpacked."""
        return path in self._waiting

    def _sort(self, root: Path, delivery: Delivery) -> None:
        """Sort every file below a folder, or one file, into a delivery."""
        found = files_below(root)
        self._given.update(found.files)
        for path in found.files:
            if not self._take(path, delivery):
                delivery.junk[path if path == root else path.parent] += 1
        for folder, count in found.special.items():
            delivery.junk[folder] += count
        for path in found.unreadable:
            delivery.refused.append((path, ScanRejected("UNREADABLE", UNREADABLE)))

    def _take(self, path: Path, delivery: Delivery) -> bool:
        """Take in one file by its content; False when it is nothing known."""
        try:
            with path.open("rb") as file:
                head = file.read(HEAD_BYTES)
        except OSError as error:
            reason = f"a file could not be read: {error.strerror}"
            delivery.refused.append((path, ScanRejected("UNREADABLE", reason)))
            return True
        inside = decompressed_head(head)
        if looks_like_dicom(head):
            delivery.dicom[path] = None
        elif looks_like_archive(path, head):
            if not self._may_unpack(path, delivery):
                return _refuse_deep(path, delivery)
            self._add_archive(path, delivery)
        elif looks_like_nifti(path, inside):
            delivery.nifti[path] = None
        elif is_single(path, head) and looks_like_dicom(inside):
            if not _is_outer(path, delivery):
                return _refuse_deep(path, delivery)
            self._add_single(path, delivery)
        elif sentence := foreign_format(path, head):
            delivery.refused.append((path, ScanRejected("NOT_CT", sentence)))
        else:
            return is_voxels_of_a_pair(path)  # named with its header
        return True

    def _may_unpack(self, path: Path, delivery: Delivery) -> bool:
        """Whether an archive is unpacked: a delivery, or one within a delivery, no deeper."""
        packed = delivery.packed
        if packed is None:
            return True
        self._nested += 1
        return _is_outer(path, delivery) and self._nested <= MAX_NESTED

    def _add_archive(self, path: Path, delivery: Delivery) -> None:
        """Let an archive wait; unpack one that lies in another, and take in what it holds."""
        if delivery.packed is None:
            self._waiting[path] = None
            return
        name = str(len({name for _, name in delivery.packed.nested}) + 1)
        folder = _nest(delivery.packed, delivery, path, name)
        folder.mkdir()
        if self._unpacked(path, folder, delivery):
            self._sort(folder, delivery)

    def _add_single(self, path: Path, delivery: Delivery) -> None:
        """Unpack a gzip file of one DICOM file, beside those that lay beside it."""
        packed = delivery.packed
        if packed is None:
            name = self._singles.setdefault(path.parent, str(len(self._singles)))
            folder = self._private / OWN / name
        else:
            names = {name for _, name in packed.nested}
            name = self._singles.setdefault(path.parent, str(len(names) + 1))
            folder = _nest(packed, delivery, path, name)
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / path.name[: -len(GZIP_SUFFIX)]
        self._origins[target] = path
        delivery.dicom[target] = None
        try:
            self._left = unpack(path, folder, self._left)
        except ScanRejected as error:
            if error.code not in ("TRUNCATED", "CORRUPT"):
                delivery.refused.append((path, error))
            # A file that ends early: it condemns what it may have been a slice of.
            target.write_bytes(bytes(PREAMBLE_BYTES) + b"DICM")

    def _unpacked(self, path: Path, folder: Path, delivery: Delivery) -> bool:
        """Unpack an archive into an empty folder; False when it is refused."""
        try:
            self._left = unpack(path, folder, self._left)
        except ScanRejected as error:
            # Nothing of it is read: it must not take the room of others.
            shutil.rmtree(folder)
            delivery.refused.append((path, error))
            return False
        return True

    def _keep_or_remove(self, folder: Path) -> None:
        """Remove an unpacked archive for which there is no room."""
        used = limits_of(self._sizes).total_bytes - self._left.total_bytes
        if self._kept_bytes + used <= self._sizes.kept_bytes:
            self._kept_bytes += used
        else:
            shutil.rmtree(folder)


def _is_outer(path: Path, delivery: Delivery) -> bool:
    """Whether a file lies on the disk or in an archive itself, not in an archive within one."""
    return delivery.packed is None or path.is_relative_to(delivery.packed.folder / OWN)


def _refuse_deep(path: Path, delivery: Delivery) -> bool:
    """Name an archive that is not unpacked; of a delivery the first only: False for the others."""
    if delivery.names_deep:
        return False
    delivery.names_deep = True
    delivery.refused.append((path, ScanRejected("NOT_CT", TOO_DEEP)))
    return True


def _nest(packed: Packed, delivery: Delivery, path: Path, name: str) -> Path:
    """Note in the delivery's recipe that a file of it was unpacked into a folder; the folder."""
    inner = path.relative_to(packed.folder / OWN)
    delivery.packed = replace(packed, nested=(*packed.nested, (inner, name)))
    return packed.folder / name
