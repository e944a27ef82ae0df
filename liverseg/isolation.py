"""Do scans in a process of their own, so that a crash, a hang or a greedy one ends that scan only.

One process does scan after scan: the network is loaded once. It is replaced when it has died, or
was killed for passing a limit. What it sends back is JSON: nothing of it is ever unpickled here.
"""

from __future__ import annotations

import logging
import pickle
from dataclasses import fields
from types import TracebackType
from typing import TYPE_CHECKING, Any

from liverseg.child import Child
from liverseg.errors import ScanRejected
from liverseg.limits import Limits
from liverseg.manifest import Row

if TYPE_CHECKING:
    from liverseg.job import Job
    from liverseg.scans import Scan

logger = logging.getLogger(__name__)

# To load the network: minutes on a slow network drive, and nothing of a scan's doing.
START_TIMEOUT_S = 600.0
# A row is 1 kB.
ANSWER_BYTES = 1 << 20
MODULE = "liverseg.worker"
WHAT = "The scan's process"
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
        self._worker: Child | None = None

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
        self._worker = Child(MODULE, self._limits.most_bytes, ANSWER_BYTES, WHAT)
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


def _row(columns: dict[str, Any]) -> Row:
    """A row that was sent as JSON, which has no tuples."""
    values = {field.name: columns[field.name] for field in fields(Row)}
    return Row(**(values | {"flags": tuple(values["flags"])}))
