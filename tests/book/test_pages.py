"""Every page of the built book in headless Chromium: light and dark, on a desk and on a phone."""

import functools
import http.server
import io
import threading

import browser
import pytest
from browser import COLOUR_RULES, WIDTH_RULES, axe_violations, open_page, visit
from pages import pages_of_toc
from PIL import Image

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
    for (const code of document.querySelectorAll(".cell_input pre"))
        if (width > 992 && code.scrollWidth > code.clientWidth) found.push(`cut line of code: ${code.textContent}`);
    return found.slice(0, 5);
}"""
BROKEN = "[...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)"
MATHS = "[...document.querySelectorAll('mjx-merror')].map(e => e.textContent)"


def faults(chromium, path, width):
    """Everything that is wrong with a page at one width, one line each; on the desk in light and then in the dark."""
    with open_page(chromium, width=width) as (page, heard):
        visit(page, path)
        found = page.evaluate(STICKS_OUT)
        found += [f"picture does not show: {source}" for source in page.evaluate(BROKEN)]
        found += [f"formula does not set: {text}" for text in page.evaluate(MATHS)]
        assert page.evaluate("document.documentElement.dataset.theme") == "light"
        if width != WIDTHS[0] and path.stem != "index":  # colours and names are those of the desk
            return found + axe_violations(page, WIDTH_RULES) + heard
        found += [f"light: {fault}" for fault in axe_violations(page)]
        page.emulate_media(color_scheme="dark")
        page.wait_for_function("document.documentElement.dataset.theme === 'dark'", timeout=10_000)
        # dark differs from light in colours alone: there the other rules would only say the same again
        found += [f"dark: {fault}" for fault in axe_violations(page, COLOUR_RULES)]
        return found + heard


@pytest.mark.parametrize("name", [*pages_of_toc(), "search", "genindex"])
def test_page(chromium, book, name):
    path = book / f"{name}.html"
    found = [f"{width} px: {fault}" for width in WIDTHS for fault in faults(chromium, path, width)]
    assert not found, f"{name}:\n" + "\n".join(found)


def test_search_finds_a_word(chromium, book):
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(book))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, open_page(chromium) as (page, heard):
        threading.Thread(target=server.serve_forever, daemon=True).start()  # a page on disk may not read others
        visit(page, f"http://127.0.0.1:{server.server_port}/search.html?q=density")
        page.wait_for_selector("#search-results li a", timeout=20_000)
        page.wait_for_load_state("networkidle")
        assert heard == []
        assert axe_violations(page) == []
        server.shutdown()


FACES = "[...document.fonts].filter(f => f.status === 'loaded').map(f => f.family.replaceAll('\"', ''))"


def test_typefaces_are_served_by_the_book(chromium, book):
    with open_page(chromium) as (page, heard):
        visit(page, book / "notebooks/00_start_here.html")
        assert {"Inter", "JetBrains Mono"} <= set(page.evaluate(FACES))
        assert heard == []


ICONS = """() => { const icons = [...document.querySelectorAll("svg.svg-inline--fa")];
    return [icons.length, icons.filter((e) => e.querySelector("animate, .missing")).map((e) => e.dataset.icon)]; }"""


@pytest.mark.parametrize("name", ["index", "notebooks/05_matrix_factorization", "search"])
def test_icons_that_a_page_shows_are_there_and_no_others_are_sent(chromium, book, name):
    with open_page(chromium) as (page, heard):
        visit(page, book / f"{name}.html")
        page.wait_for_selector("svg.svg-inline--fa", state="attached")
        shown, missing = page.evaluate(ICONS)
        assert shown > 5
        assert (missing, heard) == ([], [])
    assert (book / "_static/scripts/fontawesome.js").stat().st_size < 200_000


@pytest.mark.parametrize("dark", [False, True])
def test_a_picture_stands_on_the_ground_of_its_page(chromium, book, dark):
    with open_page(chromium, dark=dark) as (page, _):
        visit(page, book / "notebooks/00_start_here.html")
        shot = page.locator(".cell_output img[src$='.png']").first.screenshot()
        picture = Image.open(io.BytesIO(shot)).convert("L")
        darkest, lightest = picture.getextrema()
        assert lightest - darkest > 140
        assert picture.getpixel((1, 1)) == (darkest if dark else lightest)


LOOKS = """() => { const look = (e) => { const s = getComputedStyle(e);
        const seen = [s.borderLeftWidth, s.borderBottomWidth, s.paddingLeft, s.backgroundColor, s.fontSize];
        return `${e.tagName} ${seen}`; };
    const all = [...document.querySelectorAll("article table :is(td, thead tr:last-child th:not([colspan]))")];
    const cells = all.filter((e) => !e.closest(".live-figure")); // what it holds is seen without scripts
    const numbers = cells.filter((e) => /^[\\d.]+$/.test(e.textContent.trim()));
    const right = numbers.map((e) => getComputedStyle(e).textAlign);
    return [[...new Set(cells.map(look))], [...new Set(right)]]; }"""


def test_tables_have_one_style_and_numbers_stand_right(chromium, book):
    with open_page(chromium) as (page, _):
        styles = []
        for name in ("book/benchmarks", "notebooks/03_evaluation"):
            visit(page, book / f"{name}.html")
            looks, aligned = page.evaluate(LOOKS)
            styles += looks
            assert aligned == ["right"], name
        assert len(set(styles)) == 2, styles  # of the head and of the body


HOST, LEAVES = "//example.org", "leaves the machine:"
PALE = '<div><pre><span>good</span><span style="color: #999">pale</span></pre></div>'
PLANTED = {
    "quiet": ("", ""),
    "missing alt": ('<img src="../_static/mark.svg">', "axe image-alt"),
    "external script": (f'<script src="https:{HOST}/a.js"></script>', f"{LEAVES} https:{HOST}"),
    "external request": (f"<script>fetch('https:{HOST}/b')</script>", f"{LEAVES} https:{HOST}/b"),
    "web socket": (f"<script>new WebSocket('wss:{HOST}/c')</script>", f"{LEAVES} wss:{HOST}"),
    "wide element": ('<div style="width: 2000px">wide</div>', "too wide"),
    "cut code": (f'<div class="cell_input"><pre>{"a " * 200}</pre></div>', "cut line of code"),
    "cut element": ('<div style="overflow: hidden"><p style="width: 2000px">cut</p></div>', "sticks out"),
    "console error": ("<script>console.error('planted')</script>", "console: planted"),
    "uncaught error": ("<script>throw new Error('planted')</script>", "uncaught"),
    "missing file": ('<script src="../_static/gone.js"></script>', "did not load"),
    "low contrast": ('<p style="color: #999; background: #fff">pale</p>', "axe color-contrast"),
    "low contrast in the dark": ('<p style="color: #555" class="dark">dim</p>', "axe color-contrast"),
    "pale code": (PALE, "span:nth-child(2)"),
    "broken picture": ('<img src="../_static/gone.svg" alt="A mark">', "picture does not show"),
    "broken formula": (r'<div class="math">\[\frac{1}\]</div>', "formula does not set"),
}


@pytest.mark.parametrize(("planted", "says"), PLANTED.values(), ids=PLANTED)
def test_planted_fault_is_found(chromium, book, tmp_path, planted, says):
    for entry in book.iterdir():
        if entry.name != "book":
            (tmp_path / entry.name).symlink_to(entry.resolve())
    (tmp_path / "book").mkdir()
    copy = tmp_path / "book/notation.html"
    before, middle, after = (book / "book/notation.html").read_text().partition("</article>")
    copy.write_text(before + planted + middle + after)
    found = faults(chromium, copy, 1280)
    assert any(says in fault for fault in found) if says else found == [], found


def test_without_chromium_it_skips_and_in_ci_it_fails(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    skipped = ("", pytest.skip.Exception, "no Chromium on this machine")
    for ci, outcome, said in (skipped, ("1", pytest.fail.Exception, "must run in CI")):
        monkeypatch.setenv("CI", ci)
        with pytest.raises(outcome, match=said), browser.chromium():
            pass
