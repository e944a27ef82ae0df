"""Do scans in a process of their own, so that a crash, a hang or a greedy one ends that scan only.

One process does scan after scan: the network is loaded once. It is replaced when it has died, or
was killed for passing a limit. What it sends back is JSON: nothing of it is ever unpickled here.
"""

from __future__ import annotations

import logging
import pickle
from dataclasses import fields
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any

from liverseg.child import WATCH_INTERVAL_S, Child
from liverseg.errors import ScanRejected
from liverseg.interrupts import held_back
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
    """A job in a process of its own, which does one scan at a time; gone after `close`.

    Args:
        job: what is done with every scan; it is pickled.
        limits: for every scan.

    Attributes:
        scan: the one that it is doing; None while it gets ready, waits, or is gone.
    """

    def __init__(self, job: Job, limits: Limits) -> None:
        self._job = job
        self._limits = limits
        self._worker: Child | None = None
        self._ready = False
        self.scan: Scan | None = None

    def launch(self) -> None:
        """Start the process, which `look` then finds ready; nothing where there is one.

        Raises:
            ValueError: the job cannot be sent to another process.
        """
        if self._worker is not None and self._worker.is_alive():
            return
        # It may have been killed while it waited, which is not the next scan's fault.
        self.close()
        try:
            pickled = pickle.dumps(self._job)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ValueError(f"a job should be one that can be pickled; {error}") from error
        with held_back():
            self._worker = Child(MODULE, self._limits.most_bytes, ANSWER_BYTES, WHAT)
        self._worker.ask(pickled, START_TIMEOUT_S)

    @property
    def is_free(self) -> bool:
        """Whether the process is there and waits for a scan."""
        return self._is_idle and self._worker is not None and self._worker.is_alive()

    @property
    def _is_idle(self) -> bool:
        """Whether it has nothing to tell; it may have been killed meanwhile."""
        return self._ready and self.scan is None

    @property
    def pipe(self) -> int | None:
        """Descriptor that can be read when `look` has something to tell; None without one."""
        return None if self._worker is None or self._is_idle else self._worker.pipe

    @property
    def resident_bytes(self) -> int:
        """The memory that the process uses; 0 without one."""
        return 0 if self._worker is None else self._worker.resident_bytes()

    def give(self, scan: Scan) -> None:
        """Have a scan done by a process that is free."""
        if self._worker is None or not self.is_free:
            raise ValueError("a process should be free when it is given a scan")
        self._worker.ask(pickle.dumps(scan), self._limits.timeout_s)
        self.scan = scan

    def look(self) -> Row | None:
        """The row of the scan; None while it is not done, or there is none.

        Raises:
            ScanRejected: the scan was refused or failed, or the process broke before it was
                ready. One that crashed, hung or passed a limit is gone by then and writes
                nothing any more; `launch` makes a new one.
            ValueError: the job cannot begin.
            FileNotFoundError: the job lacks a file.
        """
        if self._worker is None or self._is_idle:
            return None
        try:
            answer = self._worker.look()
        except ScanRejected:
            self.close()
            raise
        return None if answer is None else self._told(answer)

    def start(self) -> None:
        """Have a process that is free: launch one and wait; raises as `look`."""
        self.launch()
        while not self._ready:
            if self.pipe is not None:
                wait([self.pipe], WATCH_INTERVAL_S)
            self.look()

    def close(self) -> None:
        """Kill the process if there is one, and wait until it is gone."""
        with held_back():
            worker, self._worker = self._worker, None
            self._ready, self.scan = False, None
            if worker is not None:
                worker.kill()

    def _told(self, answer: dict[str, Any]) -> Row | None:
        """What an answer means."""
        if "way" in answer:
            logger.debug("in the scan's process: %s", answer["way"])
        begun, self._ready, self.scan = self._ready, True, None
        if "code" not in answer:
            return _row(answer["row"]) if begun else None
        if not begun:
            self.close()
            if answer.get("error") in START_ERRORS:
                raise START_ERRORS[answer["error"]](answer["detail"])
        raise ScanRejected(answer["code"], answer["detail"])


def _row(columns: dict[str, Any]) -> Row:
    """A row that was sent as JSON, which has no tuples."""
    values = {field.name: columns[field.name] for field in fields(Row)}
    return Row(**(values | {"flags": tuple(values["flags"])}))
