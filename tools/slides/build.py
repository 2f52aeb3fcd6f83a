"""Build the lecture decks: one self-contained HTML file a notebook, and its PDF.

    python -m tools.slides.build [notebooks/03_evaluation.ipynb ...] [--pdf] [--pictures]

Without a name, every chapter whose cells carry slideshow metadata. The decks stand in ``_build/slides``; they open from
a file, without a network. ``--pictures`` also draws each slide as it looks on a 16:9 and on a 4:3 screen: look at them.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat

from tools.slides.deck import DeckError, has_slides, read_deck
from tools.slides.render import render

ROOT = Path(__file__).resolve().parents[2]
OUTPUT = ROOT / "_build" / "slides"
SCREENS = {"16x9": (1280, 720), "4x3": (960, 720)}
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
PATIENCE = 600_000  # milliseconds: a busy machine is slow, and no reason to give up


def chapters() -> list[Path]:
    """The chapter notebooks that have a deck, in order."""
    paths = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    return [path for path in paths if has_slides(nbformat.read(path, as_version=4))]


def build(notebook: Path, output: Path = OUTPUT) -> Path:
    """Write the deck of one notebook and return its path, ``output/NN_topic.html``.

    Raises:
        DeckError: see ``deck.read_deck`` and ``render.render``.
    """
    page = render(read_deck(notebook), notebook.parent)
    output.mkdir(parents=True, exist_ok=True)
    deck = output / f"{notebook.stem}.html"
    deck.write_text(page, encoding="utf-8")
    return deck


def chromium_path() -> str | None:
    """Where Chromium is on this machine, or None."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@contextmanager
def browser(flags: Sequence[str] = FLAGS) -> Iterator[Any]:
    """A headless Chromium of this machine, driven by playwright."""
    from playwright.sync_api import sync_playwright

    path = chromium_path()
    if path is None:
        raise SystemExit("PDF and pictures need Chromium: apt-get install chromium")
    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=path, args=list(flags), timeout=PATIENCE)
        try:
            yield chromium
        finally:
            chromium.close()


def open_deck(page: Any, deck: Path, query: str = "") -> None:
    """Open a deck and wait until its maths and its slides are drawn."""
    page.set_default_timeout(PATIENCE)
    page.goto(deck.resolve().as_uri() + query)
    page.wait_for_selector("html[data-ready=true]", state="attached")


def export_pdf(chromium: Any, deck: Path) -> Path:
    """Write the deck as PDF beside it, one page a slide, fragments shown, and return its path."""
    page = chromium.new_page(viewport={"width": 1280, "height": 720})
    open_deck(page, deck, "?print-pdf")
    pdf = deck.with_suffix(".pdf")
    page.pdf(path=pdf, prefer_css_page_size=True, print_background=True)
    page.close()
    return pdf


def slide_indices(page: Any) -> list[list[int]]:
    """The (horizontal, vertical) position of each slide of an open deck, in order."""
    return page.evaluate("Reveal.getSlides().map(s => { const i = Reveal.getIndices(s); return [i.h, i.v || 0]; })")


def show(page: Any, position: Sequence[int]) -> None:
    """Go to a slide, all its fragments shown."""
    page.evaluate("([h, v]) => { Reveal.slide(h, v); while (Reveal.nextFragment()); }", list(position))


def draw_pictures(chromium: Any, deck: Path) -> Path:
    """One PNG a slide and screen into a folder beside the deck; return the folder."""
    folder = deck.with_suffix("")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, (width, height) in SCREENS.items():
        page = chromium.new_page(viewport={"width": width, "height": height}, reduced_motion="reduce")
        open_deck(page, deck)
        for number, position in enumerate(slide_indices(page), start=1):
            show(page, position)
            page.screenshot(path=folder / f"{name}-{number:02}.png")
        page.close()
    return folder


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and build."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: every chapter with slideshow metadata")
    parser.add_argument("--pdf", action="store_true", help="also write each deck as PDF (needs Chromium)")
    parser.add_argument("--pictures", action="store_true", help="also draw each slide as PNG (needs Chromium)")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args(arguments)
    try:
        decks = [build(notebook, options.output) for notebook in options.notebooks or chapters()]
    except DeckError as error:
        print(f"slides: {error}", file=sys.stderr)
        return 1
    for deck in decks:
        print(deck)
    if decks and (options.pdf or options.pictures):
        with browser() as chromium:
            for deck in decks:
                if options.pdf:
                    print(export_pdf(chromium, deck))
                if options.pictures:
                    print(draw_pictures(chromium, deck))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
