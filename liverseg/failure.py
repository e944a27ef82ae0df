"""What an exception may say in public: its first cause, its place in the code, never its data."""

from __future__ import annotations

import errno
import os
import traceback
from pathlib import Path

from liverseg.errors import ScanRejected
from liverseg.memory import is_out_of_memory

# Codes of a scan that was accepted and then went wrong, where a rejected one was refused.
FAILURES = frozenset({"FAILED", "NOT_WRITABLE", "CRASHED", "OUT_OF_MEMORY", "TIMEOUT"})
# Errors of the operating system that only writing brings about.
NOT_WRITABLE = (errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EFBIG)
PACKAGE_FOLDER = Path(__file__).parent


def first_cause(error: BaseException) -> BaseException:
    """The error that a transform or a config item raised, without MONAI's wrapping around it.

    MONAI wraps with `raise RuntimeError(...) from error`, once a level.
    """
    while isinstance(error, RuntimeError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def refusal_of(error: BaseException) -> ScanRejected:
    """The code and the sentence for a scan that ended with an error.

    Args:
        error: a ScanRejected, wrapped or not, is returned as it is. Of any other only the class
            and the place in our code are told: messages of other libraries quote values of the
            data, which may be a patient's.

    Returns:
        A refusal; for what was none its code is OUT_OF_MEMORY, FAILED, or CRASHED when it is no
        Exception: a decoder's panic, or a library that wants to end the program; NOT_WRITABLE when
        the disk is full or may not be written.
    """
    cause = first_cause(error)
    if isinstance(cause, ScanRejected):
        return cause
    if is_out_of_memory(cause):
        return ScanRejected("OUT_OF_MEMORY", "The scan needs more memory than there is.")
    kind = type(cause).__name__
    if not isinstance(cause, Exception):
        return ScanRejected("CRASHED", f"A {kind} in {place(cause)} ended the scan.")
    if isinstance(cause, OSError) and cause.errno in NOT_WRITABLE:
        sentence = f"The output folder cannot be written: {os.strerror(cause.errno)}."
        return ScanRejected("NOT_WRITABLE", sentence)
    if isinstance(cause, OSError) and cause.errno is not None:
        # The operating system's own words for the number: the message would hold a path.
        kind = f"{kind} {cause.errno}"
    return ScanRejected("FAILED", f"Unexpected {kind} in {place(cause)}.")


def place(error: BaseException) -> str:
    """The innermost line of ours that the error passed: "grid.py, line 12"."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if PACKAGE_FOLDER in Path(frame.filename).parents]
    if not ours:
        return "another library"
    return f"{Path(ours[-1].filename).name}, line {ours[-1].lineno}"


def raised_by_us(error: BaseException) -> bool:
    """Whether the error was raised in this package: its message then holds nothing it may not."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and PACKAGE_FOLDER in Path(frames[-1].filename).parents


def where(error: BaseException) -> str:
    """The way of an error through the code, innermost last, without messages, values or source."""
    parts = []
    link: BaseException | None = error
    while link is not None:
        frames = traceback.extract_tb(link.__traceback__)
        lines = [f"  {frame.filename}:{frame.lineno} in {frame.name}" for frame in frames]
        parts.append("\n".join([f"{type(link).__name__}, raised by way of", *lines]))
        link = link.__cause__
    return "\n".join(reversed(parts))


def is_about(error: OSError, output: Path) -> bool:
    """Whether the system refused the output, what is in it or the folder that it shall be in."""
    if not isinstance(error.filename, (str, os.PathLike)):
        return False
    path, output = Path(error.filename).absolute(), output.absolute()
    is_part = path.parent == output.parent and path.name.startswith(f".{output.name}.")
    return is_part or path.is_relative_to(output) or output.is_relative_to(path)
