"""The page of a batch: counts, a row and a picture a scan, and what was not segmented, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template

from liverseg.report.html import DASH, TIMES, figure, policy, template

# A picture lies beside the page; what "self" means to a file differs between browsers.
IMAGES = "'self' file:"
NOT_SELECTED = "skipped"

# What makes a page one of ours: the title of the template, and where it ends at the latest.
TITLE = "<title>Livers of this batch</title>"
HEAD_BYTES = 4096

Cells = Mapping[str, str]


def index_page(
    rows: Sequence[Cells], pages: Collection[str], pictures: Collection[str], left: int = 0
) -> str:
    """The page of a batch.

    Args:
        rows: of manifest.csv: column to cell.
        pages: case ids that have a report.html.
        pictures: case ids that have a preview.png.
        left: series that the batch has not come to, as it is running or was stopped.

    Returns:
        HTML, every text in it escaped. Times are not shown, and a result of an earlier run is
        shown as one of this: the page tells what is there, not how it came about.
    """
    done = [row for row in rows if row["volume_ml"]]
    others = [row for row in rows if not row["volume_ml"]]
    style, script = template("style.css"), template("index.js")
    versions = sorted({row["version"] for row in rows if row["version"]})
    return Template(template("index.html")).substitute(
        policy=policy([script], [style], IMAGES),
        style=style,
        counts=_counts(done, others, left),
        done=_done_table(done, pages, pictures),
        refused=_others_table(others),
        version=escape(f"liverseg {', '.join(versions)}." if versions else ""),
        script=script,
    )


def is_index_page(path: Path) -> bool:
    """Whether a file is the page of a batch, of whatever version of ours."""
    with path.open("rb") as file:
        return TITLE.encode() in file.read(HEAD_BYTES)


def _counts(done: Sequence[Cells], others: Sequence[Cells], left: int) -> str:
    statuses = Counter(row["status"] for row in others)
    volumes = [float(row["volume_ml"]) for row in done]
    shown = [figure("Segmented", str(len(done)), kind="main")]
    shown.append(figure("Flagged", str(sum(bool(_codes(row)) for row in done))))
    shown += [
        figure(name, str(statuses[status]))
        for status, name in (
            ("rejected", "Rejected"),
            ("failed", "Failed"),
            (NOT_SELECTED, "Not selected"),
        )
        if statuses[status] or status != NOT_SELECTED
    ]
    if left:
        shown.append(figure("Not yet done", str(left)))
    if volumes:
        low, high = min(volumes), max(volumes)
        span = f"{low:.2f}" if low == high else f"{low:.2f} {DASH} {high:.2f}"
        shown.append(figure("Volume", span, "ml"))
    return "".join(shown)


def _codes(row: Cells) -> list[str]:
    """Flags that a reader should look at; notes are on the scan's own page."""
    return [code for code in row["flags"].split(";") if code not in ("", "NOTE")]


def _head(columns: Sequence[tuple[str, bool]]) -> str:
    cells = []
    for name, numeric in columns:
        mark = ' class="number"' if numeric else ""
        content = f'<button type="button">{escape(name)}</button>' if name else ""
        cells.append(f'<th scope="col"{mark}>{content}</th>')
    return f"<thead><tr>{''.join(cells)}</tr></thead>"


def _table(name: str, head: str, rows: Sequence[str]) -> str:
    table = f'<table class="cases" id="{name}">{head}<tbody>{"".join(rows)}</tbody></table>'
    return f'<div class="wide">{table}</div>'


def _cell(name: str, shown: str, key: str | None = None, numeric: bool = False) -> str:
    """A cell of HTML, with the text that it is sorted by."""
    mark = ' class="number"' if numeric else ""
    sorted_by = "" if key is None else f' data-key="{escape(key)}"'
    return f'<td{mark} data-name="{escape(name)}"{sorted_by}>{shown}</td>'


def _done_table(rows: Sequence[Cells], pages: Collection[str], pictures: Collection[str]) -> str:
    if not rows:
        return '<p class="calm">No scan was segmented.</p>'
    columns = [
        ("", False),
        ("Case", False),
        ("Volume, ml", True),
        ("Mean, HU", True),
        ("Flags", False),
        ("Slices", True),
        ("Spacing, mm", True),
    ]
    return _table("done", _head(columns), [_done_row(row, pages, pictures) for row in rows])


def _done_row(row: Cells, pages: Collection[str], pictures: Collection[str]) -> str:
    case_id = row["case_id"]
    folder = f"cases/{escape(case_id)}"
    to = f"{folder}/report.html" if case_id in pages else f"{folder}/report.json"
    picture = ""
    if case_id in pictures:
        image = (
            f'<img src="{folder}/preview.png" loading="lazy" '
            f'alt="Three slices of {escape(case_id)}">'
        )
        picture = f'<a href="{to}" tabindex="-1">{image}</a>'
    spacing = [_short(row[f"spacing_{axis}_mm"]) for axis in "xyz"]
    codes = _codes(row)
    chips = "".join(f'<span class="chip">{escape(code)}</span>' for code in codes)
    cells = [
        _cell("", picture),
        _cell("Case", f'<a class="id" href="{to}">{escape(case_id)}</a>', case_id),
        _cell("Volume", _with_unit(row["volume_ml"], "ml"), row["volume_ml"], True),
        _cell("Mean", _with_unit(row["mean_hu"], "HU"), row["mean_hu"], True),
        _cell("Flags", chips or f'<span class="calm">{DASH}</span>', " ".join(codes)),
        _cell("Slices", escape(row["slices"]), row["slices"], True),
        _cell("Spacing", escape(f" {TIMES} ".join(spacing)), spacing[2], True),
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _short(mm: str) -> str:
    """A spacing to three digits; the manifest has all of them."""
    return f"{float(mm):.3g}" if mm else ""


def _with_unit(number: str, unit: str) -> str:
    return f'{escape(number)}<span class="unit">{unit}</span>' if number else DASH


def _others_table(rows: Sequence[Cells]) -> str:
    if not rows:
        return '<p class="calm">Every series was segmented.</p>'
    columns = [("Case", False), ("Status", False), ("Code", False), ("Reason", False)]
    columns += [("Modality", False), ("Slices", True)]
    body = []
    for row in rows:
        status = escape(row["status"])
        mark = "calm" if row["status"] == NOT_SELECTED else "bad"
        cells = [
            _cell("", f'<span class="id">{escape(row["case_id"])}</span>'),
            _cell("", f'<span class="{mark}">{status}</span>'),
            _cell("", f"<code>{escape(row['code'])}</code>" if row["code"] else ""),
            f'<td class="reason">{escape(row["detail"])}</td>',
            _cell("Modality", escape(row["modality"])),
            _cell("Slices", escape(row["slices"]), row["slices"], True),
        ]
        body.append(f"<tr>{''.join(cells)}</tr>")
    table = (
        f'<table class="cases" id="others">{_head(columns)}<tbody>{"".join(body)}</tbody></table>'
    )
    return f'<div class="wide">{table}</div>'
