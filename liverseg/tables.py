"""Results as text that a person can read: the end of a batch, the series of a folder."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from liverseg.errors import CODES

if TYPE_CHECKING:
    from liverseg.manifest import Row
    from liverseg.scans import Scan

GAP = "  "
# What stands for a character that could move the cursor or change colours on a terminal.
UNPRINTABLE = "\ufffd"


def batch_summary(rows: Sequence[Row], output: str, index: str = "") -> str:
    """How a batch ended: counts, refusals by code, volumes, and where the results are.

    Args:
        rows: of the batch.
        output: the folder as the user gave it.
        index: the page of the batch, "" where there is none.
    """
    statuses = Counter(row.status for row in rows)
    lines = [["series found", str(len(rows))]]
    lines += [[status, str(statuses[status])] for status in ("done", "skipped") if statuses[status]]
    for status in ("rejected", "failed"):
        codes = Counter(row.code for row in rows if row.status == status)
        lines += [
            [status, f"{count}{GAP}{code}: {CODES.get(code, '')}"]
            for code, count in sorted(codes.items())
        ]
    volumes = [row.volume_ml for row in rows if not math.isnan(row.volume_ml)]
    if volumes:
        low, high = min(volumes), max(volumes)
        span = f"{low:.2f} ml" if low == high else f"{low:.2f} to {high:.2f} ml"
        lines.append(["liver volume", span])
    flags = Counter(flag for row in rows for flag in row.flags if flag != "NOTE")
    lines += [["flagged", f"{count}{GAP}{flag}"] for flag, count in sorted(flags.items())]
    lines.append(["results", printable(output)])
    if index:
        lines.append(["to look at", printable(index)])
    return aligned(lines)


def series_table(scans: Sequence[Scan]) -> str:
    """The series of a folder, a line each; refused ones with their reason below."""
    header = ["CASE", "VERDICT", "MODALITY", "SLICES", "MATRIX", "SPACING MM", "SOURCE"]
    cells = [[*_cells(scan), printable(str(scan.source))] for scan in scans]
    first, *lines = aligned([header, *cells]).splitlines()
    text = [first]
    for scan, line in zip(scans, lines, strict=True):
        text.append(line)
        if not scan.accepted:
            text.append(f"{GAP}{scan.code}: {printable(scan.reason)}")
        text.extend(f"{GAP}note: {printable(note)}" for note in scan.notes)
    accepted = sum(scan.accepted for scan in scans)
    text.append(f"{accepted} of {len(scans)} accepted")
    return "\n".join(text)


def _cells(scan: Scan) -> list[str]:
    known = [mm for mm in scan.spacing_mm if not math.isnan(mm)]
    return [
        scan.case_id,
        "accepted" if scan.accepted else "rejected",
        printable(scan.modality) or "-",
        str(scan.slices),
        f"{scan.columns}x{scan.rows}" if scan.rows else "-",
        " ".join(f"{mm:.3f}" for mm in scan.spacing_mm) if known else "-",
    ]


def series_json(scan: Scan) -> dict[str, Any]:
    """A scan as `liverseg inspect --json` lists it; an unknown spacing is null."""
    return {
        "case_id": scan.case_id,
        "source": str(scan.source),
        "verdict": "accepted" if scan.accepted else "rejected",
        "code": scan.code,
        "reason": scan.reason,
        "modality": scan.modality,
        "slices": scan.slices,
        "rows": scan.rows,
        "columns": scan.columns,
        "spacing_mm": [None if math.isnan(mm) else mm for mm in scan.spacing_mm],
        "notes": list(scan.notes),
    }


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Rows of cells as lines of text with the columns one below the other."""
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    return "\n".join(
        GAP.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def printable(text: str) -> str:
    """Text that a terminal only shows: file names may hold control characters."""
    return "".join(letter if letter.isprintable() else UNPRINTABLE for letter in text)
