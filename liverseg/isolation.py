"""Do scans in a process of their own, so that a crash, a hang or a greedy one ends that scan only.

One process does scan after scan: the network is loaded once. It is replaced when it has died, or
was killed for passing a limit. What it sends back is JSON: nothing of it is ever unpickled here.
"""

from __future__ import annotations

import json
import logging
import os
import pickle
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import fields
from multiprocessing.connection import wait
from types import TracebackType
from typing import TYPE_CHECKING, Any

from liverseg.errors import ScanRejected
from liverseg.limits import GIB, Limits, out_of_memory_kills, resident_bytes
from liverseg.manifest import Row

if TYPE_CHECKING:
    from liverseg.job import Job
    from liverseg.scans import Scan

logger = logging.getLogger(__name__)

# To load the network: minutes on a slow network drive, and nothing of a scan's doing.
START_TIMEOUT_S = 600.0
# Between two looks at the memory: a process fills some 0.1 GiB in that time.
WATCH_INTERVAL_S = 0.05
# For a process that has closed its pipe to be gone.
END_TIMEOUT_S = 2.0
CHUNK_BYTES = 1 << 16
# A row is 1 kB.
ANSWER_BYTES = 1 << 20
# The module search path is the parent's own, so that the parent's modules are found and nothing
# is imported from the folder that the user happens to be in.
START = (
    "import sys; sys.path[:] = sys.argv[5:]; from liverseg.worker import main; "
    "main(*map(int, sys.argv[1:5]))"
)
# Errors of the start that keep their class: the caller's own doing.
START_ERRORS = {"ValueError": ValueError, "FileNotFoundError": FileNotFoundError}


class Isolated:
    """A job in a process of its own. A context manager: at its end the process is gone.

    Args:
        job: what is done with every scan; it is pickled.
        limits: for every scan.
    """

    def __init__(self, job: Job, limits: Limits) -> None:
        self._job = job
        self._limits = limits
        self._worker: _Worker | None = None

    def __enter__(self) -> Isolated:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    def start(self) -> None:
        """Have a process that is ready for a scan; quick where there is one.

        Raises:
            ValueError: the job cannot begin, or cannot be sent to another process.
            FileNotFoundError: the job lacks a file.
            ScanRejected: the process broke or passed a limit before it was ready.
        """
        if self._worker is not None and self._worker.is_alive():
            return
        # It may have been killed while it waited, which is not the next scan's fault.
        self.end()
        try:
            pickled = pickle.dumps(self._job)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ValueError(f"a job should be one that can be pickled; {error}") from error
        self._worker = _Worker(self._limits.most_bytes)
        answer = self._answer(pickled, START_TIMEOUT_S)
        if "code" in answer:
            self.end()
            if answer.get("error") in START_ERRORS:
                raise START_ERRORS[answer["error"]](answer["detail"])
            raise ScanRejected(answer["code"], answer["detail"])

    def process(self, scan: Scan) -> Row:
        """Do one scan, after `start`.

        Raises:
            ScanRejected: it was refused or failed. A process that crashed, hung or passed a limit
                is gone by then and writes nothing any more; `start` makes a new one.
        """
        answer = self._answer(pickle.dumps(scan), self._limits.timeout_s)
        if "code" in answer:
            raise ScanRejected(answer["code"], answer["detail"])
        return _row(answer["row"])

    def end(self) -> None:
        """Kill the process if there is one, and wait until it is gone."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.kill()

    def _answer(self, request: bytes, timeout_s: float) -> dict[str, Any]:
        """What the process answers; whatever keeps it from answering ends it."""
        if self._worker is None:
            raise ValueError("start() should be called before a request")
        answered = False
        try:
            answer = self._worker.answer(request, timeout_s)
            answered = True
        finally:
            # Also when the batch is interrupted while it waits.
            if not answered:
                self.end()
        if "way" in answer:
            logger.debug("in the scan's process: %s", answer["way"])
        return answer


class _Worker:
    """The process, its two pipes, and a watch on it."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._kills = out_of_memory_kills()
        watched = resident_bytes(os.getpid()) is not None
        request_read, self._requests = os.pipe()
        self._answers, answer_write = os.pipe()
        given = (request_read, answer_write, os.getpid(), 0 if watched else most_bytes)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", START, *map(str, given), *sys.path],
                stdin=subprocess.DEVNULL,
                # What decoders print quotes the data.
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(request_read, answer_write),
                # Ctrl-C is for the parent, which then ends this one.
                start_new_session=True,
            )
        except BaseException:
            os.close(self._requests)
            os.close(self._answers)
            raise
        finally:
            os.close(request_read)
            os.close(answer_write)

    def answer(self, request: bytes, timeout_s: float) -> dict[str, Any]:
        """Send a request and wait for its answer.

        Raises:
            ScanRejected: CRASHED, OUT_OF_MEMORY or TIMEOUT.
        """
        deadline = time.monotonic() + timeout_s
        received = bytearray()
        with suppress(BrokenPipeError):
            # A process that is gone shows below, with its exit status.
            self._send(request)
        while True:
            if wait([self._answers], WATCH_INTERVAL_S):
                chunk = os.read(self._answers, CHUNK_BYTES)
                received += chunk
                if not chunk or len(received) > ANSWER_BYTES:
                    raise self._death()
                if chunk.endswith(b"\n"):
                    answer: dict[str, Any] = json.loads(received)
                    return answer
            if (resident_bytes(self._process.pid) or 0) > self._most_bytes:
                raise _too_greedy(self._most_bytes)
            if time.monotonic() > deadline:
                sentence = f"The scan's process should be done in {timeout_s:g} s; it was not."
                raise ScanRejected("TIMEOUT", sentence)

    def is_alive(self) -> bool:
        """Whether the process is there."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End the process and what it may have started, and wait for it."""
        # Its own group, since it leads a session; gone already when it has been waited for.
        if self._process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.kill()
            self._process.wait()
        os.close(self._requests)
        os.close(self._answers)

    def _send(self, request: bytes) -> None:
        view = memoryview(request)
        while view:
            view = view[os.write(self._requests, view) :]

    def _death(self) -> ScanRejected:
        """Why there will be no answer."""
        try:
            status = self._process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            return ScanRejected("CRASHED", "The scan's process stopped answering.")
        if status == -signal.SIGKILL and out_of_memory_kills() > self._kills:
            return ScanRejected(
                "OUT_OF_MEMORY", "The scan's process needs more memory than there is."
            )
        how = f"signal {_signal_name(-status)}" if status < 0 else f"exit status {status}"
        return ScanRejected("CRASHED", f"The scan's process ended with {how}.")


def _row(columns: dict[str, Any]) -> Row:
    """A row that was sent as JSON, which has no tuples."""
    values = {field.name: columns[field.name] for field in fields(Row)}
    return Row(**(values | {"flags": tuple(values["flags"])}))


def _too_greedy(most_bytes: int) -> ScanRejected:
    limit = f"{most_bytes / GIB:.3g} GiB of memory"
    return ScanRejected("OUT_OF_MEMORY", f"The scan's process may use {limit}; it needed more.")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
