"""The page of a batch in a real browser: counts, sorting, links, no requests."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Seen, chromium, opened, sheets
from PIL import Image
from playwright.sync_api import Browser

from liverseg.manifest import Row
from liverseg.report.index import index_page, is_index_page

HOSTILE = "<script>document.title='owned'</script><img src=x onerror=alert(1)>\"'&"
FIRST = Row(
    case_id="aaaaaaaaaaaaaaaa",
    status="done",
    modality="CT",
    slices=90,
    rows=512,
    columns=512,
    spacing_x_mm=0.7,
    spacing_y_mm=0.7,
    spacing_z_mm=5.0,
    volume_ml=1500.25,
    mean_hu=101.5,
    flags=("CUT_BY_FIELD_OF_VIEW", "NOTE"),
    seconds=5.0,
    version="0.1.0",
)
ROWS = (
    FIRST,
    dataclasses.replace(
        FIRST, case_id="bbbbbbbbbbbbbbbb", volume_ml=900.0, flags=(), status="skipped"
    ),
    dataclasses.replace(
        FIRST, case_id="cccccccccccccccc", volume_ml=0.0, mean_hu=float("nan"), flags=("NO_LIVER",)
    ),
    Row("dddddddddddddddd", "rejected", "MISSING_SLICES", f"a gap {HOSTILE}", "CT", 50),
    Row("eeeeeeeeeeeeeeee", "failed", "TIMEOUT", "too long", "CT", 60),
    Row("ffffffffffffffff", "skipped", "", "not selected by the choice of series", "CT", 70),
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def seen(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    folder = tmp_path_factory.mktemp("index")
    with_picture = {row.case_id for row in ROWS[:3]}
    for case_id in with_picture:
        (folder / "cases" / case_id).mkdir(parents=True)
        Image.new("RGB", (40, 20), (9, 9, 9)).save(folder / "cases" / case_id / "preview.png")
    page = index_page([row.cells() for row in ROWS], with_picture, with_picture)
    (folder / "index.html").write_text(page, encoding="utf-8")
    return opened(browser, folder / "index.html", 1200, 800)


def order(seen: Seen) -> str:
    """First letters of the case ids, as the rows stand."""
    ids = seen.page.locator("#done tbody .id").all_inner_texts()
    return "".join(case_id[0] for case_id in ids)


def test_counts_are_those_of_the_manifest(seen: Seen) -> None:
    figures = seen.page.locator(".figures div").all_inner_texts()
    assert [figure.split() for figure in figures] == [
        ["Segmented", "3"],
        ["Flagged", "2"],
        ["Rejected", "1"],
        ["Failed", "1"],
        ["Not", "selected", "1"],
        ["Volume", "0.00", "\N{EN DASH}", "1500.25ml"],
    ]


def test_columns_sort_both_ways_and_by_number(seen: Seen) -> None:
    volume = seen.page.locator("#done th", has_text="Volume")
    volume.locator("button").click()
    # As text 1500.25 would come before 900.00.
    assert order(seen) == "cba"
    assert volume.get_attribute("aria-sort") == "ascending"
    volume.locator("button").press("Enter")
    assert order(seen) == "abc"
    mean = seen.page.locator("#done th", has_text="Mean").locator("button")
    for _ in range(2):
        mean.click()
        assert order(seen)[-1] == "c", "what has no value stays at the end"


def test_every_result_has_its_picture_and_its_link(seen: Seen) -> None:
    assert seen.page.locator("#done img").count() == 3
    for row in ROWS[:3]:
        image = seen.page.locator(f"img[src='cases/{row.case_id}/preview.png']")
        image.scroll_into_view_if_needed()
        assert image.evaluate("async (image) => (await image.decode(), image.naturalWidth)")
    links = seen.page.locator("#done a.id").evaluate_all(
        "all => all.map(a => a.getAttribute('href'))"
    )
    assert set(links) == {f"cases/{row.case_id}/report.html" for row in ROWS[:3]}


def test_what_was_not_segmented_is_listed_with_its_reason(seen: Seen) -> None:
    text = seen.page.locator("#others").inner_text()
    assert "MISSING_SLICES" in text
    assert "a gap <script>" in text
    assert "not selected" in text
    assert seen.page.title() == "Livers of this batch"


def test_index_logs_no_error_and_asks_for_its_pictures_only(seen: Seen) -> None:
    assert seen.errors == []
    assert all(address.startswith("file:") for address in seen.requests)
    assert all(address.endswith((".png", "index.html")) for address in seen.requests)


def test_narrow_index_does_not_scroll_sideways(seen: Seen) -> None:
    seen.page.set_viewport_size({"width": 390, "height": 800})
    widths = seen.page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    seen.page.set_viewport_size({"width": 1200, "height": 800})
    assert widths[0] <= widths[1]


def test_short_batch_takes_one_sheet_of_paper_and_a_long_one_leaves_none_empty(
    browser: Browser, tmp_path: Path
) -> None:
    for count, most in ((3, 1), (60, 3)):
        path = tmp_path / f"{count}.html"
        rows = [
            dataclasses.replace(FIRST, case_id=f"{number:016x}").cells() for number in range(count)
        ]
        path.write_text(index_page(rows, (), ()))
        assert sheets(opened(browser, path).page) <= most


def test_spacing_is_short_and_a_long_word_of_a_reason_breaks(
    browser: Browser, tmp_path: Path
) -> None:
    long_word = dataclasses.replace(ROWS[3], detail="x" * 400)
    row = dataclasses.replace(FIRST, spacing_x_mm=0.701172, spacing_y_mm=0.701172)
    path = tmp_path / "index.html"
    path.write_text(index_page([row.cells(), long_word.cells()], (), ()))
    page = opened(browser, path, width=1280).page
    assert (
        page.locator("#done tbody td").last.inner_text()
        == "0.701 \N{MULTIPLICATION SIGN} 0.701 \N{MULTIPLICATION SIGN} 5"
    )
    scrolls = "node => node.scrollWidth > node.clientWidth"
    assert not any(wide.evaluate(scrolls) for wide in page.locator(".wide").all())


def test_batch_that_goes_on_says_how_many_are_left() -> None:
    assert "<dt>Not yet done</dt><dd>7</dd>" in index_page([FIRST.cells()], (), (), 7)
    assert "Not yet done" not in index_page([FIRST.cells()], (), ())


def test_result_without_a_page_is_linked_to_its_numbers() -> None:
    page = index_page([FIRST.cells()], set(), set())
    assert f"cases/{FIRST.case_id}/report.json" in page
    assert "<img" not in page


def test_empty_batch_says_so() -> None:
    page = index_page([], set(), set())
    assert "No scan was segmented." in page
    assert "Every series was segmented." in page


def test_index_does_not_tell_whether_a_result_is_of_an_earlier_run() -> None:
    again = dataclasses.replace(FIRST, status="skipped", seconds=9.0)
    pages = [index_page([row.cells()], set(), set()) for row in (FIRST, again)]
    assert pages[0] == pages[1]


def test_page_of_somebody_else_is_told_from_that_of_a_batch(tmp_path: Path) -> None:
    ours, other = tmp_path / "ours.html", tmp_path / "other.html"
    ours.write_text(index_page([], (), ()))
    other.write_text("<title>My home page</title>")
    assert is_index_page(ours)
    assert not is_index_page(other)
