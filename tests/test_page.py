"""The page of a scan in a real browser: the liver is where it is, and nothing leaves the page."""

from __future__ import annotations

import gzip
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from browser import Seen, chromium, opened, ready, sheets
from conftest import BODY_HU, LIVER_HU, phantom
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, Page

from liverseg.case import geometry
from liverseg.report.embed import Embedded, embed
from liverseg.report.flags import Found
from liverseg.report.html import NIIVUE_SHA256, NIIVUE_VERSION, page, resource
from liverseg.report.picture import draw
from liverseg.report.qc import measure

CASE_ID = "0123456789abcdef"
HOSTILE = "</script><script>document.title='owned'</script><img src=x onerror=alert(1)>\"'&"
# Of the picture, how far a place may be off: a voxel of the phantom is 2 % of its width.
NEAR = 0.03


def opened_nifti(content: bytes) -> nib.Nifti1Image:
    return nib.Nifti1Image.from_bytes(gzip.decompress(content))


def doubt() -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Heads that disagree at one place of the liver, on a grid of 4 mm."""
    there = np.zeros((40, 40, 24), np.float32)
    affine = np.array([[4.0, 0, 0, -80], [0, 4.0, 0, -80], [0, 0, 4.0, -46], [0, 0, 0, 1]])
    there[26:32, 18:24, 8:16] = 1  # 24 to 44 mm, -8 to 12 mm, -14 to 14 mm
    return there, affine


def shown(case_id: str = CASE_ID, sentence: str = "A note.") -> tuple[str, Embedded]:
    """The phantom's page."""
    image, affine, liver = phantom()
    quality = measure(image, liver, affine, found=Found(1, 0.0, 0.0123), notes=(sentence,))
    picture = io.BytesIO()
    draw(image, liver, affine).save(picture, format="PNG")
    embedded = embed(image, liver, affine, doubt())
    report: dict[str, Any] = {
        **quality.as_json(),
        "geometry": geometry(image.shape, affine),
        "versions": {"liverseg": "0.1.0", "torch": sentence},
        "engine": "torch",
        "weights_sha256": "ab" * 32,
    }
    return page(case_id, report, embedded, picture.getvalue()), embedded


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def seen(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(shown()[0], encoding="utf-8")
    found = opened(browser, path)
    ready(found)
    return found


def canvas(page: Page, name: str = "slices") -> NDArray[np.uint8]:
    """(rows, columns, 3) what a canvas shows."""
    # What was asked for is drawn by then.
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    picture = Image.open(io.BytesIO(page.locator(f"#{name}").screenshot()))
    return np.asarray(picture.convert("RGB"))


def set_slider(page: Page, name: str, value: int) -> None:
    page.locator(f"#{name}").fill(str(value))


def amber(picture: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where the mask's colour is, opaque."""
    red, green, blue = (picture[..., channel].astype(int) for channel in range(3))
    return (red > 200) & (abs(green - 176) < 40) & (blue < 90)


def tile(page: Page, index: int, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What is drawn of the axial (0), coronal (1) or sagittal (2) slice."""
    place = page.evaluate(
        "(index) => [liverseg.slices.screenSlices[index].leftTopWidthHeight,"
        " liverseg.slices.gl.canvas.width]",
        index,
    )
    scale = picture.shape[1] / place[1]
    left, top, width, height = (round(value * scale) for value in place[0])
    return picture[top : top + height, left : left + width]


def extent(inside: NDArray[np.bool_]) -> list[float]:
    """Left, right, top and bottom of a region, as shares of the picture."""
    rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    height, width = inside.shape
    return [
        columns[0] / width,
        (columns[-1] + 1) / width,
        rows[0] / height,
        (rows[-1] + 1) / height,
    ]


@pytest.mark.parametrize(
    ("index", "axis", "across", "down"),
    [(0, 2, 0, 1), (1, 1, 0, 2), (2, 0, 1, 2)],
    ids=["axial", "coronal", "sagittal"],
)
def test_liver_is_drawn_in_its_colour_at_its_place(
    seen: Seen, index: int, axis: int, across: int, down: int
) -> None:
    embedded = shown()[1]
    mask = np.asarray(opened_nifti(embedded.mask).dataobj) > 0
    section = np.take(mask, embedded.start[axis], axis)
    # The patient's right (of a sagittal slice: anterior) on the viewer's left, head (anterior) up.
    wanted = extent(section[::-1, ::-1].T)
    seen.page.locator("#reset").click()
    set_slider(seen.page, "opacity", 100)
    found = extent(amber(tile(seen.page, index, canvas(seen.page))))
    set_slider(seen.page, "opacity", 35)
    assert found == pytest.approx(wanted, abs=NEAR), (across, down)


def test_mask_fades_with_its_slider(seen: Seen) -> None:
    amounts = []
    for share in (100, 0):
        set_slider(seen.page, "opacity", share)
        amounts.append(int(amber(tile(seen.page, 0, canvas(seen.page))).sum()))
    assert seen.page.locator("#opacity-value").inner_text() == "0 %"
    set_slider(seen.page, "opacity", 35)
    assert amounts[0] > 1000
    assert amounts[1] == 0


def test_slice_slider_leaves_the_liver_behind(seen: Seen) -> None:
    set_slider(seen.page, "opacity", 100)
    set_slider(seen.page, "slide-z", 0)
    below = amber(tile(seen.page, 0, canvas(seen.page))).sum()
    seen.page.locator("#reset").click()
    inside = amber(tile(seen.page, 0, canvas(seen.page))).sum()
    set_slider(seen.page, "opacity", 35)
    assert below == 0
    assert inside > 500


def test_arrow_keys_move_through_the_slices(seen: Seen) -> None:
    seen.page.locator("#reset").click()
    before = seen.page.locator("#value-z").inner_text()
    seen.page.locator("#slices").focus()
    seen.page.keyboard.press("ArrowUp")
    number = int(before.split(" / ")[0])
    assert seen.page.locator("#value-z").inner_text().split(" / ")[0] == str(number + 1)
    seen.page.keyboard.press("ArrowDown")
    assert seen.page.locator("#value-z").inner_text() == before


def test_arrow_right_goes_to_the_viewers_right(seen: Seen) -> None:
    seen.page.locator("#reset").click()
    before = int(seen.page.locator("#value-x").inner_text().split(" / ")[0])
    seen.page.locator("#slices").focus()
    seen.page.keyboard.press("ArrowRight")
    after = int(seen.page.locator("#value-x").inner_text().split(" / ")[0])
    seen.page.locator("#reset").click()
    # Sagittal slices are counted towards the patient's right, which is the viewer's left.
    assert after == before - 1


def test_window_presets_change_the_grey_of_tissue(seen: Seen) -> None:
    set_slider(seen.page, "opacity", 0)
    greys = []
    for choice in (0, 3):
        seen.page.locator("input[name=window]").nth(choice).check(force=True)
        picture = tile(seen.page, 0, canvas(seen.page))
        height, width = picture.shape[:2]
        # The body's left side (the viewer's right), no liver: BODY_HU.
        greys.append(int(picture[height // 2, int(width * 0.8)].mean()))
    seen.page.locator("input[name=window]").nth(0).check(force=True)
    set_slider(seen.page, "opacity", 35)
    wanted = [255 * (BODY_HU - low) / (high - low) for low, high in ((-125, 225), (-160, 350))]
    assert greys == pytest.approx(wanted, abs=4)


def test_disagreement_is_shown_where_it_is(seen: Seen) -> None:
    seen.page.locator("#reset").click()
    set_slider(seen.page, "opacity", 0)
    seen.page.locator("#disagreement").check()
    drawn = tile(seen.page, 0, canvas(seen.page)).astype(int)
    picture = (drawn[..., 2] - drawn[..., 1] > 40) & (drawn[..., 0] > 120)
    seen.page.locator("#disagreement").uncheck()
    set_slider(seen.page, "opacity", 35)
    image = opened_nifti(shown()[1].image)
    # 24 to 44 mm towards the patient's right of the picture, from its right end.
    to_voxel = np.linalg.inv(image.affine)
    edges = [(to_voxel @ [mm, 0, 0, 1])[0] / image.shape[0] for mm in (48, 22)]
    left, right = extent(picture)[:2]
    assert [left, right] == pytest.approx([1 - edge for edge in edges], abs=0.05)


def test_liver_is_drawn_in_three_dimensions(seen: Seen) -> None:
    picture = canvas(seen.page, "solid").astype(int)
    lit = (picture[..., 0] > 100) & (picture[..., 0] > picture[..., 2] + 60)
    assert 0.02 < lit.mean() < 0.9


def test_page_logs_no_error_and_asks_for_nothing(seen: Seen) -> None:
    assert seen.errors == []
    assert len(seen.requests) == 1
    assert seen.requests[0].startswith("file:")


def test_what_a_scan_says_is_text_and_nothing_else(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text(shown(HOSTILE, HOSTILE)[0], encoding="utf-8")
    found = opened(browser, tmp_path / "report.html")
    page = ready(found)
    assert page.title() == f"Liver, {HOSTILE}"
    assert HOSTILE in page.locator(".flags").inner_text()
    assert page.locator("img").count() == 1
    assert found.errors == []
    page.close()


def test_picture_stands_for_the_viewer_on_paper(seen: Seen) -> None:
    seen.page.emulate_media(media="print")
    visible = [seen.page.locator(name).is_visible() for name in (".static img", ".viewer")]
    seen.page.emulate_media(media="screen")
    assert visible == [True, False]
    assert not seen.page.locator(".static img").is_visible()


def test_page_of_a_scan_takes_one_sheet_of_paper(seen: Seen) -> None:
    assert sheets(seen.page) == 1


def test_picture_stands_for_the_viewer_without_webgl(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(shown()[0], encoding="utf-8")
    page = browser.new_page()
    page.add_init_script("HTMLCanvasElement.prototype.getContext = () => null;")
    page.goto(path.as_uri())
    page.wait_for_selector("body[data-viewer=absent]")
    assert page.locator(".static img").is_visible()
    assert "WebGL 2" in page.locator("#problem").inner_text()
    page.close()


@pytest.mark.parametrize("width", [390, 360, 320])
def test_narrow_page_does_not_scroll_sideways_nor_break_a_number(seen: Seen, width: int) -> None:
    seen.page.set_viewport_size({"width": width, "height": 800})
    widths = seen.page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    volume = seen.page.locator(".facts td").first
    lines = volume.evaluate(
        "cell => cell.clientHeight / parseFloat(getComputedStyle(cell).fontSize)"
    )
    tables = seen.page.evaluate(
        "[...document.querySelectorAll('.facts')].map(table =>"
        " table.parentElement.getBoundingClientRect().right - table.getBoundingClientRect().right)"
    )
    seen.page.set_viewport_size({"width": 900, "height": 700})
    assert widths[0] <= widths[1]
    assert lines < 3, "the volume is on one line"
    assert min(tables) > 0, "each table is within its card"


def test_page_has_a_policy_that_allows_its_own_texts_only() -> None:
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', shown()[0])
    parts = dict(part.split(" ", 1) for part in policy.split("; "))
    assert parts["default-src"] == "'none'"
    assert parts["img-src"] == "data:"
    for kind in ("script-src", "style-src"):
        assert all(source.startswith("'sha256-") for source in parts[kind].split())


def test_viewer_is_the_recorded_one() -> None:
    import hashlib

    content = resource("vendor/niivue.umd.js").encode()
    assert hashlib.sha256(content).hexdigest() == NIIVUE_SHA256
    record = resource("vendor/README.md")
    assert NIIVUE_SHA256 in record
    assert NIIVUE_VERSION in record
    assert "BSD 2-Clause" in resource("vendor/LICENSE")


def test_embedded_image_and_mask_lie_where_the_scan_does() -> None:
    image, affine, liver = phantom()
    embedded = embed(image, liver, affine)
    shown_image, shown_mask = (opened_nifti(content) for content in (embedded.image, embedded.mask))
    centre = np.argwhere(np.asarray(shown_mask.dataobj)).mean(axis=0)
    wanted = nib.affines.apply_affine(affine, np.argwhere(liver).mean(axis=0))
    found = nib.affines.apply_affine(shown_mask.affine, centre)
    assert found == pytest.approx(wanted, abs=0.2)
    inside = shown_image.get_fdata()[np.asarray(shown_mask.dataobj) > 0]
    assert np.median(inside) == LIVER_HU


def test_embedded_volume_keeps_the_liver_when_it_is_coarser() -> None:
    image, affine, liver = phantom()
    embedded = embed(image, liver, affine, most_voxels=20_000)
    assert np.prod(embedded.shape) <= 20_000
    assert embedded.resampled
    mask = opened_nifti(embedded.mask)
    voxel_ml = abs(np.linalg.det(mask.affine[:3, :3])) / 1000
    true_ml = liver.sum() * abs(np.linalg.det(affine[:3, :3])) / 1000
    assert np.count_nonzero(mask.dataobj) * voxel_ml == pytest.approx(true_ml, rel=0.05)


def test_page_of_a_large_scan_is_below_15_mb() -> None:
    # Noise does not compress: no scan's page is larger.
    image = np.random.default_rng(1).integers(-160, 350, (512, 512, 300)).astype(np.int16)
    mask = np.zeros(image.shape, np.uint8)
    mask[100:400, 100:400, 20:280] = 1
    embedded = embed(image, mask, np.diag([0.8, 0.8, 1.0, 1.0]))
    sizes = (embedded.image, embedded.mask, embedded.solid, resource("vendor/niivue.umd.js"))
    assert sum(len(content) for content in sizes) * 4 / 3 < 14e6


def test_scan_without_a_liver_has_a_page(tmp_path: Path) -> None:
    image, affine, liver = phantom()
    embedded = embed(image, np.zeros_like(liver), affine)
    assert embedded.start == tuple(size // 2 for size in embedded.shape)
    quality = measure(image, np.zeros_like(liver), affine)
    report = {
        **quality.as_json(),
        "geometry": geometry(image.shape, affine),
        "versions": {},
        "engine": "torch",
        "weights_sha256": "",
    }
    assert "No liver was found" in page(CASE_ID, report, embedded, b"")


def test_same_scan_gives_the_same_page() -> None:
    assert shown()[0] == shown()[0]
