"""One run at a time in an output folder: a second one is refused before it writes anything."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from liverseg.outputs import PRIVATE_MODE

# Removed at the end of a run. One that a killed run has left behind holds nobody up: what counts
# is the system's lock on it, which ends with the process.
LOCK_FILE = ".liverseg.lock"


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
