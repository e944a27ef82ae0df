"""A process of its own that is asked things and answers in JSON; a watch ends it at its limits.

Nothing that it sends back is ever unpickled here: it decodes what strangers have sent.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from multiprocessing.connection import wait
from typing import Any

from liverseg.errors import ScanRejected
from liverseg.limits import GIB, out_of_memory_kills, resident_bytes

# Between two looks at the memory: a process fills some 0.1 GiB in that time.
WATCH_INTERVAL_S = 0.05
# For a process that has closed its pipe to be gone.
END_TIMEOUT_S = 2.0
CHUNK_BYTES = 1 << 16
FIRST_DESCRIPTOR = 3  # 0 to 2 are the standard streams
# The module search path is the parent's own, so that the parent's modules are found and nothing
# is imported from the folder that the user happens to be in.
START = (
    "import sys; sys.path[:] = sys.argv[6:]; from importlib import import_module; "
    "import_module(sys.argv[1]).main(*map(int, sys.argv[2:6]))"
)


class Child:
    """The process, its two pipes, and a watch on it.

    Args:
        module: whose main(requests, answers, parent, address_space) the process runs.
        most_bytes: of memory that it may use.
        answer_bytes: that an answer may have.
        what: how a message names it.

    Attributes:
        pipe: descriptor that can be read when `look` has something to tell.
    """

    def __init__(self, module: str, most_bytes: int, answer_bytes: int, what: str) -> None:
        self._most_bytes = most_bytes
        self._answer_bytes = answer_bytes
        self._what = what
        self._kills = out_of_memory_kills()
        self._received = bytearray()
        self._timeout_s = self._deadline = math.inf
        watched = resident_bytes(os.getpid()) is not None
        request_read, self._requests = _pipe()
        self.pipe, answer_write = _pipe()
        given = (request_read, answer_write, os.getpid(), 0 if watched else most_bytes)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", START, module, *map(str, given), *sys.path],
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
            os.close(self.pipe)
            raise
        finally:
            os.close(request_read)
            os.close(answer_write)

    def answer(self, request: bytes, timeout_s: float) -> dict[str, Any]:
        """Send a request and wait for its answer.

        Raises:
            ScanRejected: CRASHED, OUT_OF_MEMORY or TIMEOUT.
        """
        self.ask(request, timeout_s)
        while True:
            wait([self.pipe], WATCH_INTERVAL_S)
            answer = self.look()
            if answer is not None:
                return answer

    def ask(self, request: bytes, timeout_s: float) -> None:
        """Send a request; `look` tells of its answer."""
        self._timeout_s = timeout_s
        self._deadline = time.monotonic() + timeout_s
        self._received.clear()
        with suppress(BrokenPipeError):
            # A process that is gone shows when it is looked at, with its exit status.
            self._send(request)

    def look(self) -> dict[str, Any] | None:
        """The answer, None while there is none; to be called every WATCH_INTERVAL_S.

        Raises:
            ScanRejected: CRASHED, OUT_OF_MEMORY or TIMEOUT.
        """
        while wait([self.pipe], 0):
            chunk = os.read(self.pipe, CHUNK_BYTES)
            self._received += chunk
            if not chunk or len(self._received) > self._answer_bytes:
                raise self._death()
            if chunk.endswith(b"\n"):
                answer: dict[str, Any] = json.loads(self._received)
                return answer
        if self.resident_bytes() > self._most_bytes:
            raise too_greedy(self._what, self._most_bytes)
        if time.monotonic() > self._deadline:
            sentence = f"{self._what} should be done in {self._timeout_s:g} s; it was not."
            raise ScanRejected("TIMEOUT", sentence)
        return None

    def resident_bytes(self) -> int:
        """The memory that it uses; 0 where the system does not tell."""
        return resident_bytes(self._process.pid) or 0

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
        os.close(self.pipe)

    def _send(self, request: bytes) -> None:
        view = memoryview(request)
        while view:
            view = view[os.write(self._requests, view) :]

    def _death(self) -> ScanRejected:
        """Why there will be no answer."""
        try:
            status = self._process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            return ScanRejected("CRASHED", f"{self._what} stopped answering.")
        if status == -signal.SIGKILL and out_of_memory_kills() > self._kills:
            return ScanRejected("OUT_OF_MEMORY", f"{self._what} needs more memory than there is.")
        how = f"signal {_signal_name(-status)}" if status < 0 else f"exit status {status}"
        return ScanRejected("CRASHED", f"{self._what} ended with {how}.")


def _pipe() -> tuple[int, int]:
    """A pipe's two ends, to read and to write, none of them where a process has its own streams.

    Where a caller has closed those, a pipe would come in their place, and Popen would put the
    process's streams over it.
    """
    read, write = os.pipe()
    return _moved(read), _moved(write)


def _moved(descriptor: int) -> int:
    """A descriptor, or one for the same above the standard streams."""
    low = []
    while descriptor < FIRST_DESCRIPTOR:
        low.append(descriptor)
        descriptor = os.dup(descriptor)
    for one in low:
        os.close(one)
    return descriptor


def too_greedy(what: str, most_bytes: int) -> ScanRejected:
    """What is said of a process that has passed its limit."""
    limit = f"{most_bytes / GIB:.3g} GiB of memory"
    return ScanRejected("OUT_OF_MEMORY", f"{what} may use {limit}; it needed more.")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
