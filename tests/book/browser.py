"""One headless Chromium for the tests of pages and slides: its flags, its walls, and what it heard.

Nothing here leaves the machine: each request to another host is refused and written down, so that a
test can name it. Without Chromium a test skips with one line; where `CI` is set a skip would hide a
hole, so there it fails.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Text is drawn the same on every machine, whatever screen it thinks it has.
    "--force-color-profile=srgb",
    "--font-render-hinting=none",
    # The second wall, for what request routing cannot see (web sockets): no name resolves.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
]

OUTSIDE = re.compile(r"^(?!file:|data:|blob:|about:|chrome-error:|https?://(127\.0\.0\.1|localhost)(:|/|$))")
"""Matches every address that is not on this machine."""

AXE_OPTIONS: dict[str, Any] = {
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"]},
    "resultTypes": ["violations"],
    "preload": False,
}


DROP_REPEATS = """() => {
    const known = new Set(), repeats = [];
    for (const word of document.querySelectorAll("pre span:not(:has(*))")) {
        const pre = word.closest("pre"), style = getComputedStyle(word);
        const block = pre.parentElement.parentElement.className;
        const look = [block, word.className, style.color, style.backgroundColor, style.fontWeight].join();
        const cut = word.getBoundingClientRect().right > pre.getBoundingClientRect().right;
        if (known.has(look)) repeats.push(word);
        else if (word.textContent.trim().length > 1 && !cut) known.add(look);  // axe passes over single letters
    }
    for (const formula of document.querySelectorAll("mjx-container")) {
        const style = getComputedStyle(formula);
        const look = [formula.parentElement.tagName, style.color, style.fontSize, style.fontWeight].join();
        if (known.has(look)) repeats.push(formula);
        else known.add(look);
    }
    for (const element of repeats) element.remove();  // last, so that the page is laid out anew only once
}"""
"""Takes out the words of code and the formulas that look like one before them: axe's time grows with the elements of
a page, of which these are three quarters, and each look is measured once, not a thousand times. The class stands for
the colour that a word has in the dark."""


def chromium_path() -> str | None:
    """Where Chromium is on this machine, or None."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    return None


def require_chromium() -> str:
    """The path of Chromium; without one the test skips, and fails where `CI` is set."""
    reason = None
    path = chromium_path()
    if path is None:
        reason = "no Chromium on this machine (apt-get install chromium)"
    else:
        try:
            import playwright.sync_api  # noqa: F401
        except ImportError:
            reason = "playwright is not installed"
    if reason is None:
        assert path is not None
        return path
    if os.environ.get("CI"):
        pytest.fail(f"browser tests must run in CI: {reason}")
    pytest.skip(f"browser test: {reason}")


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless Chromium; skips (or fails in CI) when there is none."""
    path = require_chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Heard:
    """What a page said and asked for while it was open."""

    outside: list[str] = field(default_factory=list)
    """Addresses of other machines that the page asked for (each was refused)."""
    errors: list[str] = field(default_factory=list)
    """Console errors, uncaught exceptions and local files that did not load."""

    def clear(self) -> None:
        """Forget everything; for one context that visits several pages."""
        self.outside.clear()
        self.errors.clear()

    def faults(self) -> list[str]:
        """All of it as lines for an assertion message; empty when the page was quiet."""
        return [f"request leaves the machine: {url}" for url in self.outside] + [
            f"console: {text}" for text in self.errors
        ]


def _listen(page: Page, heard: Heard) -> None:
    def failed(request: Any) -> None:
        if not OUTSIDE.match(request.url) and request.failure != "net::ERR_ABORTED":
            heard.errors.append(f"did not load ({request.failure}): {request.url}")

    def console(message: Any) -> None:
        # A refused request also logs an error line; it is already counted as a request.
        refused = "ERR_BLOCKED_BY_CLIENT" in message.text or "ERR_FAILED" in message.text
        if message.type == "error" and not (refused and heard.outside):
            heard.errors.append(message.text)

    page.on("console", console)
    page.on("pageerror", lambda error: heard.errors.append(f"uncaught: {error}"))
    page.on("requestfailed", failed)
    page.on("websocket", lambda socket: heard.outside.append(socket.url))


@contextmanager
def open_page(
    browser: Browser, *, width: int = 1280, height: int = 800, dark: bool = False, scale: float = 1.0
) -> Iterator[tuple[Page, Heard]]:
    """A new page in its own context, walled off and listened to.

    Args:
        browser: from `chromium()`.
        width: of the viewport, CSS pixels.
        height: of the viewport, CSS pixels.
        dark: what the page learns from `prefers-color-scheme`.
        scale: device pixels for a CSS pixel, for crisp screenshots.

    Yields:
        The page and the `Heard` record that fills while it is open.
    """
    context: BrowserContext = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if dark else "light",
        reduced_motion="reduce",
        device_scale_factor=scale,
    )
    heard = Heard()

    def refuse(route: Any) -> None:
        heard.outside.append(route.request.url)
        route.abort("blockedbyclient")

    context.route(OUTSIDE, refuse)
    page = context.new_page()
    _listen(page, heard)
    try:
        yield page, heard
    finally:
        context.close()


def visit(page: Page, target: Path | str) -> None:
    """Opens a file (or address) and waits until it is loaded and its maths is set.

    Args:
        page: from `open_page()`.
        target: a path on disk, or an address.
    """
    page.goto(target.resolve().as_uri() if isinstance(target, Path) else target, wait_until="load")
    page.evaluate(
        "async () => {"
        " await document.fonts.ready;"
        " if (window.MathJax && MathJax.startup && MathJax.startup.promise) await MathJax.startup.promise; }"
    )


COLOUR_RULES = ("color-contrast", "link-in-text-block")
"""The rules of axe that can tell a dark page from the same page in light."""

WIDTH_RULES = ("target-size", "scrollable-region-focusable", "link-in-text-block")
"""The rules of axe that can tell a narrow page from the same page on a desk."""


def axe_violations(page: Page, context: str | None = None, *, rules: Sequence[str] = ()) -> list[str]:
    """Axe (WCAG 2.0, 2.1, 2.2, levels A and AA) on the open page, which loses what repeats: do this last.

    Args:
        page: the open page.
        context: a CSS selector to look at; the whole page when None.
        rules: names of the only rules to run; all of those levels when empty.

    Returns:
        One line a violation: its name, what it is, the elements and why. Empty is good.
    """
    from axe_playwright_python.sync_playwright import Axe

    page.evaluate(DROP_REPEATS)
    scope = {"include": [[context or "html"]]}
    options = AXE_OPTIONS | ({"runOnly": {"type": "rule", "values": list(rules)}} if rules else {})
    found = Axe().run(page, context=scope, options=options).response["violations"]
    lines = []
    for violation in found:
        for node in violation["nodes"]:
            why = "; ".join(m["message"] for m in node["any"] + node["all"] + node["none"])
            lines.append(f"axe {violation['id']}: {' '.join(map(str, node['target']))} ({why})")
    return lines
