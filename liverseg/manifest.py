"""manifest.csv and linkage.csv: one row a series found, valid at any moment of a batch."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from liverseg import __version__
from liverseg.layout import MANIFEST_FILE
from liverseg.outputs import PRIVATE_MODE, write_text

if TYPE_CHECKING:
    from liverseg.scans import Scan

Status = Literal["done", "rejected", "failed", "skipped"]
LINKAGE_COLUMNS = ("case_id", "source", "study_uid", "series_uid")
FLAG_SEPARATOR = ";"


@dataclass(frozen=True)
class Row:
    """A series found and what became of it; the fields are the columns of manifest.csv.

    Args:
        case_id: names the case's folder.
        status: done, rejected, failed, or skipped (done by an earlier run, or not selected).
        code: why it was rejected or failed, a key of errors.CODES; "" otherwise.
        detail: one sentence to go with the code, without paths or identifiers.
        modality: as in DICOM; "" when unknown.
        slices: 0 when unknown; so are the next two.
        rows: voxels of a slice, top to bottom.
        columns: voxels of a slice, left to right.
        spacing_x_mm: NaN (an empty cell) when unknown; so are the next two.
        spacing_y_mm: as spacing_x_mm.
        spacing_z_mm: as spacing_x_mm.
        volume_ml: to 0.01; NaN unless segmented, 0.0 when no liver was found.
        mean_hu: to 0.01; NaN unless a liver was found.
        flags: codes of report/flags.py, joined with ";" in the file.
        seconds: spent on this scan; NaN when it was not processed.
        engine: what ran the network.
        weights_sha256: of the weights used.
        version: of this package.
    """

    case_id: str
    status: Status
    code: str = ""
    detail: str = ""
    modality: str = ""
    slices: int = 0
    rows: int = 0
    columns: int = 0
    spacing_x_mm: float = math.nan
    spacing_y_mm: float = math.nan
    spacing_z_mm: float = math.nan
    volume_ml: float = math.nan
    mean_hu: float = math.nan
    flags: tuple[str, ...] = ()
    seconds: float = math.nan
    engine: str = ""
    weights_sha256: str = ""
    version: str = ""

    def cells(self) -> dict[str, str]:
        """The row as text: a column name to a cell."""
        return {column: _cell(column, getattr(self, column)) for column in COLUMNS}


def new_row(scan: Scan, status: Status, code: str = "", detail: str = "") -> Row:
    """A row with what discovery knows of a scan."""
    x_mm, y_mm, z_mm = scan.spacing_mm
    return Row(
        case_id=scan.case_id,
        status=status,
        code=code,
        detail=detail,
        modality=scan.modality,
        slices=scan.slices,
        rows=scan.rows,
        columns=scan.columns,
        spacing_x_mm=x_mm,
        spacing_y_mm=y_mm,
        spacing_z_mm=z_mm,
        version=__version__,
    )


COLUMNS = tuple(field.name for field in fields(Row))


def _cell(column: str, value: object) -> str:
    if isinstance(value, tuple):
        return FLAG_SEPARATOR.join(value)
    if isinstance(value, float):
        if math.isnan(value):
            return ""
        return f"{value:.6g}" if column.startswith("spacing") else f"{value:.2f}"
    # A cell is one line, whatever an error said.
    return " ".join(str(value).split())


class Ledger:
    """The two tables of an output folder; rows of earlier runs are kept, by case_id.

    Args:
        folder: the output folder, which must exist.
        order: case ids of this run's scans, whose rows come in this order, after those of others.

    Raises:
        OSError: a table that is there cannot be read.
        ValueError: a file of that name is there and is not such a table, or a damaged one.
    """

    def __init__(self, folder: Path, order: Sequence[str] = ()) -> None:
        self._place = {case_id: place for place, case_id in enumerate(order)}
        self._manifest = folder / MANIFEST_FILE
        self._linkage = folder / "linkage.csv"
        self._rows = _read(self._manifest, COLUMNS)
        self._links = _read(self._linkage, LINKAGE_COLUMNS)

    def __contains__(self, case_id: str) -> bool:
        return case_id in self._rows

    @property
    def rows(self) -> list[dict[str, str]]:
        """Every row as cells, of this run and of earlier ones."""
        return self._in_order(self._rows)

    def add(self, row: Row, scan: Scan) -> None:
        r"""Add a row, or replace that of the same case; `write` writes it.

        A source whose name is no UTF-8 has its other bytes as \xNN: every reader can decode it.
        """
        self._links[row.case_id] = {
            "case_id": row.case_id,
            "source": os.fsencode(scan.source).decode("utf-8", "backslashreplace"),
            "study_uid": scan.study_uid,
            "series_uid": scan.series_uid,
        }
        earlier = self._rows.get(row.case_id, {})
        # A conversion knows less than the segmentation of the same scan, whose result stays.
        if not (row.status == "done" and math.isnan(row.volume_ml) and earlier.get("volume_ml")):
            self._rows[row.case_id] = row.cells()

    def write(self) -> None:
        """Write both tables. The linkage goes first: every row of the manifest has its link.

        Raises:
            OSError: the folder cannot be written, or is full; a table stays as it was.
        """
        write_text(self._linkage, _csv(self._in_order(self._links), LINKAGE_COLUMNS), PRIVATE_MODE)
        write_text(self._manifest, _csv(self._in_order(self._rows), COLUMNS))

    def _in_order(self, rows: dict[str, dict[str, str]]) -> list[dict[str, str]]:
        """Rows as they are listed, whichever was done first."""
        # Stable: those of other scans keep their order.
        return sorted(rows.values(), key=lambda row: self._place.get(row["case_id"], -1))


def _csv(rows: Sequence[dict[str, str]], columns: tuple[str, ...]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _read(path: Path, columns: tuple[str, ...]) -> dict[str, dict[str, str]]:
    if not path.exists():
        return {}
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as stream:
        table = csv.DictReader(stream)
        if tuple(table.fieldnames or ()) != columns:
            raise ValueError(
                f"{path.name} in the output folder should have the columns {', '.join(columns)}; "
                "it is another file: choose another output folder"
            )
        rows = list(table)
    for number, row in enumerate(rows, 1):
        # DictReader puts too many cells under None, and None for too few.
        if None in row or None in row.values():
            raise ValueError(
                f"{path.name} in the output folder should have {len(columns)} cells in each row; "
                f"row {number} has others: mend it or choose another output folder"
            )
    return {row["case_id"]: row for row in rows}
