"""What a batch shows while it runs: one bar and one line a scan, on stderr."""

from __future__ import annotations

import math
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from tqdm import tqdm

    from liverseg.manifest import Row


class BatchProgress:
    """A bar over the scans of a batch; call it as `on_row` of liverseg.batch.

    Args:
        quiet: show nothing.
    """

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._bar: tqdm[NoReturn] | None = None

    def __call__(self, row: Row | None, number: int, count: int) -> None:
        """Move the bar and say what became of a scan.

        Args:
            row: of the scan just done; None when the scans have been found.
            number: of that scan, from 1.
            count: of all scans.
        """
        if self._quiet:
            return
        if self._bar is None:
            from tqdm import tqdm

            # disable=None: no bar where stderr is a file, only the lines.
            self._bar = tqdm(
                total=count,
                unit="scan",
                desc="liverseg",
                file=sys.stderr,
                leave=False,
                disable=None,
            )
        if row is not None:
            # A terminal that is gone, or a full disk behind stderr, is no matter of the scans.
            with suppress(OSError):
                self._bar.write(line_of(row, number, count), file=sys.stderr)
                self._bar.update()

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()


def line_of(row: Row, number: int, count: int) -> str:
    """One scan in one line, without paths or identifiers."""
    start = f"[{number}/{count}] {row.case_id} {row.status}"
    if row.code:
        return f"{start} {row.code}: {row.detail}"
    parts = [row.detail] if row.detail else []
    if not math.isnan(row.volume_ml):
        parts.append(f"{row.volume_ml:.2f} ml")
    parts.extend(row.flags)
    if row.status == "done" and not math.isnan(row.seconds):
        parts.append(f"{row.seconds:.1f} s")
    return f"{start} {', '.join(parts)}".rstrip()
