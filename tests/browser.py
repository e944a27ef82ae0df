"""A real Chromium for the tests of pages: what it logs and asks for is kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

PROGRAM = "/usr/bin/chromium"
# No GPU is needed; nothing is looked up by the browser itself.
ARGUMENTS = [
    "--no-sandbox",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
# Drawing volumes without a GPU, beside other work.
PATIENCE_MS = 300_000


@dataclass
class Seen:
    """What a page did.

    Attributes:
        page: the page.
        errors: what it logged as an error or threw.
        requests: addresses it asked for, its own first.
    """

    page: Page
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser, closed when the block ends."""
    with sync_playwright() as program:
        browser = program.chromium.launch(executable_path=PROGRAM, args=ARGUMENTS)
        yield browser
        browser.close()


def opened(browser: Browser, path: Path, width: int = 900, height: int = 700) -> Seen:
    """A file, opened as a double click does."""
    page = browser.new_page(viewport={"width": width, "height": height})
    page.set_default_timeout(PATIENCE_MS)
    seen = Seen(page)
    page.on(
        "console",
        lambda said: seen.errors.append(said.text) if said.type == "error" else None,
    )
    page.on("pageerror", lambda error: seen.errors.append(str(error)))
    page.on("request", lambda request: seen.requests.append(request.url))
    page.goto(path.as_uri())
    return seen


def ready(seen: Seen) -> Page:
    """The page of a scan, once its viewer has drawn."""
    seen.page.wait_for_selector("body[data-viewer=ready]", timeout=PATIENCE_MS)
    return seen.page


def sheets(page: Page) -> int:
    """How many sheets of A4 a page takes on paper."""
    # PDF 32000-1, 7.7.3.3: each sheet is an object of this type, and the tree of them another.
    page.emulate_media(media="print")
    content = page.pdf(format="A4")
    page.emulate_media(media="screen")
    return content.count(b"/Type /Page\n")
