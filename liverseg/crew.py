"""Do several scans at a time, each in a process of its own: read ahead, network, write behind.

While one process reads or writes, which takes one core, another's network has the rest. How many
scans there are does not matter to the memory: each process holds one.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from multiprocessing.connection import wait
from typing import TYPE_CHECKING

from liverseg.child import WATCH_INTERVAL_S
from liverseg.errors import ScanRejected
from liverseg.isolation import Isolated
from liverseg.limits import Limits
from liverseg.manifest import Row

if TYPE_CHECKING:
    from liverseg.job import Job
    from liverseg.scans import Scan

logger = logging.getLogger(__name__)


class Crew:
    """Processes that do a job on scans; gone after `close`, with what they had in work.

    Args:
        job: what is done with every scan; it is pickled for each process.
        limits: for every scan, of all processes, and how many of them there are at most.
    """

    def __init__(self, job: Job, limits: Limits) -> None:
        self._job = job
        self._limits = limits
        self._most = limits.most_workers
        self._members: list[Isolated] = []
        self._in_work: dict[str, Scan] = {}  # by case id

    def launch(self) -> None:
        """Have one process get ready while there are no scans yet.

        Raises:
            ValueError: the job cannot be sent to another process.
        """
        self._members.append(Isolated(self._job, self._limits))
        self._members[0].launch()

    def start(self) -> None:
        """Have one process that is ready, so that what ails all of them shows before a scan.

        Raises:
            ValueError: the job cannot begin, or cannot be sent to another process.
            FileNotFoundError: the job lacks a file.
            ScanRejected: the process broke or passed a limit before it was ready.
        """
        if not self._members:
            self.launch()
        self._members[0].start()

    def outcomes(self, scans: Sequence[Scan]) -> Iterator[tuple[Scan, Row | ScanRejected]]:
        """Do scans and tell of each when it is done, failed or refused, in any order.

        Only one that is done leaves files.

        Memory is what the processes share: a scan that has run out of it beside others is done
        again when there are fewer, so that it fails only for what it needs itself.

        Raises:
            ValueError, FileNotFoundError, ScanRejected: as `start`, when no process can be had to
                replace the last.
        """
        waiting = deque(scans)
        while waiting or self._in_work:
            self._hand_out(waiting)
            pipes = [member.pipe for member in self._members if member.pipe is not None]
            wait(pipes, WATCH_INTERVAL_S)
            self._share_memory(waiting)
            for member in tuple(self._members):
                scan = member.scan
                outcome = self._outcome(member)
                if scan is None or outcome is None:
                    continue
                if len(self._members) > 1 and _is_out_of_memory(outcome):
                    self._dismiss(member)
                    self._put_back(scan, waiting)
                    continue
                if isinstance(outcome, ScanRejected):
                    self._job.discard(scan.case_id)
                del self._in_work[scan.case_id]
                yield scan, outcome

    def close(self) -> None:
        """End all processes; what they had in work leaves nothing behind."""
        for member in self._members:
            member.close()
        self._members.clear()
        while self._in_work:
            self._job.discard(next(iter(self._in_work)))
            self._in_work.popitem()

    def _hand_out(self, waiting: deque[Scan]) -> None:
        """Give scans to those who are free, and have as many processes as there is work for."""
        while len(self._members) < min(self._most, len(waiting) + len(self._in_work)):
            self._members.append(Isolated(self._job, self._limits))
        for member in self._members:
            if waiting and member.is_free:
                scan = waiting.popleft()
                self._in_work[scan.case_id] = scan
                member.give(scan)
            elif waiting and member.scan is None:
                member.launch()

    def _outcome(self, member: Isolated) -> Row | ScanRejected | None:
        """What became of a member's scan; None while it is not known."""
        scan = member.scan
        try:
            return member.look()
        except (ScanRejected, ValueError, FileNotFoundError) as error:
            if scan is not None and isinstance(error, ScanRejected):
                return error
            if len(self._members) == 1:
                raise
            # The others can do its work, or tell what is the matter.
            logger.debug("a process more could not start: %s", error)
            self._dismiss(member)
            return None

    def _share_memory(self, waiting: deque[Scan]) -> None:
        """Do with fewer processes when all of them need more memory than they may."""
        used = {member: member.resident_bytes for member in self._members}
        while len(used) > 1 and sum(used.values()) > self._limits.most_bytes:
            largest = max(used, key=lambda member: used[member])
            scan = largest.scan
            self._dismiss(largest)
            del used[largest]
            if scan is not None:
                self._put_back(scan, waiting)

    def _put_back(self, scan: Scan, waiting: deque[Scan]) -> None:
        """Have a scan done again, when there are fewer beside it."""
        self._job.discard(scan.case_id)
        del self._in_work[scan.case_id]
        waiting.append(scan)

    def _dismiss(self, member: Isolated) -> None:
        """Go on with one process fewer."""
        member.close()
        self._members.remove(member)
        self._most = max(1, self._most - 1)


def _is_out_of_memory(outcome: Row | ScanRejected) -> bool:
    return isinstance(outcome, ScanRejected) and outcome.code == "OUT_OF_MEMORY"
