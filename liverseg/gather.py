"""Sort the files of all inputs: DICOM, NIfTI, what an archive holds, or nothing known."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from liverseg.archive import looks_like_archive, unpack
from liverseg.dicom.header import looks_like_dicom
from liverseg.errors import ScanRejected
from liverseg.nifti import decompressed_head, looks_like_nifti
from liverseg.walk import files_below

HEAD_BYTES = 512  # enough for every magic number
UNREADABLE = "a folder or a file that the operating system does not let us read"


class Gathered:
    """The files of all inputs, by what they are, and the archive each came out of.

    Args:
        private: an empty folder that only we can read; archives are unpacked there.

    Attributes:
        archives: the archive of each folder of unpacked files.
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
        elif looks_like_archive(path, head) and archive is None:
            self._add_archive(path)
        elif looks_like_nifti(path, decompressed_head(head)):
            self.nifti[path] = None
        else:
            return False
        return True

    def _add_archive(self, path: Path) -> None:
        """Unpack an archive into a folder of its own and take in what it holds."""
        folder = self.private / str(len(self.archives))
        folder.mkdir()
        self.archives[folder] = path
        try:
            unpack(path, folder)
        except ScanRejected as error:
            self._refuse(path, error)
            return
        self.add_tree(folder, archive=path)

    def _refuse(self, path: Path, error: ScanRejected) -> None:
        """Note a file that holds no scan."""
        self.refused.append((path, error))

    def source(self, path: Path) -> Path:
        """The input path that a file came from."""
        for folder, archive in self.archives.items():
            if path.is_relative_to(folder):
                return archive
        return path
