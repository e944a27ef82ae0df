"""Sort the files of all inputs: DICOM, NIfTI, what an archive holds, or nothing known."""

from __future__ import annotations

import shutil
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from liverseg.archive import DEFAULT_LIMITS, looks_like_archive, unpack
from liverseg.dicom.header import looks_like_dicom
from liverseg.errors import ScanRejected
from liverseg.nifti import decompressed_head, looks_like_nifti
from liverseg.walk import files_below

HEAD_BYTES = 512  # enough for every magic number
MAX_NESTED = 1000  # archives within one archive: each costs time, even one that is refused
UNREADABLE = "a folder or a file that the operating system does not let us read"


class Gathered:
    """The files of all inputs, by what they are, and the archive each came out of.

    Args:
        private: an empty folder that only we can read; archives are unpacked there.

    Attributes:
        archives: the archive of each folder of unpacked files; of one that lay in another archive
            that other one.
        dicom: files that look like DICOM, each once.
        nifti: files that look like NIfTI, each once.
        junk: how many other files each folder holds; an input that is such a file counts itself.
        refused: files and folders that cannot be looked into, and why.
    """

    def __init__(self, private: Path) -> None:
        self.private = private
        self.archives: dict[Path, Path] = {}
        self.dicom: dict[Path, None] = {}
        self.nifti: dict[Path, None] = {}
        self.junk: dict[Path, int] = defaultdict(int)
        self.refused: list[tuple[Path, ScanRejected]] = []
        # Bytes for all archives, members for one and those in it.
        self._left = DEFAULT_LIMITS
        self._nested = 0
        self._outer = private

    def add_tree(self, root: Path, archive: Path | None = None) -> None:
        """Take in every file below a folder, or one file."""
        found = files_below(root)
        for path in found.files:
            if not self._take(path, archive):
                self.junk[path if path == root else path.parent] += 1
        for folder, count in found.special.items():
            self.junk[folder] += count
        for path in found.unreadable:
            self._refuse(path, ScanRejected("UNREADABLE", UNREADABLE))

    def _take(self, path: Path, archive: Path | None) -> bool:
        """Take in one file by its content; False when it is nothing known."""
        try:
            with path.open("rb") as file:
                head = file.read(HEAD_BYTES)
        except OSError as error:
            reason = f"a file could not be read: {error.strerror}"
            self._refuse(path, ScanRejected("UNREADABLE", reason))
            return True
        if looks_like_dicom(head):
            self.dicom[path] = None
        elif looks_like_archive(path, head) and self._may_unpack(path, archive):
            self._add_archive(path, archive)
        elif looks_like_nifti(path, decompressed_head(head)):
            self.nifti[path] = None
        else:
            return False
        return True

    def _may_unpack(self, path: Path, archive: Path | None) -> bool:
        """Whether an archive is unpacked: a delivery, or one within a delivery, no deeper."""
        if archive is None:
            self._nested = 0
            return True
        self._nested += 1
        return path.is_relative_to(self._outer) and self._nested <= MAX_NESTED

    def _add_archive(self, path: Path, outer: Path | None) -> None:
        """Unpack an archive into a folder of its own and take in what it holds."""
        folder = self.private / str(len(self.archives))
        folder.mkdir()
        self.archives[folder] = outer or path
        if outer is None:
            self._outer = folder
            self._left = replace(self._left, members=DEFAULT_LIMITS.members)
        try:
            self._left = unpack(path, folder, self._left)
        except ScanRejected as error:
            # Nothing of it is read: it must not take the room of others.
            shutil.rmtree(folder)
            self._refuse(path, error)
            return
        self.add_tree(folder, archive=outer or path)

    def _refuse(self, path: Path, error: ScanRejected) -> None:
        """Note a file that holds no scan."""
        self.refused.append((path, error))

    def source(self, path: Path) -> Path:
        """The input path that a file came from."""
        if not path.is_relative_to(self.private):
            return path
        return self.archives[self.private / path.relative_to(self.private).parts[0]]
