"""Standard output and error: set up, and written to whatever they are connected with."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from pathlib import Path


def open_streams() -> None:
    """Connect standard streams that are closed, as schedulers do, with nothing.

    A file that is opened later would get their number, and what is said would go there.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            nothing = Path(os.devnull).open(  # noqa: SIM115  as long as the program
                "r" if name == "stdin" else "w", encoding="utf-8"
            )
            setattr(sys, name, nothing)


def set_up_streams(verbose: bool) -> None:
    """Have names that the terminal's encoding lacks printed; log to standard error if verbose."""
    for stream in (sys.stdout, sys.stderr):
        # A file name that the terminal's encoding does not have must not end the program.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    # pydicom's log quotes values too; ours does not.
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    if verbose:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
        logging.getLogger("liverseg").handlers = [handler]
        logging.getLogger("liverseg").setLevel(logging.DEBUG)


def show(text: str) -> None:
    """Print what was asked for; that its reader went away (| head) is no error.

    Raises:
        ValueError: standard output cannot be written.
    """
    try:
        print(text, flush=True)
    except OSError as error:
        # What is left in the buffer would be tried once more when the program ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            words = os.strerror(error.errno or 0)
            raise ValueError(f"standard output cannot be written: {words}") from None


def tell(text: str) -> None:
    """Print on standard error, if it can be written: what is said there decides nothing."""
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def say(sentence: str, status: int) -> int:
    """One line on standard error, if it can be written; gives the status back."""
    tell(f"liverseg: {' '.join(sentence.split())}")
    return status
