"""An archive that was unpacked, looked at and perhaps removed: have its files when wanted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from liverseg.archive import limits_of, unpack
from liverseg.lock import held
from liverseg.sizes import Sizes

OWN = "0"  # the folder of the archive's own files; those of the archives in it are "1" and so on


@dataclass(frozen=True)
class Packed:
    """How the files of an archive come to their places.

    Attributes:
        archive: the file.
        folder: where it was unpacked: a folder for its own files and one for each archive in it.
        nested: each archive in it, below OWN, and the name of the folder that it went to.
        sizes: what it may hold.
    """

    archive: Path
    folder: Path
    nested: tuple[tuple[Path, str], ...]
    sizes: Sizes


@contextmanager
def at_hand(files: Sequence[Path], recipes: Iterable[Packed]) -> Iterator[None]:
    """Have files of archives on the disk while the block runs.

    Several processes may want files of one archive: they use what is there together, and wait for
    each other where it has to be unpacked again and removed.

    Args:
        files: some of them are perhaps not there any more.
        recipes: of the archives that they came out of.

    Raises:
        ScanRejected: an archive can no longer be unpacked.
    """
    unpacked = tuple(recipes)
    if not unpacked:
        yield
        return
    private = unpacked[0].folder.parent
    with held(private, shared=True):
        if not any(_missing(packed, files) for packed in unpacked):
            yield
            return
    with held(private, shared=False):
        restored: list[Path] = []
        try:
            for packed in unpacked:
                restored.extend(_restored(packed, files))
            yield
        finally:
            _remove(restored, private)


def _remove(paths: Iterable[Path], private: Path) -> None:
    """Remove files, and the folders below the private one that are empty then."""
    for path in paths:
        path.unlink(missing_ok=True)
        for folder in path.parents:
            if folder == private:
                break
            # Up to the first that still holds something.
            try:
                folder.rmdir()
            except OSError:
                break


def _missing(packed: Packed, files: Sequence[Path]) -> set[Path]:
    """Those of an archive's files that are not on the disk."""
    return {path for path in files if path.is_relative_to(packed.folder) and not path.exists()}


def _restored(packed: Packed, files: Sequence[Path]) -> set[Path]:
    """Unpack what is missing, and no more; what was unpacked."""
    missing = _missing(packed, files)
    if not missing:
        return missing
    own = packed.folder / OWN
    inner = [
        (own / name, packed.folder / folder)
        for name, folder in packed.nested
        if any(path.is_relative_to(packed.folder / folder) for path in missing)
    ]
    needed = missing | {archive for archive, _ in inner if not archive.exists()}
    left = unpack(packed.archive, own, limits_of(packed.sizes), needed)
    for archive, folder in inner:
        left = unpack(archive, folder, left, missing)
    return needed
