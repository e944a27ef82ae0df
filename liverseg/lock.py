"""Folders of one run: an output folder keeps others out, a private one does not outlive it."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from liverseg.outputs import PRIVATE_MODE

# Removed at the end of a run. One that a killed run has left behind holds nobody up: what counts
# is the system's lock on it, which ends with the process.
LOCK_FILE = ".liverseg.lock"
PRIVATE_PREFIX = "liverseg-"
PRIVATE_FOLDER_MODE = 0o700
# Written to a private folder once it is locked: one without it is being made by another run.
MARKER = ".liverseg.private"


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Keep every other run out of a folder while the block runs.

    Args:
        folder: an output folder; made when missing, and removed again if it is still empty then.

    Raises:
        BlockingIOError: another run is writing to it.
        NotADirectoryError: it is a file.
        OSError: it cannot be made or written.
    """
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "the output should be a folder; it is a file")
    missing = [part for part in (folder, *folder.parents) if not part.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with _lock_file(folder / LOCK_FILE):
            yield
    finally:
        # Only those without anything in them; the first that has something ends it.
        with suppress(OSError):
            for part in missing:
                part.rmdir()


@contextmanager
def private_folder() -> Iterator[Path]:
    """A new folder that only we can read, removed at the end.

    Those that killed runs have left behind are removed first: they hold patients' images. What
    counts is the system's lock on the folder, which ends with the process.

    Raises:
        OSError: the system's temporary folder cannot be written.
    """
    with suppress(OSError):
        for left in Path(tempfile.gettempdir()).glob(f"{PRIVATE_PREFIX}*"):
            with suppress(OSError):
                _remove_stale(left)
    with tempfile.TemporaryDirectory(prefix=PRIVATE_PREFIX) as name:
        descriptor = os.open(name, os.O_RDONLY)
        try:
            _lock(descriptor)
            (Path(name) / MARKER).touch()
            # The content has a folder of its own, without our marker.
            content = Path(name) / "content"
            content.mkdir(mode=PRIVATE_FOLDER_MODE)
            yield content
        finally:
            os.close(descriptor)


@contextmanager
def held(folder: Path, *, shared: bool) -> Iterator[None]:
    """Hold a folder while the block runs, and wait for it: alone, or with others who share it."""
    try:
        import fcntl
    except ImportError:
        # A system without flock: one process at a time is all that is safe there.
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _remove_stale(folder: Path) -> None:
    """Remove a private folder of ours that no run holds; raises OSError where one does."""
    try:
        import fcntl
    except ImportError:
        return
    if not (folder / MARKER).is_file():
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        if os.fstat(descriptor).st_uid == os.geteuid():
            # Not `_lock`, which goes on where the file system has no locks.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder)
    finally:
        os.close(descriptor)


@contextmanager
def _lock_file(path: Path) -> Iterator[None]:
    descriptor = _locked(path)
    while not _is_still(path, descriptor):
        # The run that held it has just removed it.
        os.close(descriptor)
        descriptor = _locked(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _locked(path: Path) -> int:
    """A descriptor of the file, with the system's lock on it."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(path, flags, PRIVATE_MODE)
    try:
        _lock(descriptor)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _lock(descriptor: int) -> None:
    try:
        import fcntl
    except ImportError:
        # A system without flock: two runs on one folder are not kept apart there.
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            sentence = "another run is writing to the output folder; wait for its end"
            raise BlockingIOError(errno.EWOULDBLOCK, sentence) from None
        # Some network shares have no locks; a batch on them must still run.
        if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP):
            raise


def _is_still(path: Path, descriptor: int) -> bool:
    """Whether the name still stands for the locked file."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
