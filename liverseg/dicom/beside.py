"""Find the files beside a series that may be slices of it, lost before they could be read."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

from liverseg.dicom.sniff import looks_like_dicom
from liverseg.errors import ScanRejected
from liverseg.gzip_head import decompressed_head

SUFFIXES = frozenset((".dcm", ".dicom", ".ima"))  # that only slices have
HEAD_BYTES = 512  # of a file, to see whether it is DICOM
DIGITS = re.compile(r"\d+", re.ASCII)


def lost_notes(
    files: Sequence[Path], known: Collection[Path], was_given: Callable[[Path], bool]
) -> tuple[str, ...]:
    """Look for files that are named as slices are and are none.

    A slice that is lost at an end of the stack leaves no gap; its name is all there is.

    Args:
        files: of one accepted series, as they were delivered.
        known: all files that are DICOM, as they were delivered.
        was_given: whether a file is one of those that were to be looked at.

    Returns:
        No sentence, or one on empty files.

    Raises:
        ScanRejected: TRUNCATED for a file with other content, UNREADABLE for one that the
            operating system does not let us read.
    """
    empty = 0
    for path in _strangers(files, known):
        try:
            with path.open("rb") as file:
                content = file.read(HEAD_BYTES)
        except OSError as error:
            raise ScanRejected(
                "UNREADABLE",
                f"a file beside the slices, named as they are, could not be read: {error.strerror}",
            ) from error
        if looks_like_dicom(decompressed_head(content)) and not was_given(path):
            continue
        if content:
            raise ScanRejected(
                "TRUNCATED",
                "a file beside the slices, named as they are, should be DICOM; it is not, or not "
                "any more",
            )
        empty += 1
    if not empty:
        return ()
    return (f"{empty} empty files are named as the slices are: slices may be missing at an end",)


def _strangers(files: Sequence[Path], known: Collection[Path]) -> Iterator[Path]:
    """The files in the folders of the slices that are no DICOM and are named as if they were."""
    for folder in {path.parent for path in files}:
        names = {path.name for path in files if path.parent == folder}
        patterns = set(map(_pattern, names))
        suffixes = SUFFIXES.intersection(map(_suffix, names))
        for path in sorted(folder.iterdir()):
            if path in known or path.name.startswith(".") or path.is_symlink():
                continue
            alike = _pattern(path.name) in patterns or _suffix(path.name) in suffixes
            if alike and path.is_file():
                yield path


def _suffix(name: str) -> str:
    """What a name ends with, that of a gzip file left away."""
    return Path(name.lower().removesuffix(".gz")).suffix


def _pattern(name: str) -> str:
    """A file name with every number alike; names of letters alone are alike only when equal."""
    return DIGITS.sub("#", name.removesuffix(".gz"))
