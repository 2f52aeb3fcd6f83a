"""Handouts: each deck as PDF, its slides with what the speaker says beside them, two on a sheet.

    python -m tools.slides.handout [notebooks/03_evaluation.ipynb ...]

Without a name, every chapter that has a deck; they stand beside the decks, ``_build/slides/NN_topic-handout.pdf``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tools.slides.build import OUTPUT, browser, build, chapters, open_deck
from tools.slides.deck import DeckError

# Makes a row of each page of reveal's print view, and says what is lost: a slide without notes, notes that do not fit.
LAYOUT = (Path(__file__).parent / "template" / "handout.js").read_text(encoding="utf-8")
STYLE = (Path(__file__).parent / "template" / "handout.css").read_text(encoding="utf-8")


def lay_out(page: Any, deck: Path) -> list[str]:
    """Open a deck as a handout and return its faults, "slide 3: no notes"; empty is good."""
    open_deck(page, deck, "?print-pdf")
    page.add_style_tag(content=STYLE)
    return page.evaluate(f"({LAYOUT})()")


def export(chromium: Any, deck: Path) -> Path:
    """Write the handout of a deck beside it and return its path.

    Raises:
        DeckError: a slide has no notes, or more than fit beside it.
    """
    page = chromium.new_page(viewport={"width": 1280, "height": 720})
    if found := lay_out(page, deck):
        raise DeckError(deck.name, "; ".join(found))
    pdf = deck.with_name(f"{deck.stem}-handout.pdf")
    page.pdf(path=pdf, prefer_css_page_size=True, print_background=True, tagged=True)
    page.close()
    return pdf


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and write the handouts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: every chapter with slideshow metadata")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args(arguments)
    try:
        with browser() as chromium:
            for notebook in options.notebooks or chapters():
                print(export(chromium, build(notebook, options.output)))
    except DeckError as error:
        print(f"handout: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
