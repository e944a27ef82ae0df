"""The two tables: columns, cells, privacy, and what they refuse."""

from __future__ import annotations

import csv
import dataclasses
import math
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from liverseg.manifest import COLUMNS, Ledger, Row, new_row
from liverseg.scans import Scan


def scan(case_id: str, source: str = "in/a") -> Scan:
    return Scan(case_id, Path(source), "dicom", (), study_uid="1.2", series_uid="1.2.3")


def add(folder: Path, *scans: Scan, order: Sequence[str] = ()) -> None:
    ledger = Ledger(folder, order)
    for one in scans:
        ledger.add(new_row(one, "done"), one)
    ledger.write()


def sources(folder: Path) -> list[str]:
    """What linkage.csv says, read as any program reads UTF-8."""
    with (folder / "linkage.csv").open(encoding="utf-8", newline="") as stream:
        return [row["source"] for row in csv.DictReader(stream)]


def test_columns_are_those_of_the_contract() -> None:
    assert ",".join(COLUMNS) == (
        "case_id,status,code,detail,modality,slices,rows,columns,spacing_x_mm,spacing_y_mm,"
        "spacing_z_mm,volume_ml,mean_hu,flags,seconds,engine,weights_sha256,version"
    )


def test_unknown_numbers_are_empty_cells_and_flags_are_joined() -> None:
    row = Row("c", "done", volume_ml=0.0, mean_hu=math.nan, flags=("NO_LIVER", "NOTE"))
    cells = row.cells()
    assert (cells["volume_ml"], cells["mean_hu"], cells["spacing_x_mm"]) == ("0.00", "", "")
    assert cells["flags"] == "NO_LIVER;NOTE"


def test_detail_is_one_line_whatever_an_error_said() -> None:
    assert Row("c", "failed", detail="one\n  two\r\nthree").cells()["detail"] == "one two three"


def test_path_with_comma_quote_and_newline_comes_back(tmp_path: Path) -> None:
    odd = 'in/Müller, "A"\nB'
    add(tmp_path, scan("c1", odd))
    add(tmp_path, scan("c2"))
    assert sources(tmp_path) == [odd, "in/a"]


def test_bytes_of_a_path_that_are_no_utf_8_leave_the_table_readable(tmp_path: Path) -> None:
    add(tmp_path, scan("c1", os.fsdecode(b"in/M\xfcller")))
    add(tmp_path, scan("c2"))
    assert sources(tmp_path) == [r"in/M\xfcller", "in/a"]


def test_conversion_keeps_what_a_segmentation_of_the_scan_has_found(tmp_path: Path) -> None:
    one = scan("c1")
    found = dataclasses.replace(
        new_row(one, "done"), volume_ml=1482.5, mean_hu=109.86, flags=("TILTED",)
    )
    for row in (found, new_row(one, "done")):
        ledger = Ledger(tmp_path)
        ledger.add(row, one)
        ledger.write()
    assert Ledger(tmp_path).rows == [found.cells()]
    ledger = Ledger(tmp_path)
    ledger.add(new_row(one, "failed", "CRASHED", "it crashed"), one)
    assert [row["status"] for row in ledger.rows] == ["failed"]


@pytest.mark.parametrize("name", ["manifest.csv", "linkage.csv"])
@pytest.mark.parametrize("row", ["c9,1,2", "c9" + "," * 30])
def test_damaged_row_is_refused_by_file_and_number(tmp_path: Path, name: str, row: str) -> None:
    add(tmp_path, scan("c1"))
    before = (tmp_path / name).read_text() + row + "\n"
    (tmp_path / name).write_text(before)
    with pytest.raises(ValueError, match=rf"{name} in the output folder .* row 2 has others"):
        Ledger(tmp_path)
    assert (tmp_path / name).read_text() == before


def test_table_that_is_no_manifest_is_refused(tmp_path: Path) -> None:
    (tmp_path / "linkage.csv").write_text("a,b\n")
    with pytest.raises(ValueError, match=r"linkage\.csv in the output folder should have"):
        Ledger(tmp_path)


def test_rows_come_in_the_order_of_the_scans_whichever_was_done_first(tmp_path: Path) -> None:
    add(tmp_path, scan("earlier"), scan("c2"))
    add(tmp_path, scan("c3"), scan("c1"), order=["c1", "c2", "c3"])
    for name in ("manifest.csv", "linkage.csv"):
        with (tmp_path / name).open(newline="") as stream:
            listed = [row["case_id"] for row in csv.DictReader(stream)]
        assert listed == ["earlier", "c1", "c2", "c3"]
