"""The process that does a batch's scans: takes them from a pipe, answers in JSON on another.

It decodes what strangers have sent, so its answers are JSON, never pickles, and whatever its
libraries print goes nowhere.
"""

from __future__ import annotations

import ctypes
import json
import os
import pickle
import signal
import sys
import warnings
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from liverseg.failure import first_cause, raised_by_us, refusal_of, where

if TYPE_CHECKING:
    from liverseg.job import Job
    from liverseg.scans import Scan

Answer = dict[str, Any]

PR_SET_PDEATHSIG = 1  # prctl(2)
# The kernel's first choice when memory runs out: not the batch, not the user's desktop.
OOM_SCORE = "1000"


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
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _restrict(address_space)
    _end_with(parent)
    # Nobody sees them; showing them costs time all the same.
    warnings.simplefilter("ignore")
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
        job: Job = pickle.load(inbox)  # noqa: S301  from our own parent
        job.begin()
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


def _restrict(address_space: int) -> None:
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE)
    try:
        import resource
    except ImportError:
        return
    # A core file holds the patient's images.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if address_space:
        # Where the system has less to give, or does not count, there is nothing to set.
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_AS, (address_space, address_space))


def _end_with(parent: int) -> None:
    """End at once with the parent, also when it is killed in the middle of a scan."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)
