"""What a batch asks of a job that is done with every scan, and how its stages are timed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from liverseg.manifest import Row
    from liverseg.scans import Scan


class Job(Protocol):
    """What is done with every accepted scan of a batch; pickled, to be done in another process.

    The batch asks `results`, `prepare`, `finished`, `discard` and `conclude` of its own copy, and
    each process that does scans `begin` and `process` of its.
    """

    def results(self) -> dict[str, str]:
        """Case id to fingerprint of every result in the output folder; "" where unknown."""

    def prepare(self) -> None:
        """Check what can be checked at once; called before anything is written."""

    def finished(self, scan: Scan) -> Row | None:
        """The row of a scan that an earlier run has done as this one would, after `prepare`."""

    def begin(self) -> None:
        """Get ready for the first scan."""

    def process(self, scan: Scan) -> Row:
        """Do one scan and return its row; raises whatever went wrong."""

    def conclude(self, rows: Sequence[Mapping[str, str]], left: int) -> None:
        """Write what tells of all cases, now and then during a batch and at its end.

        Args:
            rows: of the manifest, as cells, of earlier runs too.
            left: scans of this run that are not done yet.
        """

    def discard(self, case_id: str) -> None:
        """Remove what a case has left behind, finished or not."""


class Stopwatch:
    """Seconds per stage, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time of the block for a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
