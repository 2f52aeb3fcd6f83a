"""Every page of the built book in headless Chromium: light and dark, on a desk and on a phone."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import COLOUR_RULES, WIDTH_RULES, axe_violations, chromium, open_page, visit
from pages import book, pages_of_toc  # noqa: F401

WIDTHS = [1280, 360]

# What sticks out on the right: the page itself, or a part that is cut because nothing around it scrolls.
STICKS_OUT = """() => {
    const width = document.documentElement.clientWidth, found = [];
    const over = document.documentElement.scrollWidth - width;
    if (over > 0) found.push(`the page is ${over} px too wide`);
    const scrolls = (el) => {
        for (let e = el.parentElement; e && e.tagName !== "MAIN"; e = e.parentElement)
            if (["auto", "scroll"].includes(getComputedStyle(e).overflowX)) return true;
        return false;
    };
    for (const el of document.querySelectorAll("main .bd-article *")) {
        const box = el.getBoundingClientRect();
        const seen = box.width > 1 && box.height > 1 && !el.closest("mjx-assistive-mml");
        if (seen && box.right > width + 1 && !scrolls(el))
            found.push(`${el.tagName.toLowerCase()}.${el.className} sticks out to ${Math.round(box.right)} px`);
    }
    return found.slice(0, 5);
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One Chromium for all pages."""
    with chromium() as running:
        yield running


def faults(browser: Any, path: Path, width: int) -> list[str]:
    """Everything that is wrong with a page at one width, one line each; on the desk in light and then in the dark."""
    with open_page(browser, width=width) as (page, heard):
        visit(page, path)
        found = page.evaluate(STICKS_OUT)
        broken = page.evaluate(
            "[...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)"
        )
        maths = page.evaluate("[...document.querySelectorAll('mjx-merror')].map(e => e.textContent)")
        found += [f"picture does not show: {source}" for source in broken]
        found += [f"formula does not set: {text}" for text in maths]
        assert page.evaluate("document.documentElement.dataset.theme") == "light"
        if width != WIDTHS[0] and path.stem != "index":  # colours and names are those of the desk
            return found + axe_violations(page, rules=WIDTH_RULES) + heard.faults()
        found += [f"light: {fault}" for fault in axe_violations(page)]
        page.emulate_media(color_scheme="dark")
        page.wait_for_function("document.documentElement.dataset.theme === 'dark'", timeout=10_000)
        # dark differs from light in colours alone: there the other rules would only say the same again
        found += [f"dark: {fault}" for fault in axe_violations(page, rules=COLOUR_RULES)]
        return found + heard.faults()


@pytest.mark.parametrize("name", [*pages_of_toc(), "search", "genindex"])
def test_page(browser: Any, book: Path, name: str) -> None:  # noqa: F811
    found = [
        f"{width} px: {fault}" for width in WIDTHS for fault in faults(browser, book / f"{name}.html", width)
    ]
    assert not found, f"{name}:\n" + "\n".join(found)


@pytest.fixture
def served(book: Path) -> Iterator[str]:  # noqa: F811
    """The address of a server of the book on this machine: a page on disk may not read others for a summary."""
    handler = functools.partial(Quiet, directory=str(book))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A handler that does not write each request to stderr."""

    def log_message(self, *args: object) -> None:
        """Say nothing."""


def test_search_finds_a_word(browser: Any, served: str) -> None:
    with open_page(browser) as (page, heard):
        visit(page, f"{served}/search.html?q=density")
        page.wait_for_selector("#search-results li a", timeout=20_000)
        page.wait_for_load_state("networkidle")
        assert heard.faults() == []
        assert axe_violations(page) == []


def test_picture_stays_white_in_the_dark(browser: Any, book: Path) -> None:  # noqa: F811
    with open_page(browser, dark=True) as (page, _):
        visit(page, book / "index.html")
        style = page.evaluate(
            "() => { const s = getComputedStyle(document.querySelector('.map img'));"
            " return [s.backgroundColor, s.filter, parseFloat(s.borderTopLeftRadius) > 0]; }"
        )
    assert style == ["rgb(255, 255, 255)", "none", True]


PLANTED = {
    "quiet": ("", ""),
    "missing alt": ('<img src="../_static/mark.svg">', "axe image-alt"),
    "external script": (
        '<script src="https://example.org/a.js"></script>',
        "leaves the machine: https://example.org",
    ),
    "external request": (
        "<script>fetch('https://example.org/b')</script>",
        "leaves the machine: https://example.org/b",
    ),
    "web socket": (
        "<script>new WebSocket('wss://example.org/c')</script>",
        "leaves the machine: wss://example.org",
    ),
    "wide element": ('<div style="width: 2000px">wide</div>', "too wide"),
    "cut element": ('<div style="overflow: hidden"><p style="width: 2000px">cut</p></div>', "sticks out"),
    "console error": ("<script>console.error('planted')</script>", "console: planted"),
    "uncaught error": ("<script>throw new Error('planted')</script>", "uncaught"),
    "missing file": ('<script src="../_static/gone.js"></script>', "did not load"),
    "low contrast": ('<p style="color: #999; background: #fff">pale</p>', "axe color-contrast"),
    "low contrast in the dark": ('<p style="color: #555" class="dark">dim</p>', "axe color-contrast"),
    "pale code": (
        '<div><pre><span>good</span><span style="color: #999">pale</span></pre></div>',
        "span:nth-child(2)",
    ),
    "broken picture": ('<img src="../_static/gone.svg" alt="A mark">', "picture does not show"),
    "broken formula": (r'<div class="math">\[\frac{1}\]</div>', "formula does not set"),
}


@pytest.mark.parametrize(("planted", "says"), PLANTED.values(), ids=PLANTED)
def test_planted_fault_is_found(browser: Any, book: Path, tmp_path: Path, planted: str, says: str) -> None:  # noqa: F811
    for entry in book.iterdir():
        if entry.name != "book":
            (tmp_path / entry.name).symlink_to(entry.resolve())
    (tmp_path / "book").mkdir()
    text = (book / "book/notation.html").read_text()
    middle = "</article>"
    assert text.count(middle) == 1
    copy = tmp_path / "book/notation.html"
    copy.write_text(text.replace(middle, planted + middle))
    found = faults(browser, copy, 1280)
    assert any(says in fault for fault in found) if says else found == [], found


def test_without_chromium_it_skips_and_in_ci_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no Chromium on this machine"), chromium():
        pass
    monkeypatch.setenv("CI", "1")
    with pytest.raises(pytest.fail.Exception, match="must run in CI"), chromium():
        pass
