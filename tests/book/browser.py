"""One headless Chromium for the tests of pages and slides: its flags, its walls, and what it heard.

Nothing here leaves the machine: each request to another host is refused and written down. Without Chromium a test
skips with one line; where `CI` is set a skip would hide a hole, so there it fails.
"""

import os
import re
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from tools.slides import build as slides

FLAGS = [
    *slides.FLAGS,
    *("--disable-quic", "--disable-component-update", "--disable-sync"),
    *("--force-color-profile=srgb", "--font-render-hinting=none"),  # the same on every machine
    # the second wall, for what request routing cannot see (web sockets): no name resolves
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
]

OUTSIDE = re.compile(r"^(?!file:|data:|blob:|about:|chrome-error:|https?://(127\.0\.0\.1|localhost)(:|/|$))")
LEVELS = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"]}

# Takes out the words of code and the formulas that look like one before them: axe's time grows with the elements of
# a page, of which these are three quarters, and each look is measured once, not a thousand times. The class stands for
# the colour that a word has in the dark.
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

# Takes out text that looks like text before it, for the rules of colour, which take most of axe's time: the same tags,
# classes and styles from the page down to it, the same colours, grounds, size and weight. A page is then measured once
# for each look. A look in the dark follows from these too. Around a link the text stays: it must differ from the link.
DROP_LOOKS = """() => {
    const known = new Set(), kept = "img, svg, canvas, video, iframe, input, button, select, textarea, mjx-container";
    const fresh = (element, above) => {
        const style = getComputedStyle(element), look = [
            above, element.tagName, element.className, element.getAttribute("style"), style.color, style.opacity,
            style.backgroundColor, style.backgroundImage, style.fontSize, style.fontWeight].join();
        const children = [...element.children].filter((child) => child.matches(kept) || fresh(child, look));
        const words = [...element.childNodes].filter((node) => node.nodeType === 3 && node.data.trim().length > 1);
        const link = children.some((child) => child.matches("a") || child.querySelector("a"));
        const isNew = words.length && !known.has(look);
        if (isNew) known.add(look);
        drop.push(...[...element.children].filter((child) => !children.includes(child)));
        if (!isNew && !link) drop.push(...words);
        return isNew || children.length > 0;
    };
    const drop = [];
    fresh(document.body, "");
    for (const node of drop) node.remove();
}"""

# The rules of axe that can tell a dark page from the same page in light, and a narrow page from the same on a desk.
COLOUR_RULES = ("color-contrast", "link-in-text-block")
WIDTH_RULES = ("target-size", "scrollable-region-focusable", "link-in-text-block")


@contextmanager
def chromium():
    """A headless Chromium; skips (or fails in CI) when there is none."""
    reason = "" if slides.chromium_path() else "no Chromium on this machine (apt-get install chromium)"
    if not find_spec("playwright"):
        reason = "playwright is not installed"
    if reason and os.environ.get("CI"):
        pytest.fail(f"browser tests must run in CI: {reason}")
    if reason:
        pytest.skip(f"browser test: {reason}")
    with slides.browser(FLAGS) as running:
        yield running


@contextmanager
def open_page(browser, *, width=1280, dark=False):
    """A new page of so many CSS pixels, walled off, and the list of faults, a line each, that fills meanwhile."""
    scheme = "dark" if dark else "light"
    viewport = {"width": width, "height": 800}
    heard = []

    def refuse(route):
        leaves(route.request)
        route.abort("blockedbyclient")

    def leaves(request):
        heard.append(f"request leaves the machine: {request.url}")

    def failed(request):
        if not OUTSIDE.match(request.url) and request.failure != "net::ERR_ABORTED":
            heard.append(f"console: did not load ({request.failure}): {request.url}")

    def console(message):
        # a refused request also logs an error line; it is already counted as a request
        refused = re.search("ERR_BLOCKED_BY_CLIENT|ERR_FAILED", message.text) and "leaves the machine" in str(heard)
        if message.type == "error" and not refused:
            heard.append(f"console: {message.text}")

    with browser.new_context(viewport=viewport, color_scheme=scheme, reduced_motion="reduce") as context:
        page = context.new_page()
        page.on("console", console)
        page.on("pageerror", lambda error: heard.append(f"console: uncaught: {error}"))
        page.on("requestfailed", failed)
        page.on("websocket", leaves)
        context.route(OUTSIDE, refuse)
        yield page, heard


def visit(page, target):
    """Open a file (or an address) and wait until it is loaded and its maths is set."""
    page.goto(target.resolve().as_uri() if isinstance(target, Path) else target, wait_until="load")
    page.evaluate("async () => { await document.fonts.ready; await window.MathJax?.startup?.promise; }")


def axe_violations(page, rules=()):
    """Axe (WCAG 2.0 to 2.2, A and AA, or these rules alone), a line a fault. Do it last: a page loses what repeats."""
    page.evaluate(DROP_REPEATS)
    if not rules:  # all, those of colour last
        others = {rule: {"enabled": False} for rule in COLOUR_RULES}
        return _axe(page, {"runOnly": LEVELS, "rules": others}) + axe_violations(page, COLOUR_RULES)
    if set(rules) <= set(COLOUR_RULES):
        page.evaluate(DROP_LOOKS)
    return _axe(page, {"runOnly": {"type": "rule", "values": list(rules)}})


def _axe(page, options):
    from axe_playwright_python.sync_playwright import Axe

    options |= {"resultTypes": ["violations"], "preload": False}
    found = Axe().run(page, context={"include": [["html"]]}, options=options).response["violations"]
    return [
        f"axe {violation['id']}: {' '.join(map(str, node['target']))} ({node['failureSummary']})"
        for violation in found
        for node in violation["nodes"]
    ]
