"""What a batch has come to so far: rows, the tables that hold them, the page that shows them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from liverseg.job import Job
from liverseg.manifest import Ledger, Row
from liverseg.scans import Scan

# The detail of a scan that was left out.
NOT_SELECTED = "not selected by the choice of series"
# Called with (None, 0, scans) once the scans are found, then with (row, number, scans) after each.
OnRow = Callable[[Row | None, int, int], None]
# The page of a batch tells of all cases: it is written again after a scan, but in a folder of many
# cases not more often than takes one part in so many of the time.
PAGE_SHARE = 20


class Record:
    """The rows of a batch; the files that tell of them are whole and true at any moment.

    Args:
        output: the batch's folder.
        scans: all that were found, in the order of the rows.
        job: knows what goes with a row.
        on_row: told of every row.
    """

    def __init__(self, output: Path, scans: Sequence[Scan], job: Job, on_row: OnRow | None) -> None:
        self._job = job
        self._order = [scan.case_id for scan in scans]
        self._ledger = Ledger(output, self._order)
        self._on_row = on_row or (lambda row, number, count: None)
        self._rows: dict[str, Row] = {}
        self._page_due_s = 0.0
        self._on_row(None, 0, len(scans))

    @property
    def rows(self) -> list[Row]:
        """One for each scan that is known by now, in the order of the scans."""
        return [self._rows[case_id] for case_id in self._order if case_id in self._rows]

    def add_all(self, known: Iterable[tuple[Scan, Row]]) -> None:
        """Add what needs no work, at once.

        Raises:
            OSError: the folder cannot be written, or is full.
        """
        for scan, row in known:
            if row.status == "rejected":
                self._job.discard(scan.case_id)
            # What an earlier run has found out of a scan that is not asked for now stays.
            if row.detail != NOT_SELECTED or scan.case_id not in self._ledger:
                self._ledger.add(row, scan)
            self._rows[scan.case_id] = row
        self._write()
        for number, row in enumerate(self._rows.values(), 1):
            self._on_row(row, number, len(self._order))

    def add(self, scan: Scan, row: Row) -> None:
        """Add the row of a scan that was done, or could not be; raises as `add_all`."""
        self._ledger.add(row, scan)
        self._rows[scan.case_id] = row
        self._write()
        self._on_row(row, len(self._rows), len(self._order))

    def conclude(self) -> None:
        """Write what tells of all cases, as they are now; raises as `add_all`."""
        self._job.conclude(self._ledger.rows, len(self._order) - len(self._rows))

    def _write(self) -> None:
        self._ledger.write()
        now_s = time.monotonic()
        if now_s >= self._page_due_s:
            self.conclude()
            self._page_due_s = now_s + PAGE_SHARE * (time.monotonic() - now_s)
