"""From the slides of a deck to one self-contained HTML page: layout, the template, and the files of others inlined."""

from __future__ import annotations

import re
from html import escape
from importlib import resources, util
from pathlib import Path

import yaml
from bs4 import BeautifulSoup
from jinja2 import Environment, FileSystemLoader

from tools.book import typeface
from tools.slides import clock
from tools.slides.cells import block_html, markdown_html
from tools.slides.deck import Deck, DeckError, Slide

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = Path(__file__).parent / "template"
DEFAULT_CLOSING = "## Your turn\n\nOpen the notebook `{name}.ipynb`: the exercises at its end check themselves."


def render(deck: Deck, folder: Path) -> str:
    """The whole deck as one HTML page that needs no other file.

    Args:
        deck: from ``deck.read_deck``.
        folder: where the notebook lies; pictures in its Markdown are looked up from here.

    Raises:
        DeckError: a picture without alt text, a missing file, an external resource, a failed cell, an empty slide.
    """
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    stacks: list[list[dict[str, object]]] = []
    times = clock.times(deck)
    for slide, time in zip(deck.slides, times, strict=True):
        view = _slide(slide, folder)
        if slide.notes:
            view["notes"] += f'<p class="clock">{time}. Ends at {time.ends} of {times[-1].ends}.</p>'
        if slide.sub:
            stacks[-1].append(view)
        else:
            stacks.append([view])
    if deck.slides[-1].kind != "closing":
        header, body = _split(markdown_html(DEFAULT_CLOSING.format(name=deck.name), deck.name, folder))
        stacks.append([{"kind": "closing", "header": header, "above": [body], "left": [], "right": [], "below": []}])
    environment = Environment(loader=FileSystemLoader(TEMPLATE), autoescape=False, trim_blocks=True)
    return environment.get_template("deck.html.j2").render(
        deck=deck,
        title=escape(deck.title),
        sentence=_inline(deck, folder),
        book=escape(config["title"]),
        stacks=stacks,
        cells=_matrix(int(deck.number or 0)),
        **_vendor(),
    )


def mathjax() -> str:
    """MathJax in one script, safe inside a script element."""
    found = util.find_spec("sphinx-mathjax-offline")  # not an identifier, so it cannot be imported by name
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError("sphinx-mathjax-offline: install the extra 'book'")
    path = Path(found.submodule_search_locations[0]) / "static" / "mathjax" / "tex-svg-full.js"
    return _inlined(path.read_text(encoding="utf-8"))


def _vendor() -> dict[str, str]:
    """The files of others, read from their installed packages, safe inside a script or style element."""
    reveal = resources.files("sphinx_revealjs") / "_static" / "revealjs"
    texts = {
        "reveal_css": reveal / "dist" / "reveal.css",
        "reveal_js": reveal / "dist" / "reveal.js",
        "notes_js": reveal / "plugin" / "notes" / "notes.js",
        "deck_css": TEMPLATE / "deck.css",
        "deck_js": TEMPLATE / "deck.js",
    }
    found = {name: _inlined(path.read_text(encoding="utf-8")) for name, path in texts.items()}
    return {"typeface_css": typeface.inlined_style(), "mathjax_js": mathjax(), **found}


def _inlined(text: str) -> str:
    text = re.sub(r"//# sourceMappingURL=\S*", "", text)
    return text.replace("</script", r"<\/script").replace("<!--", r"<\!--")


def _slide(slide: Slide, folder: Path) -> dict[str, object]:
    """A slide as the template wants it: heading, blocks by column, notes, and its kind."""
    view: dict[str, object] = {"kind": slide.kind, "header": "", "above": [], "left": [], "right": [], "below": []}
    view["notes"] = "".join(markdown_html(note, "speaker notes", folder) for note in slide.notes)
    if slide.kind == "title":
        return view
    html = []
    for position, block in enumerate(slide.blocks):
        body = block_html(block, folder)
        if position == 0:
            view["header"], body = _split(body)
            if slide.asked and not view["header"]:
                view["header"] = _split(block_html(slide.asked.blocks[0], folder))[0]
        html.append(body)
        if not body.strip():
            continue
        classes = ["block"] + ["fills"] * ("<img" in body) + ["fragment"] * block.fragment
        view[block.column or "above"].append(f'<div class="{" ".join(classes)}">{body}</div>')
    body = "".join(html)
    if not body.strip() and (slide.asked or not view["header"]):
        raise DeckError(slide.blocks[0].where, "an empty slide")
    soup = BeautifulSoup(body, "html.parser")
    if slide.kind == "content" and not view["left"] and not soup.select("img, script, .answer"):
        view["kind"] = _kind(str(view["header"]), soup, slide.asked is not None)
    return view


def _kind(heading: str, body: BeautifulSoup, answers: bool) -> str:
    """What of a slide of words is set large: a heading alone, the question at the end, or an answer of one line."""
    parts = body.find_all(recursive=False)
    if not answers and parts and parts[-1].name == "p" and parts[-1].text.strip().endswith("?"):
        return "question"
    if body.select_one("pre, table"):
        return "content"
    short = len(parts) <= 1 and all(part.name == "p" for part in parts) and len(body.text.strip()) <= 160
    if answers:
        return "claim" if short else "content"
    asks = BeautifulSoup(heading, "html.parser").text.strip().endswith("?") or len(body.text.strip()) <= 80
    return "statement" if short and asks and "$" not in body.text else "content"


def _split(html: str) -> tuple[str, str]:
    """The heading that a slide begins with, as h2, and the rest."""
    found = re.match(r"\s*<h[1-6][^>]*>(.*?)</h[1-6]>", html, re.DOTALL)
    return (f"<h2>{found[1]}</h2>", html[found.end() :]) if found else ("", html)


def _inline(deck: Deck, folder: Path) -> str:
    html = markdown_html(deck.sentence, deck.name, folder).strip()
    return html.removeprefix("<p>").removesuffix("</p>")


def _matrix(seed: int) -> list[dict[str, object]]:
    """The title slide's picture: a rating matrix with gaps, one a chapter, and the one cell to predict."""
    cells, state = [], 2 * seed + 7
    for row in range(7):
        for column in range(6):
            state = (1103515245 * state + 12345) % 2**31
            rating = (state >> 16) % 9 - 3  # four in nine are unrated
            cells.append({"x": 52 * column, "y": 52 * row, "rating": max(rating, 0), "ask": False})
    cells[8 + 6 * (seed % 4) + seed % 3]["ask"] = True
    return cells
