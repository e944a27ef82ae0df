"""The process that does a batch's scans: takes them from a pipe, answers in JSON on another.

It decodes what strangers have sent, so its answers are JSON, never pickles, and whatever its
libraries print goes nowhere.
"""

from __future__ import annotations

import gc
import json
import os
import pickle
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, BinaryIO

from liverseg.failure import first_cause, raised_by_us, refusal_of, where
from liverseg.quick_imports import left_out
from liverseg.restrain import restrain

if TYPE_CHECKING:
    from liverseg.job import Job
    from liverseg.scans import Scan

Answer = dict[str, Any]


def main(requests: int, answers: int, parent: int, address_space: int) -> None:
    """Answer requests until there are none.

    Args:
        requests: descriptor to read from: a pickled Job, then pickled Scans.
        answers: descriptor to write to, a line of JSON a request: {"row": {...}}, or "code",
            "detail" and "way" of what went wrong; of a Job's start also "error", the class.
        parent: id of the process to end with.
        address_space: limit in bytes, for systems where resident memory cannot be watched;
            0 for none.
    """
    restrain(parent, address_space)
    with os.fdopen(requests, "rb") as inbox, os.fdopen(answers, "wb") as outbox:
        job, answer = _begun(inbox)
        _send(outbox, answer)
        while job is not None:
            try:
                scan = pickle.load(inbox)  # noqa: S301  from our own parent
            except EOFError:
                return
            _send(outbox, _done(job, scan))


def _begun(inbox: BinaryIO) -> tuple[Job | None, Answer]:
    """The job, ready, or None and why not."""
    try:
        # What is imported stays: to look for garbage in it takes a sixth of the time to import.
        gc.disable()
        job: Job = pickle.load(inbox)  # noqa: S301  from our own parent
        with left_out(getattr(job, "left_out", ())):
            job.begin()
        gc.freeze()
        gc.enable()
    except BaseException as error:  # noqa: BLE001  whatever it is, the parent tells it
        cause = first_cause(error)
        told = {"error": type(cause).__name__, "detail": str(cause)} if raised_by_us(cause) else {}
        return None, _refused(error) | told
    return job, {}


def _done(job: Job, scan: Scan) -> Answer:
    """What became of a scan."""
    try:
        return {"row": asdict(job.process(scan))}
    # Not only Exceptions: decoders written in Rust end in a PanicException, and a library that
    # calls sys.exit() must not end the batch.
    except BaseException as error:  # noqa: BLE001
        return _refused(error)


def _refused(error: BaseException) -> Answer:
    refusal = refusal_of(error)
    return {"code": refusal.code, "detail": refusal.detail, "way": where(error)}


def _send(outbox: BinaryIO, answer: Answer) -> None:
    outbox.write(json.dumps(answer).encode() + b"\n")
    outbox.flush()
